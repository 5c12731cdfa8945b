"""RTSP, HTTP, files and USB cameras through libav: a source whose frames a thread of its own decodes.

An address goes in, Frames come out on the loop; the thread is started on entry and joined on exit.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from streamer.ingest import faults
from streamer.ingest.address import Address
from streamer.ingest.decode_gate.telling import WatchOutlook, outlook
from streamer.ingest.decoder import Decoder
from streamer.ingest.frame import Frame
from streamer.ingest.pacing import Clock
from streamer.ingest.picture_trouble import PictureReason
from streamer.ingest.slot import LatestSlot
from streamer.ingest.stream import SourceHooks, StreamInfo
from streamer.motion.attention import Attention
from streamer.settings import CameraSettings

log = logging.getLogger(__name__)

T = TypeVar("T")


# How long leaving waits for the thread. One inside a read or an opening ends within that call's limit.
LEAVE_S = 1.0


# The loop's own limits, this much later than libav's, are for what libav can't interrupt (DNS, a dead disk).
GRACE_S = 1.0


class VideoSource:
    """RTSP, HTTP, files and USB cameras: whatever libav opens, decoded by a thread of its own."""

    def __init__(
        self,
        where: Address,
        camera: CameraSettings,
        first_number: int,
        hooks: SourceHooks,
        clock: Clock | None = None,
        attention: Attention | None = None,
    ) -> None:
        self._where = where
        self._camera = camera
        self._hooks = hooks
        self._first_number = first_number
        self._clock = clock or Clock()
        self._attention = attention
        self._info: StreamInfo | None = None
        self._decoder: Decoder | None = None

    @property
    def info(self) -> StreamInfo:
        """What the stream said about itself when it was opened."""
        if self._info is None:
            raise RuntimeError("info: the source is not open")
        return self._info

    @property
    def next_number(self) -> int:
        return self._first_number if self._decoder is None else self._decoder.outlet.next_number

    @property
    def silent_s(self) -> float:
        decoder = self._decoder
        if decoder is None or decoder.outlet.resting:
            return 0.0
        return self._clock.monotonic_s() - decoder.outlet.last_frame_s

    @property
    def trouble(self) -> PictureReason | None:
        return None if self._decoder is None else self._decoder.outlet.trouble.reason

    @property
    def is_black(self) -> bool:
        """Whether the last picture was."""
        return self._decoder is not None and self._decoder.outlet.trouble.is_black

    @property
    def outlook(self) -> WatchOutlook | None:
        """How it will be watched, by what was seen of it so far; None where every frame is wanted."""
        decoder = self._decoder
        if decoder is None or decoder.outlet.decode_gate is None or decoder.pictures is None:
            return None
        habits = decoder.outlet.decode_gate.habits
        return outlook(habits.watch, habits.keyframe_s, decoder.pictures.cost, habits.seen_s)

    @property
    def decoding(self) -> str:
        """What decodes it, where anything but software was asked for, in words; "" else. Known with a picture."""
        acceleration = None if self._decoder is None else self._decoder.acceleration
        return "" if acceleration is None else acceleration.note

    @property
    def clip_started_at(self) -> float | None:
        return None if self._decoder is None else self._decoder.clip_started_at

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._slot = LatestSlot(self._loop)
        self._answered = asyncio.Event()
        self._gone = asyncio.Event()
        self._decoder = Decoder(
            self._where, self._camera, self._slot, self._hooks, self._first_number, self._clock, self._attention
        )
        self._thread = threading.Thread(
            target=self._run, args=(self._decoder,), name=f"camera-{self._where.name}", daemon=True
        )
        self._thread.start()
        try:
            async with asyncio.timeout(self._camera.open_timeout_s + GRACE_S):
                await self._answered.wait()
            if self._info is None:
                await self._slot.take()  # raises why
        except TimeoutError:
            await self._leave()
            raise faults.unanswered(self._where) from None
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def peek(self) -> Frame | None:
        return await self._in_time(self._slot.peek)

    async def take(self) -> Frame:
        return await self._in_time(self._slot.take)

    async def _in_time(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                async with asyncio.timeout(self._camera.read_timeout_s + GRACE_S):
                    return await ask()
            except TimeoutError:
                if self._unread_s() > self._camera.read_timeout_s:
                    raise faults.stalled(self._where, self._camera.read_timeout_s) from None

    def _unread_s(self) -> float:
        decoder = self._decoder
        if decoder is None or decoder.outlet.resting:
            return 0.0
        return self._clock.monotonic_s() - decoder.last_packet_s

    async def _leave(self) -> None:
        if self._decoder is None:
            return
        self._decoder.stop()
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._gone.wait()
        except TimeoutError:
            log.info("%s: left while it was being read; its thread ends with that read", self._where.who)
        else:
            self._thread.join()

    def _run(self, decoder: Decoder) -> None:
        """The camera's thread."""
        try:
            decoder.run(self._opened)
        finally:
            self._post(self._answered, self._gone)

    def _opened(self, info: StreamInfo) -> None:
        if self._info is None:
            self._info = info
            self._post(self._answered)

    def _post(self, *events: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            for event in events:
                self._loop.call_soon_threadsafe(event.set)
