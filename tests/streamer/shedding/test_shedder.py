"""Places and who gets them: as many as there may be, in fair turns; none is lost when a camera is stopped."""

import asyncio
from contextlib import suppress

import pytest

from streamer.shedding.shedder import ALL_BUSY, NOBODY_SEEN, Crew, Place, Share, Shedder
from streamer.shedding.turns import Need
from streamer.shedding.window import Goals
from streamer.telemetry.metrics import Metrics


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def shedder(metrics: Metrics, clock: Clock) -> Shedder:
    return Shedder(Goals(0.4, 0.3), lambda: Crew(2, 2), metrics, clock)


def shed(metrics: Metrics, camera: str, what: str, reason: str) -> float:
    labels = {"camera": camera, "what": what, "reason": reason}
    return metrics.registry.get_sample_value("whosthere_shed_total", labels) or 0.0


async def both(share: Share) -> list[Place]:
    return [await share.place(), await share.place()]


async def test_a_place_is_free_once_another_is_left(shedder):
    door, hall = (shedder.share(name, lambda: Need.NOBODY) for name in ("door", "hall"))
    first, second = await both(door)
    waiting = asyncio.create_task(hall.place())
    await asyncio.sleep(0)
    assert hall.waits
    assert not waiting.done()
    first.leave()
    third = await waiting
    assert not hall.waits
    first.leave()  # a second time it does nothing
    assert shedder.in_flight == 2
    second.leave()
    third.leave()
    assert shedder.in_flight == 0


async def test_a_camera_that_is_stopped_while_it_waits_leaves_nothing_behind(shedder):
    door, hall, yard = (shedder.share(name, lambda: Need.NOBODY) for name in ("door", "hall", "yard"))
    first, second = await both(door)
    waiting = asyncio.create_task(hall.place())
    await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    first.leave()
    second.leave()
    assert shedder.in_flight == 0
    await both(yard)


async def test_a_camera_that_is_stopped_as_it_gets_its_place_gives_it_back(shedder):
    door, hall = (shedder.share(name, lambda: Need.NOBODY) for name in ("door", "hall"))
    first, second = await both(door)
    waiting = asyncio.create_task(hall.place())
    await asyncio.sleep(0)
    first.leave()  # the place is the hall's by now, which has not heard of it
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    second.leave()
    assert shedder.in_flight == 0


async def test_a_cancelled_camera_does_not_cost_the_next_its_turn(shedder):
    door, hall, yard = (shedder.share(name, lambda: Need.NOBODY) for name in ("door", "hall", "yard"))
    first, _ = await both(door)
    stopped = asyncio.create_task(hall.place())
    waiting = asyncio.create_task(yard.place())
    await asyncio.sleep(0)
    stopped.cancel()
    first.leave()
    async with asyncio.timeout(30):
        await waiting


async def test_what_is_lost_while_a_camera_waits_is_shed_and_else_it_is_not(shedder, metrics, clock):
    need = [Need.NOBODY]
    door, hall = shedder.share("door", lambda: need[0]), shedder.share("hall", lambda: Need.NOBODY)
    first, second = await both(hall)
    assert not door.lost()
    waiting = asyncio.create_task(door.place())
    await asyncio.sleep(0)
    assert door.lost()
    assert shed(metrics, "door", "frame", NOBODY_SEEN) == 1
    assert not door.spares_sure_faces
    first.leave()
    place = await waiting
    need[0] = Need.KNOWN
    waiting = asyncio.create_task(door.place())
    await asyncio.sleep(0)
    assert door.lost()
    assert shed(metrics, "door", "frame", ALL_BUSY) == 1
    assert hall.spares_sure_faces, "cameras with faces lose frames: that is the time for the next rung"
    clock.now_s += 1.0
    assert shedder.held_s() == 1.0
    clock.now_s += 5.0
    assert not hall.spares_sure_faces
    assert shedder.held_s() == 0
    for one in (second, place):
        one.leave()
    (await waiting).leave()
    clock.now_s += 20.0
    assert shedder.held_s() is None, "nobody asks: nothing can be cut down"


async def test_late_frames_let_fewer_in(metrics, clock):
    shedder = Shedder(Goals(0.4, 0.3), lambda: Crew(2, 8), metrics, clock)
    door = shedder.share("door", lambda: Need.NOBODY)
    assert shedder.at_once == 8
    for _ in range(3):
        places = [await door.place() for _ in range(shedder.at_once)]
        captured_s = clock.now_s - 0.05
        clock.now_s += 0.9
        for place in places:
            clock.now_s += 0.01
            place.done(captured_s, None)
            place.leave()
    assert shedder.at_once == 2
    assert shedder.held_s() > 0


async def test_cameras_that_look_now_and_again_keep_no_model_from_being_changed(shedder, clock):
    """What is asked over HTTP may be too much while they are quiet: there is nothing of theirs to cut down."""
    door = shedder.share("door", lambda: Need.NOBODY)
    for _ in range(5):
        (await door.place()).leave()
        assert shedder.held_s() is None
        clock.now_s += 10.0
    for _ in range(3):
        (await door.place()).leave()
        clock.now_s += 0.1
    assert shedder.held_s() == 0.0
    clock.now_s += 10.1
    assert shedder.held_s() is None
