"""What one publisher sends, on its way from its transport to its camera's thread.

Encoded pictures (RTSP) or decoded frames (WebRTC) are put in on the loop; the camera's thread takes them. What waits
is bounded: where the thread can't keep up, all up to the next keyframe is left out and counted.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import av

from streamer.errors import CameraError
from streamer.ingest.packet_reader import Instant

MOST_BYTES = 16 * 2**20
MOST_FRAMES = 2  # of decoded ones: the newest matters, and each holds megabytes
LONGEST_WAIT_S = 2.0  # where what waits came longer ago, it gives way to the next keyframe


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPicture:
    """One access unit: NAL units with start codes (Annex B), all of one picture, in decoding order.

    pts: in 1/90000 s, unwrapped (it rises over 2**32), and goes back where there are B-frames. is_keyframe: decoding
    may begin here. is_after_gap: something that was sent before it is missing. is_damaged: something of it is.
    """

    data: bytes = field(repr=False)
    pts: int
    is_keyframe: bool
    at: Instant
    is_after_gap: bool = False
    is_damaged: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPicture:
    """A frame that its transport has decoded; frame.pts and time_base are its publisher's."""

    frame: av.VideoFrame = field(repr=False)
    at: Instant


Picture = EncodedPicture | DecodedPicture


@dataclass(frozen=True, slots=True)
class PublishedStream:
    """What a publisher says of its stream before it sends it.

    codec: as libav names it. extradata: parameter sets out of band, Annex B. transport: `rtsp tcp`, `rtsp udp`,
    `webrtc`.
    """

    codec: Literal["h264", "hevc", "vp8"]
    transport: str
    extradata: bytes = field(default=b"", repr=False)


class Publication:
    """One publisher, from its first picture to its end. put() and end() are for the loop, take() is for the thread."""

    def __init__(self, stream: PublishedStream, close: Callable[[], None]) -> None:
        """close(): called on the loop, once, where the camera wants this publisher gone (disabled, replaced)."""
        self.stream = stream
        self.close = close
        self.dropped = 0  # pictures that were left out because nobody took them in time
        self.last_s = time.monotonic()  # when something of its video came last; a transport that sees packets sets it
        self._changed = threading.Condition()
        self._waiting: deque[Picture] = deque()
        self._bytes = 0
        self._waits_for_keyframe = self._is_after_dropped = False
        self._end: CameraError | None = None

    def put(self, picture: Picture) -> None:
        """The next one; a no-op after end()."""
        with self._changed:
            if self._end is not None:
                return
            self.last_s = picture.at.monotonic_s
            if isinstance(picture, DecodedPicture):
                if len(self._waiting) >= MOST_FRAMES:
                    self._waiting.popleft()
                    self.dropped += 1
            elif not self._has_room(picture):
                self.dropped += 1
                self._is_after_dropped = True
                return
            else:
                self._bytes += len(picture.data)
                if self._is_after_dropped:
                    picture, self._is_after_dropped = replace(picture, is_after_gap=True), False
            self._waiting.append(picture)
            self._changed.notify_all()

    def end(self, why: CameraError) -> None:
        """Nothing more comes; take() raises this when what waits is out. The first call counts."""
        with self._changed:
            if self._end is None:
                self._end = _anew(why)
                self._changed.notify_all()

    def abandon(self, why: CameraError) -> None:
        """Nobody takes any more: what waits goes, and it is over."""
        with self._changed:
            self._waiting.clear()
            self._bytes = 0
        self.end(why)

    @property
    def has_more(self) -> bool:
        """Whether a picture waits."""
        return bool(self._waiting)

    @property
    def is_over(self) -> bool:
        return self._end is not None

    def take(self, limit_s: float) -> Picture | None:
        """The oldest that waits, as soon as there is one; None where nothing came for so long. Raises the end."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._end is not None, limit_s):
                return None
            if not self._waiting:
                assert self._end is not None
                raise _anew(self._end)
            picture = self._waiting.popleft()
            if isinstance(picture, EncodedPicture):
                self._bytes -= len(picture.data)
            return picture

    def _has_room(self, picture: EncodedPicture) -> bool:
        waited_s = picture.at.monotonic_s - self._waiting[0].at.monotonic_s if self._waiting else 0.0
        if waited_s > LONGEST_WAIT_S and picture.is_keyframe and not picture.is_damaged:
            self.dropped += len(self._waiting)
            self._waiting.clear()
            self._bytes, self._is_after_dropped = 0, True
        if self._bytes + len(picture.data) > MOST_BYTES:
            self._waits_for_keyframe = True
        elif picture.is_keyframe:
            self._waits_for_keyframe = False
        return not self._waits_for_keyframe


def _anew(error: CameraError) -> CameraError:
    """Without a traceback: the publication, and with it a codec's pictures, would be in a circle with what is in it."""
    return type(error)(str(error))
