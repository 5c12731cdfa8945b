"""A camera's pictures as JPEGs: each encoded once for all who want it, into their mailboxes, where the newest counts.

On the loop; encodes on a thread that is there while somebody looks. Whoever is slow misses pictures, and nobody else
notices.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import av
import cv2

from streamer.api.streaming.messages import LatestMailbox, Mailbox, Message
from streamer.errors import ServiceStopping
from streamer.ingest.frame import Frame
from streamer.live_view.jpeg import jpeg_of
from streamer.live_view.messages import picture_message
from streamer.live_view.pace import Pace

_FRAMES_AWAITED = 8  # whose faces may still come, of each listener


@dataclass(eq=False, slots=True)
class _Listener:
    """numbers: of the frames that it is sent, the last ones; None where it wants no word about them."""

    pace: Pace
    numbers: deque[int] | None
    mailbox: LatestMailbox = field(default_factory=LatestMailbox)


class JpegView:
    """count(outcome) and failed(fault): as CameraView counts and tells; fault None: a picture was encoded."""

    def __init__(
        self,
        camera: str,
        tasks: Callable[[], asyncio.TaskGroup | None],
        count: Callable[[str], None],
        failed: Callable[[Exception | None], None],
    ) -> None:
        self._camera = camera
        self._tasks = tasks
        self._count = count
        self._failed = failed
        self._listeners: set[_Listener] = set()
        self._newest: Frame | None = None
        self._wanted_by: set[_Listener] = set()  # the newest, or one that it stands for
        self._news = asyncio.Event()
        self._encoding: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._listeners)

    @contextmanager
    def listening(self, fps: float | None, *, is_told: bool) -> Iterator[Mailbox]:
        """Pictures from now on, `fps` a second at most; is_told: and the faces in them, and the camera's state."""
        listener = _Listener(Pace(fps), deque(maxlen=_FRAMES_AWAITED) if is_told else None)
        self._listeners.add(listener)
        try:
            if self._encoding is None:
                self._begin(listener)
            yield listener.mailbox
        finally:
            self._listeners.discard(listener)
            self._wanted_by.discard(listener)
            if not self._listeners and self._encoding is not None:
                self._encoding.cancel()
                self._encoding, self._newest = None, None

    def taken(self, frame: Frame) -> None:
        """The next frame, before it is looked at."""
        wanted_by = {one for one in self._listeners if one.pace.takes(frame.captured_s)}
        if not wanted_by:
            return
        if self._newest is not None:
            self._count("dropped")
        self._newest = frame
        self._wanted_by |= wanted_by
        for one in self._wanted_by:
            if one.numbers is not None:
                one.numbers.append(frame.number)
        self._news.set()

    def wants(self, number: int) -> bool:
        """Whether anybody is told of the faces of this frame."""
        return any(number in one.numbers for one in self._listeners if one.numbers)

    def looked(self, number: int, message: str) -> None:
        """The faces of a frame that wants() said yes to."""
        told = Message(message, kind="faces")
        for one in self._listeners:
            if one.numbers and number in one.numbers:
                one.mailbox.put(told)

    def became(self, message: str) -> None:
        """The camera is in another state."""
        told = Message(message, kind="state")
        for one in self._listeners:
            if one.numbers is not None:
                one.mailbox.put(told)

    def end(self, code: str, why: str) -> None:
        """Nothing comes any more."""
        for one in self._listeners:
            one.mailbox.end(code, why)

    def _begin(self, listener: _Listener) -> None:
        tasks = self._tasks()
        if tasks is None:
            listener.mailbox.end(ServiceStopping.code, "the service stops")
        else:
            self._encoding = tasks.create_task(self._encode(), name=f"pictures of {self._camera}")

    async def _encode(self) -> None:
        """While somebody looks. A fault costs a picture, and is told once."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"jpeg-{self._camera}")
        try:
            while True:
                frame, wanted_by = await self._next()
                try:
                    jpeg = await loop.run_in_executor(thread, jpeg_of, frame.image)
                except (av.FFmpegError, cv2.error) as fault:
                    self._count("failed")
                    self._failed(fault)
                    continue
                self._failed(None)
                self._count("encoded")
                told = Message(picture_message(frame, len(jpeg)), kind="picture", data=jpeg)
                del frame
                for one in wanted_by & self._listeners:
                    one.mailbox.put(told)
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    async def _next(self) -> tuple[Frame, set[_Listener]]:
        """The newest that was not yet encoded, and who is sent it."""
        while self._newest is None:
            self._news.clear()
            await self._news.wait()
        frame, self._newest = self._newest, None
        wanted_by, self._wanted_by = self._wanted_by, set()
        return frame, wanted_by
