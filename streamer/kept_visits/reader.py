"""Kept visits for whoever asks while the service runs: the file is opened for each question, on one thread.

The service's writer has it open on a thread of its own meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self, TypeVar

from gallery.keys.master_key import KeySource
from recognition.serving.one_thread import OneThread
from streamer.kept_visits.visits_file import VisitsFile

T = TypeVar("T")

MOST_WAITING = 512


class VisitReader:
    """Made by VisitReader.open() alone."""

    def __init__(self, path: Path, keys: KeySource | None, thread: ThreadPoolExecutor) -> None:
        self._path = path
        self._keys = keys
        self._thread = OneThread(thread, MOST_WAITING, "the kept visits")

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, keys: KeySource | None) -> AsyncIterator[Self]:
        thread = ThreadPoolExecutor(1, thread_name_prefix="visit-reader")
        try:
            yield cls(path, keys, thread)
        finally:
            await asyncio.to_thread(thread.shutdown)

    async def run(self, work: Callable[[VisitsFile], T], *, is_rest: bool = False) -> T:
        """What `work` returns. is_rest: of something that is half done, and is not refused.

        Raises Overloaded, KeptVisitsError, MasterKeyError, and what `work` raises.
        """

        def opened() -> T:
            with VisitsFile(self._path, self._keys) as file:
                return work(file)

        return await self._thread.run(opened, is_rest=is_rest)
