"""Cameras that become others by difference: who is touched, in which order, and what a stop in the middle does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from streamer.pipeline.camera import Camera
from streamer.pipeline.camera_set import CameraSet, Difference
from streamer.settings import CameraSettings
from tests.recognition.fakes import until


class FakeCamera:
    """Runs until it is cancelled, and takes its time to tidy up."""

    def __init__(self, name: str, settings: CameraSettings, told: list[str], tidy: asyncio.Event) -> None:
        self.name, self.settings, self._told, self._tidy = name, settings, told, tidy

    async def run(self) -> None:
        self._told.append(f"open {self.name} {self.settings.url}")
        try:
            await asyncio.Event().wait()
        finally:
            await self._tidy.wait()
            self._told.append(f"closed {self.name}")


class Rig:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.told: list[str] = []
        self.tidy = asyncio.Event()
        self.tidy.set()
        self.set = CameraSet(tasks, self._make, lambda name: self.told.append(f"gone {name}"))

    def _make(self, name: str, settings: CameraSettings) -> Camera:
        return cast(Camera, FakeCamera(name, settings, self.told, self.tidy))

    async def apply(self, **urls: str) -> Difference:
        difference = await self.set.apply(wanted(**urls))
        await asyncio.sleep(0)
        return difference


def wanted(**urls: str) -> dict[str, CameraSettings]:
    return {name: CameraSettings(url=url) for name, url in urls.items()}


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = Rig(tasks)
        yield running
        await running.set.close()


@pytest.mark.parametrize(
    ("after", "difference", "told"),
    [
        ({"a": "1", "b": "2"}, Difference(), []),
        ({"a": "1", "b": "2", "c": "3"}, Difference(added=("c",)), ["open c 3"]),
        ({"a": "1", "b": "9"}, Difference(changed=("b",)), ["closed b", "open b 9"]),
        ({"a": "1"}, Difference(removed=("b",)), ["closed b", "gone b"]),
        (
            {"c": "3", "b": "9"},
            Difference(added=("c",), changed=("b",), removed=("a",)),
            ["closed a", "closed b", "gone a", "open b 9", "open c 3"],
        ),
        ({}, Difference(removed=("a", "b")), ["closed a", "closed b", "gone a", "gone b"]),
    ],
)
async def test_only_what_differs_is_touched(after: dict[str, str], difference: Difference, told: list[str]):
    async with rig() as running:
        await running.apply(a="1", b="2")
        before = {camera.name: camera for camera in running.set.cameras}
        listed = running.set.cameras
        running.told.clear()
        assert await running.apply(**after) == difference
        assert sorted(running.told) == told
        gone = [place for place, line in enumerate(running.told) if line.startswith("gone")]
        closed = [place for place, line in enumerate(running.told) if line.startswith("closed")]
        assert not gone or max(closed) < min(gone), "told of when it has ended"
        assert [camera.name for camera in running.set.cameras] == list(after)
        assert running.set.cameras is listed
        for camera in running.set.cameras:
            untouched = camera.name not in difference.added + difference.changed
            assert (before.get(camera.name) is camera) is untouched


async def test_a_change_and_its_undoing_while_one_tidies_up():
    async with rig() as running:
        await running.apply(a="1")
        running.tidy.clear()
        task = asyncio.create_task(running.apply(a="2"))
        await asyncio.sleep(0)
        assert not task.done(), "the camera is opened once, so it is closed first"
        running.tidy.set()
        await task
        assert running.told == ["open a 1", "closed a", "open a 2"]


async def test_a_stop_while_a_change_waits_lets_the_camera_tidy_up_once():
    async with rig() as running:
        await running.apply(a="1", b="2")
        running.tidy.clear()
        task = asyncio.create_task(running.set.apply({}))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        closing = asyncio.create_task(running.set.close())
        await asyncio.sleep(0.01)
        assert running.told == ["open a 1", "open b 2"]
        running.tidy.set()
        await closing
        assert sorted(running.told[2:]) == ["closed a", "closed b"]


async def test_a_camera_that_is_over_can_be_changed_and_removed():
    async with rig() as running:
        over: Any = asyncio.Event()

        class Over(FakeCamera):
            async def run(self) -> None:
                over.set()

        running.set._make = lambda name, settings: cast(Camera, Over(name, settings, running.told, running.tidy))
        await running.apply(a="1")
        await until(over.is_set)
        assert await running.apply(a="2") == Difference(changed=("a",))
        assert await running.apply() == Difference(removed=("a",))


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (Difference(), "no camera differs"),
        (Difference(added=("a", "b")), "added: a, b"),
        (Difference(changed=("a",), removed=("b",)), "changed: a; removed: b"),
    ],
)
def test_it_is_told_in_words(difference, told):
    assert str(difference) == told
