"""One thing after the other, and no more that waits than a number."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from recognition.errors import Overloaded
from recognition.serving.one_thread import OneThread


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize("most", [1, 2, 5])
async def test_those_beyond_are_refused_until_there_is_room(pool, most):
    door, thread = threading.Event(), OneThread(pool, most, "the door")
    async with asyncio.timeout(30):
        held = [asyncio.ensure_future(thread.run(lambda: door.wait(30))) for _ in range(most)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=rf"^{most} requests wait for the door already"):
            await thread.run(lambda: True)
        rest = asyncio.ensure_future(thread.run(lambda: True, is_rest=True))
        door.set()
        assert all(await asyncio.gather(*held, rest))
        assert await thread.run(lambda: 7) == 7


@pytest.mark.parametrize("cancelled", [1, 2, 3])
async def test_who_goes_away_makes_room(pool, cancelled):
    door, begun, thread = threading.Event(), asyncio.Event(), OneThread(pool, 4, "the door")
    loop = asyncio.get_running_loop()

    def first() -> bool:
        loop.call_soon_threadsafe(begun.set)
        return door.wait(30)

    async with asyncio.timeout(30):
        held = [asyncio.ensure_future(thread.run(first)) for _ in range(4)]
        await begun.wait()
        for one in held[-cancelled:]:
            one.cancel()
        await asyncio.wait(held[-cancelled:])
        more = [asyncio.ensure_future(thread.run(lambda: True)) for _ in range(cancelled)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await thread.run(lambda: True)
        door.set()
        assert all(await asyncio.gather(*held[:-cancelled], *more))


@pytest.mark.parametrize("error", [ValueError, KeyError, Overloaded])
async def test_what_fails_makes_room_too(pool, error):
    def fails() -> None:
        raise error("no")

    thread = OneThread(pool, 1, "the door")
    for _ in range(3):
        with pytest.raises(error, match="no"):
            await thread.run(fails)
        assert await thread.run(lambda: True)
