"""A camera that is published to, as a Source: entering it waits for a publisher, a thread of its own decodes.

On the loop; leaving it ends the publication.
"""

import asyncio
import contextlib
import logging
import threading
from types import TracebackType
from typing import Self

from streamer.errors import StreamLost
from streamer.ingest.frame import Frame
from streamer.ingest.pacing import Clock
from streamer.ingest.picture_trouble import PictureReason
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.publication import Publication
from streamer.ingest.publish.publication_decoder import PublicationDecoder
from streamer.ingest.slot import LatestSlot
from streamer.ingest.stream import SourceHooks
from streamer.motion.attention import Attention
from streamer.settings import CameraSettings

log = logging.getLogger(__name__)

# How long leaving waits for the thread, which ends with the picture that it is at.
LEAVE_S = 1.0


class PublishedSource:
    """One publisher's stream, from when it comes until it goes or the source is left."""

    def __init__(
        self,
        point: PublishPoint,
        camera: CameraSettings,
        first_number: int = 0,
        hooks: SourceHooks | None = None,
        clock: Clock | None = None,
        attention: Attention | None = None,
    ) -> None:
        self._point = point
        self._camera = camera
        self._first_number = first_number
        self._hooks = hooks or SourceHooks()
        self._clock = clock or Clock()
        self._attention = attention
        self._publication: Publication | None = None
        self._decoder: PublicationDecoder | None = None

    @property
    def next_number(self) -> int:
        return self._first_number if self._decoder is None else self._decoder.outlet.next_number

    @property
    def silent_s(self) -> float:
        if self._decoder is None or self._decoder.outlet.resting:
            return 0.0
        return self._clock.monotonic_s() - self._decoder.outlet.last_frame_s

    @property
    def trouble(self) -> PictureReason | None:
        return None if self._decoder is None else self._decoder.outlet.trouble.reason

    @property
    def clip_started_at(self) -> float | None:
        return None

    async def __aenter__(self) -> Self:
        """Waits for the next publisher, however long that takes."""
        loop = asyncio.get_running_loop()
        self._slot = LatestSlot(loop)
        self._gone = asyncio.Event()
        self._publication = await self._point.next()
        self._decoder = PublicationDecoder(
            self._point.name,
            self._publication,
            self._camera,
            self._slot,
            self._hooks,
            self._first_number,
            self._clock,
            self._attention,
        )
        self._thread = threading.Thread(
            target=self._run, args=(self._decoder, loop), name=f"camera-{self._point.name}", daemon=True
        )
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The publisher goes, too, where it is still there."""
        assert self._decoder is not None
        assert self._publication is not None
        self._decoder.stop()
        was_over = self._publication.is_over
        self._publication.abandon(StreamLost(f"camera {self._point.name}: its publisher was sent away"))
        if not was_over:
            self._publication.close()
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._gone.wait()
        except TimeoutError:
            log.info("camera %s: left while a picture was decoded; its thread ends with it", self._point.name)
        else:
            self._thread.join()

    async def peek(self) -> Frame | None:
        return await self._slot.peek()

    async def take(self) -> Frame:
        return await self._slot.take()

    def _run(self, decoder: PublicationDecoder, loop: asyncio.AbstractEventLoop) -> None:
        """The camera's thread."""
        try:
            decoder.run()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._gone.set)
