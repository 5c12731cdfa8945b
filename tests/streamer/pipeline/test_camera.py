"""One camera's life with a scripted source: stalls by its rhythm or by a set limit, delays, what outlives it."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamer.errors import CameraLoginRefused, CameraNotFound, CameraUnreachable, CameraVariableUnset, StreamLost
from streamer.ingest.stream import SourceHooks
from streamer.looking.promptness import Promptness
from streamer.pipeline import camera as module
from streamer.pipeline.camera import Camera, CameraStatus
from streamer.pipeline.rhythm import SLACK_S, UNKNOWN_LIMIT_S
from streamer.settings import CameraSettings
from streamer.telemetry.metrics import Metrics
from tests.recognition.fakes import until


class FakeSource:
    """Silent for as long as it is told; its take() never ends."""

    trouble = None
    clip_started_at = None
    next_number = 0

    def __init__(self, hooks: SourceHooks) -> None:
        self.silent_s = 0.0
        self.hooks = hooks
        self.frames: asyncio.Queue[Any] = asyncio.Queue(1)

    async def __aenter__(self) -> "FakeSource":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def take(self) -> Any:
        return await self.frames.get()


class Rig:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.sources: list[FakeSource] = []
        self.statuses: list[CameraStatus] = []
        self.metrics = Metrics()
        monkeypatch.setattr(module, "open_source", self._open)
        monkeypatch.setattr(module, "run_camera", self._run)
        path = SimpleNamespace(
            camera="door",
            metrics=self.metrics,
            visits=SimpleNamespace(sightings=list),
            face_sizes=SimpleNamespace(too_small=False),
            tracker=SimpleNamespace(clear=list, frame_size=None),
            outbox=None,
            attention=None,
            share=None,
            promptness=Promptness(),
        )
        camera = CameraSettings(url="rtsp://127.0.0.1/x", **settings)
        self.camera = Camera(camera, cast(Any, path), lambda _, status: self.statuses.append(status))

    def _open(self, _name: str, _camera: object, _url: str, _number: int, hooks: SourceHooks, _attention: None) -> Any:
        self.sources.append(FakeSource(hooks))
        return self.sources[-1]

    async def _run(self, take: Any, _path: object, _peek: object) -> None:
        while True:
            await take()

    def frames(self, silences_s: list[float]) -> None:
        for silent_s in silences_s:
            self.sources[-1].hooks.decoded(silent_s)

    def state_after(self, silent_s: float) -> str:
        self.sources[-1].silent_s = silent_s
        self.camera.watch()
        return self.camera.status.state


@pytest.mark.parametrize(
    ("settings", "silences_s", "limit_s"),
    [
        ({}, [0.04] * 30, 0.08 + SLACK_S),
        ({}, [1.0] * 30, 2.0 + SLACK_S),
        ({"fps": 1}, [0.04] * 30, 0.08 + SLACK_S),
        ({}, [0.04] * 2, UNKNOWN_LIMIT_S),
        ({"stalled_after_s": 5.0}, [0.04] * 30, 5.0),
        ({"stalled_after_s": 0.5}, [1.0] * 30, 0.5),
    ],
)
async def test_a_stall_is_told_by_the_rhythm_unless_a_limit_is_set(monkeypatch, settings, silences_s, limit_s):
    rig = Rig(monkeypatch, **settings)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(rig.camera.run())
        await until(lambda: rig.sources)
        rig.frames(silences_s)
        await rig.sources[-1].frames.put("a frame")
        await until(lambda: rig.camera.status.state == "online")
        assert rig.state_after(limit_s - 0.01) == "online"
        assert rig.state_after(limit_s + 0.01) == "stalled"
        assert rig.camera.status.reason == "stream_stalled"
        await rig.sources[-1].frames.put("another")
        await until(lambda: rig.camera.status == CameraStatus("online"))
        running.cancel()
    assert rig.statuses[-1] == CameraStatus("offline", "stopped")


@pytest.mark.parametrize(
    ("error", "longest_s"),
    [
        (CameraUnreachable("x"), 1.5),
        (StreamLost("x"), 1.5),
        (CameraNotFound("x"), 2.0),
        (CameraLoginRefused("x"), 60.0),
        (CameraVariableUnset("x"), 60.0),
    ],
)
async def test_what_may_come_back_is_tried_again_soon_and_a_login_is_not(monkeypatch, error, longest_s):
    waits: list[float] = []

    def fails(*_: object) -> None:
        raise error

    def uniform(_least: float, most: float) -> float:
        return most

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 6:
            raise asyncio.CancelledError

    rig = Rig(monkeypatch)
    monkeypatch.setattr(module, "open_source", fails)
    monkeypatch.setattr("streamer.supervise.random.uniform", uniform)
    monkeypatch.setattr(module, "supervise", with_sleep(module.supervise, sleep))
    with pytest.raises(asyncio.CancelledError):
        await rig.camera.run()
    assert max(waits) == longest_s


def with_sleep(supervise: Any, sleep: Any) -> Any:
    return lambda *args, **options: supervise(*args, **options, sleep=sleep)


@pytest.fixture
def ended(monkeypatch) -> Rig:
    return Rig(monkeypatch)


async def test_a_thread_that_outlives_its_camera_brings_none_of_its_metrics_back(ended):
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(ended.camera.run())
        await until(lambda: ended.sources)
        ended.sources[-1].hooks.failed("stream_invalid")
        running.cancel()
    ended.metrics.forget_camera("door")
    ended.sources[-1].hooks.failed("stream_invalid")
    ended.sources[-1].hooks.dropped()
    ended.sources[-1].hooks.decoded(1.0)
    names = [
        sample.labels["camera"]
        for family in ended.metrics.registry.collect()
        for sample in family.samples
        if "camera" in sample.labels
    ]
    assert names == []


async def test_a_frame_that_is_lost_while_the_camera_waits_for_its_turn_is_shed_and_not_dropped(monkeypatch):
    rig = Rig(monkeypatch)
    waits = True
    rig.camera.path.share = SimpleNamespace(lost=lambda: waits)
    running = asyncio.create_task(rig.camera.run())
    await until(lambda: rig.sources)
    rig.sources[-1].hooks.dropped()
    waits = False
    rig.sources[-1].hooks.dropped()
    counted = {
        outcome: rig.metrics.registry.get_sample_value("whosthere_frames_total", {"camera": "door", "outcome": outcome})
        for outcome in ("shed", "dropped")
    }
    assert counted == {"shed": 1.0, "dropped": 1.0}
    assert rig.camera.dropped == 2, "what the advice on fps goes by"
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
