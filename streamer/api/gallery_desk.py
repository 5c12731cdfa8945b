"""The gallery for whoever asks over HTTP: one store on a thread of its own, and the caller's name in the audit log.

The running service keeps another store to search by and notices what is written here as it notices a command's.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Self, TypeVar

from gallery.errors import GalleryMissing
from gallery.storage.file_copy import identity_of
from gallery.storage.store import PersonStore
from recognition.serving.lanes import step_back
from recognition.serving.one_thread import OneThread
from streamer.access.guard import Caller
from streamer.process import store_of
from streamer.settings import Settings

T = TypeVar("T")

_POLITE = 10
# That wait: what is quick takes milliseconds, what is slow seconds.
MOST_QUICK, MOST_SLOW = 512, 16


class GalleryDesk:
    """Made by GalleryDesk.open() alone; nothing is opened before it is asked for."""

    def __init__(self, settings: Settings, thread: ThreadPoolExecutor, slow_thread: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._thread = thread
        self._is_open = True
        self._quick = OneThread(thread, MOST_QUICK, "the gallery")
        self._slow = OneThread(slow_thread, MOST_SLOW, "what takes seconds")
        self._store: PersonStore | None = None
        self._identity: tuple[int, int] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        thread = ThreadPoolExecutor(1, thread_name_prefix="gallery-desk")
        # Behind the cameras: an erasure, or comparing thousands of people, takes all of a core for seconds.
        slow_thread = ThreadPoolExecutor(1, "gallery-desk-slow", initializer=partial(step_back, _POLITE))
        desk = cls(settings, thread, slow_thread)
        try:
            yield desk
        finally:
            desk._is_open = False
            await asyncio.get_running_loop().run_in_executor(thread, desk._close)
            await asyncio.to_thread(thread.shutdown)
            await asyncio.to_thread(slow_thread.shutdown)

    async def run(self, actor: str, work: Callable[[PersonStore], T], *, is_rest: bool = False) -> T:
        """What `work` returns; it is not begun anew and goes to its end, also when this is cancelled.

        actor: who is told to the audit log (a token's name). is_rest: of something that is half done, and not refused.
        Raises Overloaded, GalleryError and what `work` raises;
        GalleryMissing where the file is gone: none is made in its place.
        """
        return await self._quick.run(partial(self._run, actor, work), is_rest=is_rest)

    def forget(self) -> None:
        """Somebody is forgotten: what was opened of them for others' questions goes, soon. On the loop; never waits."""
        if self._is_open:
            self._thread.submit(self._close)

    async def slowly(self, work: Callable[[], T], *, is_rest: bool = False) -> T:
        """What `work` returns, which takes seconds, and opens the gallery itself: one at a time, in nobody else's way.
        As run(), it goes to its end.
        """
        return await self._slow.run(work, is_rest=is_rest)

    @asynccontextmanager
    async def own(self, actor: str) -> AsyncIterator[PersonStore]:
        """A store of one's own, for what goes on over many awaits (an enrolment). Raises GalleryError."""
        store = await asyncio.to_thread(self.opened, actor)
        try:
            yield store
        finally:
            await asyncio.to_thread(store.close)

    # On a thread.

    def _run(self, actor: str, work: Callable[[PersonStore], T]) -> T:
        identity = _file_of(self._settings)
        if self._store is None or identity != self._identity:
            self._close()
            self._store = self.opened(actor)
            self._identity = _file_of(self._settings)
        self._store.actor = actor
        return work(self._store)

    def opened(self, actor: str) -> PersonStore:
        """A store of one's own, to be closed by whoever asks. Blocks. Raises GalleryError."""
        path = self._settings.gallery_path
        if not path.exists():
            raise GalleryMissing(
                f"gallery {path} is gone, and the service serves from memory; put it back, or restart the service to "
                "begin without anybody"
            )
        return store_of(self._settings, actor=actor)

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


def actor_of(caller: Caller) -> str:
    """Who is told to the audit log: a token's name."""
    return "api" if caller.token is None else caller.token.name


def _file_of(settings: Settings) -> tuple[int, int] | None:
    """Which file it is; its time and size change with every write."""
    found = identity_of(settings.gallery_path)
    return None if found is None else found[:2]
