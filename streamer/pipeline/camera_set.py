"""The cameras that run, and how they become others while the service does: by difference, each by itself.

Cameras as they are wanted go in; a task each runs in the service's TaskGroup. One that is wanted as it is goes on
undisturbed. On the loop.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from streamer.pipeline.camera import Camera
from streamer.settings import CameraSettings


@dataclass(frozen=True, slots=True)
class Difference:
    """Names of cameras, as apply() has found them."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in told if names) or "no camera differs"


@dataclass(slots=True, eq=False)
class _Running:
    camera: Camera
    task: asyncio.Task[None]
    is_ending: bool = False

    def end(self) -> asyncio.Task[None]:
        if not self.is_ending:  # told twice, it would not tidy up
            self.is_ending = True
            self.task.cancel()
        return self.task


class CameraSet:
    """One per service. make(name, settings) builds a camera that is about to run; gone(name) is called for one that is
    removed, once it has ended: its visits are closed, its source is left.

    cameras: those that run, in the order of the configuration. It stays the same list.
    """

    def __init__(
        self, tasks: asyncio.TaskGroup, make: Callable[[str, CameraSettings], Camera], gone: Callable[[str], None]
    ) -> None:
        self._tasks = tasks
        self._make = make
        self._gone = gone
        self._running: dict[str, _Running] = {}
        self.cameras: list[Camera] = []

    async def apply(self, wanted: Mapping[str, CameraSettings]) -> Difference:
        """Close what is wanted no more or otherwise (visits end `stopped`), open what is new. Not twice at once."""
        there = {name: running.camera.settings for name, running in self._running.items()}
        difference = Difference(
            added=tuple(name for name in wanted if name not in there),
            changed=tuple(name for name in wanted if name in there and there[name] != wanted[name]),
            removed=tuple(name for name in there if name not in wanted),
        )
        await self._end((*difference.changed, *difference.removed))
        for name in difference.removed:
            self._gone(name)
        for name in (*difference.added, *difference.changed):
            camera = self._make(name, wanted[name])
            self._running[name] = _Running(camera, self._tasks.create_task(camera.run(), name=f"camera {name}"))
        self.cameras[:] = [self._running[name].camera for name in wanted]
        return difference

    async def close(self) -> None:
        """End all: the service stops."""
        await self._end(tuple(self._running))

    async def _end(self, names: Iterable[str]) -> None:
        ending = {name: self._running[name].end() for name in names}
        if ending:
            await asyncio.wait(ending.values())
        for name in ending:
            del self._running[name]
