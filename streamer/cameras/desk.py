"""The cameras of a running service for whoever asks over HTTP: looked up, changed, probed. On the loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from recognition.errors import Overloaded
from recognition.recogniser import Recogniser
from streamer.camera_changes import Changes, read_changes
from streamer.cameras import edits
from streamer.cameras.edits import Edit, Edited, Whence
from streamer.cameras.probing import probed
from streamer.errors import CamerasFixed, CameraUnknown
from streamer.ingest.probe import ProbeReport
from streamer.pipeline.camera import Camera
from streamer.pipeline.camera_control import CameraControl
from streamer.settings import CameraSettings, Settings
from streamer.settings_layers import Tree, resolve_paths
from streamer.settings_reading import Layers

MOST_PROBES = 2  # at once: each opens a stream and has a thread


class Service(Protocol):
    """What the desk looks at."""

    @property
    def settings(self) -> Settings: ...

    @property
    def cameras(self) -> list[Camera]: ...

    @property
    def control(self) -> CameraControl | None: ...

    @property
    def recogniser(self) -> Recogniser: ...


class CameraDesk:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._probes = 0
        self.one_at_a_time = asyncio.Lock()  # for whoever looks and then changes

    @property
    def settings(self) -> Settings:
        return self._service.settings

    def cameras(self) -> list[Camera]:
        """By name."""
        return sorted(self._service.cameras, key=lambda camera: camera.name)

    def find(self, name: str) -> Camera | None:
        return next((camera for camera in self._service.cameras if camera.name == name), None)

    def known(self, name: str) -> Camera:
        """Raises CameraUnknown."""
        camera = self.find(name)
        if camera is None:
            raise CameraUnknown(f"there is no camera {name}; GET /api/v1/cameras names them all")
        return camera

    async def origins(self) -> tuple[dict[str, Whence], list[str]]:
        """Where each camera comes from, and which ones a command took away. Raises ConfigError."""
        control = self._service.control
        if control is None:
            return {camera.name: "yaml" for camera in self._service.cameras}, []
        layers, changes = await control.look(_with_changes)
        return (
            {camera.name: edits.whence(camera.name, layers, changes) for camera in self._service.cameras},
            sorted(name for name, change in changes.items() if change is None),
        )

    async def change(self, edit: Edit) -> Edited:
        """Written, and running. Raises what the edit raises, ConfigError, DataFolderUnwritable, CamerasFixed."""
        control = self._service.control
        if control is None:
            raise CamerasFixed("the cameras of this service are those that it was started with")
        return await control.edit(partial(edits.apply, edit))

    async def as_camera(self, values: Tree) -> CameraSettings:
        """What is no camera yet as one; a relative file is of the configuration's folder."""
        control, fresh = self._service.control, dict(values)
        folder = Path.cwd() if control is None else await control.look(lambda layers, _: edits.own_folder(layers))
        resolve_paths({"cameras": {"probe": fresh}}, folder)
        return CameraSettings(**fresh)

    async def probe(self, camera: CameraSettings, name: str, watch_s: float) -> ProbeReport:
        """Beside whatever else runs, with the service's own models. Raises the CameraError, Overloaded."""
        if self._probes >= MOST_PROBES:
            raise Overloaded(f"{MOST_PROBES} cameras are being probed; try again when one is done")
        self._probes += 1
        try:
            wake_within_s = self.settings.recognition.wake_within_s
            return await probed(camera, name, watch_s, self._models, wake_within_s)
        finally:
            self._probes -= 1

    @asynccontextmanager
    async def _models(self) -> AsyncIterator[Recogniser]:
        yield self._service.recogniser


def _with_changes(layers: Layers, path: Path) -> tuple[Layers, Changes]:
    return layers, read_changes(path)
