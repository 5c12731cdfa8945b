"""Every camera as viewers see it: who may look is let in here, and the work for them is run.

Built once, before the cameras are; run() lasts as long as the service. On the loop.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from streamer.api.streaming.messages import Mailbox
from streamer.errors import CameraDisabled, CameraUnknown, ServiceStopping
from streamer.live_view.camera_view import CameraView
from streamer.pipeline.camera import CameraStatus
from streamer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from streamer.live_view.peer import ViewerPeer  # needs the extra `webrtc`


class LiveView:
    """The views of all cameras; each outlives its camera's being opened again, changed or disabled."""

    def __init__(self, name_of: Callable[[str], str | None], metrics: Metrics) -> None:
        """name_of(person_id): the display name of somebody enrolled."""
        self._name_of = name_of
        self._metrics = metrics
        self._views: dict[str, CameraView] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def view(self, camera: str, fps: float) -> CameraView:
        """A camera's, made where it is not known yet: the `watcher` of its path. fps: what is looked at a second."""
        view = self._views.get(camera)
        if view is None:
            view = self._views[camera] = CameraView(camera, self._name_of, self._metrics, self._running)
        view.fps = fps
        return view

    def became(self, camera: str, status: CameraStatus) -> None:
        """Its viewers are told."""
        if camera in self._views:
            self._views[camera].became(status)

    def removed(self, camera: str) -> None:
        """It is no camera of ours any more: its viewers are sent away."""
        if camera in self._views:
            self._views.pop(camera).end("the camera was removed")

    def peer(self, camera: str) -> "ViewerPeer":
        """The service's side of a connection that is about to look. Raises CameraUnknown, CameraDisabled."""
        from streamer.live_view.peer import ViewerPeer

        return ViewerPeer(self._enabled(camera))

    def listening(self, camera: str) -> AbstractContextManager[Mailbox]:
        """What its frames show, for somebody who wants no pictures. Raises CameraUnknown, CameraDisabled."""
        return self._enabled(camera).listening()

    def pictures(self, camera: str, fps: float | None, *, is_told: bool) -> AbstractContextManager[Mailbox]:
        """JPEGs of it, fps a second at most. Raises CameraUnknown, CameraDisabled."""
        return self._enabled(camera).pictures(fps, is_told=is_told)

    def _enabled(self, camera: str) -> CameraView:
        view = self._views.get(camera)
        if view is None:
            raise CameraUnknown(f"there is no camera {camera[:64]!r}; `whosthere cameras list` names them all")
        if view.status.state == "disabled":
            raise CameraDisabled(f"camera {camera} is disabled; nobody can watch it until it is enabled")
        return view

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None
                for view in self._views.values():
                    view.end("the service stops", ServiceStopping.code)

    def _running(self) -> asyncio.TaskGroup | None:
        return self._tasks
