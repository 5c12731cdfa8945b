"""PacketReader: a live stream's packets with the moment of each one's arrival, read on a thread of its own.

So nobody has to decode, or to wait until a frame is due, before the next packet is taken from the network. What waits
is bounded in bytes; then reading waits, and the sender's own queue fills.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from typing import NamedTuple, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamer.ingest.pacing import Clock

MOST_BYTES = 32 * 2**20


def packets_of(container: InputContainer, video: VideoStream) -> "closing[Generator[Packet[VideoStream], None, None]]":
    """Packets, to be entered: left unclosed, PyAV's generator keeps the last read's limit on the container.

    What that sends when it is closed (RTSP's TEARDOWN) would then be cut off, once the limit has passed.
    """
    return closing(cast("Generator[Packet[VideoStream], None, None]", container.demux(video)))


class Instant(NamedTuple):
    """One moment on both clocks, in s. waited_s: for how long the network was waited for until then; inf: not known."""

    unix_s: float
    monotonic_s: float
    waited_s: float = math.inf


class Arrived(NamedTuple):
    """A packet, or the error that was raised in its place; neither: the stream is over."""

    at: Instant
    packet: "Packet[VideoStream] | None" = None
    error: Exception | None = None


class PacketReader:
    """The thread lasts until the stream is over, fails for good, falls silent, or close(), which waits for a read."""

    def __init__(
        self,
        container: InputContainer,
        video: VideoStream,
        clock: Clock,
        goes_on: Callable[[av.FFmpegError], bool],
        name: str,
        limit_s: float,
    ) -> None:
        """`goes_on`: whether reading on after this error may help. limit_s: a read that took so long is the last."""
        self._container = container
        self._video = video
        self._clock = clock
        self._goes_on = goes_on
        self._changed = threading.Condition()
        self._waiting: deque[Arrived] = deque()
        self._bytes = 0
        self._closed = False
        self._limit_s = limit_s
        self.last_s = clock.monotonic_s()  # when the last packet came
        self._thread = threading.Thread(target=self._read, name=f"{name}-read", daemon=True)
        self._thread.start()

    def take(self, limit_s: float) -> Arrived | None:
        """The oldest that waits, as soon as there is one; None where nothing came for so long."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._closed, limit_s):
                return None
            if not self._waiting:
                return Arrived(self._moment())
            arrived = self._waiting.popleft()
            self._bytes -= arrived.packet.size if arrived.packet is not None else 0
            self._changed.notify_all()
            return arrived

    def wake(self) -> None:
        """Nobody takes any more: end what waits. From any thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Return once the thread has ended: the container may be closed then."""
        self.wake()
        self._thread.join()

    def _read(self) -> None:
        """The thread."""
        with closing(self._arrivals()) as arrivals:
            for arrived in arrivals:
                with self._changed:
                    self._changed.wait_for(lambda: self._bytes < MOST_BYTES or self._closed)
                    if self._closed:
                        return
                    self.last_s = arrived.at.monotonic_s
                    self._waiting.append(arrived)
                    self._bytes += arrived.packet.size if arrived.packet is not None else 0
                    self._changed.notify_all()

    def _arrivals(self) -> Generator[Arrived, None, None]:
        while True:
            asked_s = self._clock.monotonic_s()
            try:
                with packets_of(self._container, self._video) as packets:
                    for packet in packets:
                        now = self._moment()
                        at = now._replace(waited_s=now.monotonic_s - asked_s)
                        yield Arrived(at, packet)
                        if at.monotonic_s - asked_s >= self._limit_s:
                            return
                        asked_s = self._clock.monotonic_s()
            except av.FFmpegError as error:
                # Its traceback would keep this thread's calls alive.
                yield Arrived(self._moment(), error=error.with_traceback(None))
                if not self._goes_on(error):
                    return
            except Exception as bug:  # noqa: BLE001 (raised where it is taken)
                yield Arrived(self._moment(), error=bug)
                return
            else:
                yield Arrived(self._moment())
                return

    def _moment(self) -> Instant:
        return Instant(self._clock.unix_s(), self._clock.monotonic_s())
