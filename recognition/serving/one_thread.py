"""Work for one thread, one thing after the other; of what waits for it there is no more than a number. On the loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from recognition.errors import Overloaded

T = TypeVar("T")


class OneThread:
    """most: so many at once, the one that is done among them. what: as those who are refused are told."""

    def __init__(self, thread: ThreadPoolExecutor, most: int, what: str) -> None:
        self._thread = thread
        self._most = most
        self._what = what
        self._waiting = 0

    async def run(self, work: Callable[[], T], *, is_rest: bool = False) -> T:
        """What `work` returns; once it is begun it goes to its end, also when this is cancelled.

        is_rest: of something that is half done, and is not refused. Raises Overloaded, and what `work` raises.
        """
        if self._waiting >= self._most and not is_rest:
            raise Overloaded(f"{self._waiting} requests wait for {self._what} already; try again in a moment")
        loop = asyncio.get_running_loop()
        self._waiting += 1
        future = self._thread.submit(work)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        return await asyncio.wrap_future(future)

    def soon(self, work: Callable[[], object]) -> None:
        """Something short that nobody waits for, as soon as what was begun is done."""
        self._thread.submit(work)

    def _done(self) -> None:
        self._waiting -= 1
