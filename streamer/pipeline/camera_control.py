"""The cameras of a running service become what its configuration says by now: on SIGHUP, after a command, over MQTT.

Wishes come in, settings that hold go out to apply(). What can't be read or doesn't hold changes nothing, and is told.
On the loop; files are read and written on threads.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from recognition.errors import CodedError
from streamer.camera_changes import Changes, alter, editing, read_changes
from streamer.pipeline.camera_set import Difference
from streamer.settings import CameraSettings, Settings
from streamer.settings_reading import Layers
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
FOLLOWED_WITHIN_S = 5.0
T = TypeVar("T")
_Identity = tuple[int, int, int] | None  # of a file; None: there is none
_UNREAD: _Identity = (0, 0, 0)


class CameraControl:
    """read() gives the configuration as it stands now: a file, variables, --set. apply(cameras) makes them run.

    `settings`: what the service was started with. `trouble`: why the configuration of now is not the one that runs.
    """

    def __init__(
        self,
        layers: Layers,
        settings: Settings,
        read: Callable[[], Layers],
        apply: Callable[[Mapping[str, CameraSettings]], Awaitable[Difference]],
    ) -> None:
        self._layers = layers
        self._settings = settings
        self._cameras = settings.cameras
        self._read = read
        self._apply = apply
        self._path = settings.camera_changes_path
        self._seen = _UNREAD
        self._asked = asyncio.Event()
        self._over = asyncio.Event()  # of the look that is under way, or comes next
        self._wants_reload = False
        self._commands: dict[str, bool] = {}  # by camera: the newest counts
        self._once = OnceLog(log)
        self._troubles: dict[str, CodedError] = {}

    @property
    def trouble(self) -> str:
        """For people; empty where the configuration is the one that runs."""
        return "; ".join(f"{error} [{error.code}]" for error in self._troubles.values())

    def reload(self) -> None:
        """Read the configuration again, soon; asked for while that is under way, once more after it."""
        self._wants_reload = True
        self._asked.set()

    def command(self, camera: str, enabled: bool) -> None:
        """Open or close a camera from now on, also after a restart; soon."""
        self._commands[camera] = enabled
        self._asked.set()

    async def look(self, read: Callable[[Layers, Path], T]) -> T:
        """What `read(layers, path of the changes)` returns, on a thread. Raises what it raises."""
        return await asyncio.to_thread(read, self._layers, self._path)

    async def edit(self, write: Callable[[Layers, Path], T]) -> T:
        """What `write(layers, path of the changes)` returns, on a thread; what it wrote runs when this returns.

        Raises what `write` raises, and why what it wrote does not run. A service that is slow to follow follows later.
        """
        written = await self.look(write)
        with suppress(TimeoutError):
            async with asyncio.timeout(FOLLOWED_WITHIN_S):
                while await asyncio.to_thread(_identity, self._path) != self._seen:
                    over = self._over
                    self._asked.set()
                    await over.wait()
                    if trouble := self._troubles.get("changes"):
                        raise trouble
        return written

    async def run(self) -> None:
        """Follow what is asked for, and what commands write, for ever."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            if self._wants_reload:
                await self._reload()
            await self._follow()
            if self._commands:
                await self._obey()
                await self._follow()
            over, self._over = self._over, asyncio.Event()
            over.set()

    async def _reload(self) -> None:
        self._wants_reload = False
        try:
            layers = await asyncio.to_thread(self._read)
            seen, changes = await asyncio.to_thread(_read, self._path)
            settings = layers.settings(changes, str(self._path))
        except CodedError as error:
            self._refuse("configuration", error, "the configuration is not reloaded: %s; all goes on as before")
            return
        self._layers = layers
        self._troubles.clear()
        self._once.over("configuration")
        self._once.over("changes")
        await self._make_run(settings, seen, "reloaded")
        others = [
            name
            for name in type(settings).model_fields
            if name != "cameras" and getattr(settings, name) != getattr(self._settings, name)
        ]
        if others:
            log.warning(
                "reloaded: %s changed as well, which needs a restart",
                ", ".join(others),
                extra={"code": "needs_restart"},
            )

    async def _obey(self) -> None:
        """Written first: what is done is what a restart finds. A camera that is as wanted stays as it is."""
        commands, self._commands = self._commands, {}
        wanted = {
            name: on for name, on in commands.items() if name in self._cameras and self._cameras[name].enabled != on
        }
        if not wanted:
            return
        try:
            await asyncio.to_thread(_write, self._path, wanted, self._layers)
        except CodedError as error:
            self._once.warn("command", error, "a command over MQTT is not obeyed: %s")
        else:
            self._once.over("command")

    async def _follow(self) -> None:
        """Commands of the command line write the file; so did _obey()."""
        if await asyncio.to_thread(_identity, self._path) == self._seen:
            return
        try:
            seen, changes = await asyncio.to_thread(_read, self._path)
            settings = self._layers.settings(changes, str(self._path))
        except CodedError as error:
            self._refuse("changes", error, "%s; the cameras go on as they are")
            return
        self._troubles.pop("changes", None)
        self._once.over("changes")
        await self._make_run(settings, seen, "changed by command")

    async def _make_run(self, settings: Settings, seen: _Identity, why: str) -> None:
        difference = await self._apply(settings.cameras)
        self._cameras, self._seen = settings.cameras, seen
        if difference != Difference():
            log.info("cameras %s: %s", why, difference)
        elif why == "reloaded":
            log.info("reloaded: %s", difference)

    def _refuse(self, what: str, error: CodedError, message: str) -> None:
        self._troubles[what] = error
        self._once.say(what, str(error), logging.WARNING, message, error, code=error.code)


def _read(path: Path) -> tuple[_Identity, Changes]:
    """The identity first: what is written meanwhile is read the next time."""
    seen = _identity(path)
    return seen, read_changes(path)


def _write(path: Path, enabled: Mapping[str, bool], layers: Layers) -> None:
    with editing(path) as changes:
        for camera, on in enabled.items():
            alter(changes, camera, {"enabled": on}, layers.beneath(camera))


def _identity(path: Path) -> _Identity:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
