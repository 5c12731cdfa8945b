"""The one-frame mailbox between a camera's thread and the loop: whoever is late gets the newest frame.

offer(), offer_wait() and close() are for the thread (close also for the loop), peek() and take() are for the loop.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from streamer.errors import CameraError
from streamer.ingest.frame import Frame
from streamer.ingest.stream import StreamEnded


class LatestSlot:
    """Holds the newest frame not yet taken, and how the stream ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._end: BaseException | None = None
        self._closed = False
        self._wanted = False
        self._filled = asyncio.Event()

    def offer(self, frame: Frame) -> bool:
        """Puts a frame in, replacing an unread one; True where one was lost. A no-op after close()."""
        with self._changed:
            if self._closed:
                return False
            replaced = self._frame is not None
            self._frame = frame if self._frame is None else frame.instead_of(self._frame)
            self._wake()
            return replaced

    def offer_wait(self, frame: Frame) -> bool:
        """Blocks until the unread frame is taken, then puts this one in. False where close() came first."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is None or self._closed)
            if self._closed:
                return False
            self._frame = frame
            self._wake()
            return True

    def close(self, end: BaseException) -> None:
        """What take() raises, once, when the unread frame is out. The first close counts."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._end = end
                self._wake()
                self._changed.notify_all()

    @contextlib.contextmanager
    def closed_by_its_end(self) -> Iterator[None]:
        """Around all that fills it: how that ends is what take() raises; a bug goes on up as well."""
        try:
            yield
        except (CameraError, StreamEnded) as end:
            # Its traceback would keep the thread's calls alive, and they libav's pool of pictures.
            self.close(end.with_traceback(None))
        except BaseException as bug:
            self.close(bug)
            raise

    async def peek(self) -> Frame | None:
        """The newest frame, as soon as there is one, left where it is; None where take() would raise."""
        while True:
            with self._changed:
                if self._frame is not None or self._closed:
                    return self._frame
                self._filled.clear()
                self._wanted = True
            await self._filled.wait()

    async def take(self) -> Frame:
        """The newest frame, as soon as there is one. Raises what close() was given; after that RuntimeError."""
        while True:
            with self._changed:
                if self._frame is not None:
                    frame, self._frame = self._frame, None
                    self._changed.notify_all()
                    return frame
                if self._closed:
                    # Kept here, it would hold this slot in a circle through its own traceback.
                    end, self._end = self._end, None
                    try:
                        raise end or RuntimeError("take: the slot is closed and has said why")
                    finally:
                        del end
                self._filled.clear()
                self._wanted = True
            await self._filled.wait()

    def _wake(self) -> None:
        """One callback for the loop, and only where somebody waits: never one per frame."""
        if self._wanted:
            self._wanted = False
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody will take any more
                self._loop.call_soon_threadsafe(self._filled.set)
