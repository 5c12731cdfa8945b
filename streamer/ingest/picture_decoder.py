"""Packets of one opening of a stream -> its pictures. On the camera's thread; blocks for the codec.

What can't be decoded is counted and left out, up to a limit that ends the opening.
"""

import time
from collections.abc import Iterator

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamer.errors import StreamInvalid
from streamer.ingest import faults
from streamer.ingest.address import Address
from streamer.ingest.hardware.acceleration import Acceleration
from streamer.ingest.pacing import Clock
from streamer.ingest.packet_reader import Instant
from streamer.ingest.picture_joiner import PictureJoiner
from streamer.ingest.picture_trouble import PictureTrouble
from streamer.ingest.stream import SourceHooks

MOST_FAILURES = 50
# Cameras with "smart" codecs send one every 10 to 20 s.
KEYFRAME_WITHIN_S = 30.0
LONGEST_FAILING_S = 5.0
_JPEG_END = b"\xff\xd9"


class ClipBroken(Exception):
    """The rest of this lap can't be decoded."""


class PictureDecoder:
    """`decoded` and `skipped` count pictures: given out, and left out before the first keyframe."""

    def __init__(
        self,
        where: Address,
        context: VideoCodecContext,
        clock: Clock,
        hooks: SourceHooks,
        trouble: PictureTrouble,
        acceleration: Acceleration | None = None,
        *,
        is_clip: bool,
    ) -> None:
        self._where = where
        self._context = context
        self._clock = clock
        self._hooks = hooks
        self._trouble = trouble
        self._acceleration = acceleration
        self._is_clip = is_clip
        self._joiner = PictureJoiner(self._context)
        self._waits_since_s = clock.monotonic_s()
        self._failures = 0
        self._failing_since_s = 0.0
        self.waits_for_keyframe = True
        self.was_damaged = False  # something of the last packet, or a picture that it gave
        self.decoded = self.skipped = 0

    def decode(self, packet: "Packet[VideoStream]", at: Instant) -> Iterator[tuple[av.VideoFrame, float]]:
        """Pictures, each with the CPU time that its packet took, in s. Raises StreamInvalid, ClipBroken."""
        if self._is_before_keyframe(packet):
            return
        for whole in self._joiner.push(packet, at):
            yield from self.decode_whole(whole)

    def failed(self) -> None:
        """Count what can't be made sense of. Raises StreamInvalid or ClipBroken where nothing else comes."""
        self._hooks.failed(StreamInvalid.code)
        now_s = self._clock.monotonic_s()
        self._trouble.damaged(now_s)
        if self._failures == 0:
            self._failing_since_s = now_s
        self._failures += 1
        if self._failures > MOST_FAILURES or now_s - self._failing_since_s > LONGEST_FAILING_S:
            if self._acceleration is not None:
                self._acceleration.failed()
            if self._is_clip:
                raise ClipBroken
            raise faults.undecodable(self._where, "sends what can't be decoded")

    def _is_before_keyframe(self, packet: "Packet[VideoStream]") -> bool:
        """Whether nothing can be made of this packet, since the stream was joined after its last keyframe."""
        if not self.waits_for_keyframe or not packet.size:
            return False
        if packet.is_keyframe:
            self.waits_for_keyframe = False
            return False
        self.skipped += 1
        if not self._is_clip and self._clock.monotonic_s() - self._waits_since_s > KEYFRAME_WITHIN_S:
            raise faults.no_keyframe(self._where, KEYFRAME_WITHIN_S)
        return True

    def decode_whole(self, packet: "Packet[VideoStream]") -> Iterator[tuple[av.VideoFrame, float]]:
        """As decode(), of a packet that is a picture for certain, and may be decoded now."""
        is_damaged = packet.is_corrupt or self._is_cut_short(packet)
        started_s = time.perf_counter()
        try:
            frames = self._context.decode(packet)  # an empty one, too: for None, PyAV knows no time base
        except av.FFmpegError:
            frames = []
            is_damaged = True
        decode_s = time.perf_counter() - started_s
        self.was_damaged = is_damaged or any(frame.is_corrupt for frame in frames)
        if is_damaged:
            self.failed()
        for frame in frames:
            if self._acceleration is not None:
                self._acceleration.pictured(frame)
            self._failures = 0
            self.decoded += 1
            if frame.is_corrupt and not is_damaged:
                self._hooks.failed(StreamInvalid.code)
            now_s = self._clock.monotonic_s()
            self._trouble.decoded(now_s, is_keyframe=frame.key_frame, is_damaged=is_damaged or frame.is_corrupt)
            yield frame, decode_s

    def _is_cut_short(self, packet: "Packet[VideoStream]") -> bool:
        """Whether a JPEG lacks its end: libav says nothing of that, and fills the rest with grey."""
        if self._context.name != "mjpeg" or not packet.size or self._where.kind == "usb":
            return False
        return _JPEG_END not in bytes(packet).rstrip(b"\x00\xff")[-1024:]  # padded to blocks
