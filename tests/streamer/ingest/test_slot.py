"""The mailbox between a thread and the loop."""

import asyncio
import threading

import av
import pytest

from streamer.errors import StreamLost
from streamer.ingest.frame import Frame, VideoImage
from streamer.ingest.slot import LatestSlot


def frame(number: int) -> Frame:
    return Frame(number, VideoImage(av.VideoFrame(16, 16, "yuv420p")), 0.0, 0.0, 0.0)


class CountingLoop:
    """Stands for the loop where only its callbacks are counted."""

    def __init__(self) -> None:
        self.posted = 0

    def call_soon_threadsafe(self, callback) -> None:
        self.posted += 1
        callback()


async def waiting(task: asyncio.Task) -> None:
    """Lets a task run up to where it waits."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()


async def test_the_newest_frame_wins_and_the_lost_ones_are_told():
    slot = LatestSlot(asyncio.get_running_loop())
    assert [slot.offer(frame(number)) for number in range(4)] == [False, True, True, True]
    assert (await slot.take()).number == 3
    assert slot.offer(frame(4)) is False


async def test_a_look_at_the_newest_frame_leaves_it_there():
    slot = LatestSlot(asyncio.get_running_loop())
    looking = asyncio.create_task(slot.peek())
    await waiting(looking)
    slot.offer(frame(1))
    assert (await looking).number == 1
    slot.offer(frame(2))
    assert (await slot.peek()).number == 2
    assert (await slot.take()).number == 2
    looking = asyncio.create_task(slot.peek())
    await waiting(looking)
    slot.close(StreamLost("gone"))
    assert await looking is None
    with pytest.raises(StreamLost):
        await slot.take()


async def test_a_waiting_taker_is_woken_by_another_thread():
    slot = LatestSlot(asyncio.get_running_loop())
    taker = asyncio.create_task(slot.take())
    await waiting(taker)
    threading.Thread(target=slot.offer, args=(frame(7),)).start()
    async with asyncio.timeout(30):
        assert (await taker).number == 7


async def test_the_loop_is_woken_once_per_wait_and_not_once_per_frame():
    loop = CountingLoop()
    slot = LatestSlot(loop)
    for number in range(10):
        slot.offer(frame(number))
    assert loop.posted == 0
    await slot.take()
    taker = asyncio.create_task(slot.take())
    await waiting(taker)
    for number in range(10, 20):
        slot.offer(frame(number))
    assert loop.posted == 1
    assert (await taker).number == 19


async def test_a_cancelled_taker_takes_nothing_with_it():
    slot = LatestSlot(asyncio.get_running_loop())
    taker = asyncio.create_task(slot.take())
    await waiting(taker)
    slot.offer(frame(1))
    taker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taker
    assert (await slot.take()).number == 1


async def test_two_takers_get_two_frames():
    slot = LatestSlot(asyncio.get_running_loop())
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        takers = [group.create_task(slot.take()) for _ in range(2)]
        for taker in takers:
            await waiting(taker)
        slot.offer(frame(1))
        while not any(taker.done() for taker in takers):
            await asyncio.sleep(0)
        slot.offer(frame(2))
    assert {taker.result().number for taker in takers} == {1, 2}


async def test_the_unread_frame_comes_before_the_end_and_the_first_end_counts():
    slot = LatestSlot(asyncio.get_running_loop())
    slot.offer(frame(1))
    slot.close(StreamLost("gone"))
    slot.close(RuntimeError("later"))
    assert slot.offer(frame(2)) is False
    assert (await slot.take()).number == 1
    with pytest.raises(StreamLost, match="gone"):
        await slot.take()
    with pytest.raises(RuntimeError, match="closed"):
        await slot.take()


async def test_close_wakes_a_waiting_taker():
    slot = LatestSlot(asyncio.get_running_loop())
    taker = asyncio.create_task(slot.take())
    await waiting(taker)
    threading.Thread(target=slot.close, args=(StreamLost("gone"),)).start()
    async with asyncio.timeout(30):
        with pytest.raises(StreamLost):
            await taker


async def test_offer_wait_loses_nothing():
    slot = LatestSlot(asyncio.get_running_loop())
    results: list[bool] = []
    decoder = threading.Thread(target=lambda: results.extend(slot.offer_wait(frame(n)) for n in range(50)))
    decoder.start()
    async with asyncio.timeout(30):
        assert [(await slot.take()).number for _ in range(50)] == list(range(50))
    decoder.join()
    assert results == [True] * 50


async def test_close_ends_a_blocked_offer_wait():
    slot = LatestSlot(asyncio.get_running_loop())
    slot.offer(frame(0))
    results: list[bool] = []
    decoder = threading.Thread(target=lambda: results.append(slot.offer_wait(frame(1))))
    decoder.start()
    slot.close(StreamLost("gone"))
    decoder.join(timeout=5)
    assert results == [False]


def test_a_thread_that_outlives_the_loop_does_no_harm():
    async def wait_in_vain() -> LatestSlot:
        slot = LatestSlot(asyncio.get_running_loop())
        taker = asyncio.create_task(slot.take())
        await waiting(taker)
        taker.cancel()
        return slot

    slot = asyncio.run(wait_in_vain())
    assert slot.offer(frame(1)) is False
    slot.close(StreamLost("gone"))
