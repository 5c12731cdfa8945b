"""Sequencer: a camera's frames are worked on side by side, yet pass two places in the order they were taken.

A frame's Turn goes in with it, from first to last; what it leaves unused opens for the frame behind. On the loop.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Sequencer:
    """Hands each frame its turn: frame n passes each place after frame n-1, whatever order they get there in."""

    def __init__(self) -> None:
        self._last = _Gates()
        self._last.open_all()

    def next(self) -> "Turn":
        before, self._last = self._last, _Gates()
        return Turn(before, self._last)


class _Gates:
    """What the frame behind waits for."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.tracked: asyncio.Future[None] = loop.create_future()
        self.decided: asyncio.Future[None] = loop.create_future()

    def open_all(self) -> None:
        self.tracked.set_result(None)
        self.decided.set_result(None)


class Turn:
    """One frame's place in the order. On leaving, places that were not used are left to the frame before."""

    def __init__(self, before: _Gates, mine: _Gates) -> None:
        self._before = before
        self._mine = mine

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        _open_after(self._before.tracked, self._mine.tracked)
        _open_after(self._before.decided, self._mine.decided)

    @asynccontextmanager
    async def tracking(self) -> AsyncIterator[None]:
        await asyncio.shield(self._before.tracked)
        yield
        self._mine.tracked.set_result(None)

    @asynccontextmanager
    async def deciding(self) -> AsyncIterator[None]:
        await asyncio.shield(self._before.decided)
        yield
        self._mine.decided.set_result(None)


def _open_after(before: "asyncio.Future[None]", mine: "asyncio.Future[None]") -> None:
    """Open a gate that its frame did not use, as soon as the one before it opens."""

    def open_it(_: object) -> None:
        if not mine.done():
            mine.set_result(None)

    if before.done():
        open_it(None)
    else:
        before.add_done_callback(open_it)
