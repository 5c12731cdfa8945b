"""Packets of one opening of a stream -> its pictures. On the camera's thread; blocks for the codec.

What can't be decoded is counted and left out, up to a limit that ends the opening.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import cast

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamer.errors import StreamInvalid
from streamer.ingest import faults
from streamer.ingest.address import Address
from streamer.ingest.decode_gate.gate import DecodeGate
from streamer.ingest.decode_gate.picture_kind import KindReader, PictureKind
from streamer.ingest.decode_gate.telling import DecodeCost
from streamer.ingest.decode_gate.turns import TURNS
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
_Decoded = tuple[av.VideoFrame, float]  # with the time that its packet took, in s
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
        gate: "DecodeGate[Packet[VideoStream]] | None" = None,
        late_s: Callable[[float | None, Instant], float] | None = None,
    ) -> None:
        """late_s: for how long a packet has lain here although there was nothing to wait for, by its time in the stream
        and when it came, s; None: none does.
        """
        self._where = where
        self._context = context
        self._clock = clock
        self._hooks = hooks
        self._trouble = trouble
        self._acceleration = acceleration
        self._is_clip = is_clip
        self._gate = gate
        self._late_s = late_s
        self._kinds = KindReader(context.name, context.extradata or b"")
        self._is_empty = False  # the codec holds nothing
        self.catches_up = False  # what comes out was kept
        self.passed = False  # the last packet was not decoded
        self._resumed_pts: int | None = None  # of the last keyframe, where those before it were passed by
        self.cost = DecodeCost()
        self._tick_s = 0.0  # of the stream's timestamps
        self._kind = PictureKind(is_entry=False)  # of the last packet
        self._joiner = PictureJoiner(self._context)
        self._waits_since_s = clock.monotonic_s()
        self._failures = 0
        self._failing_since_s = 0.0
        self.waits_for_keyframe = True
        self.was_damaged = False  # something of the last packet, or a picture that it gave
        self.decoded = self.skipped = 0

    def decode(self, packet: "Packet[VideoStream]", at: Instant) -> Iterator[_Decoded]:
        """Pictures, each with the CPU time that its packet took, in s. Raises StreamInvalid, ClipBroken."""
        if self._is_before_keyframe(packet):
            return
        for whole in self._joiner.push(packet, at):
            yield from self.gated(whole)

    def gated(self, packet: "Packet[VideoStream]") -> Iterator[_Decoded]:
        """As decode(), of a whole picture, whose place is the gate's to say."""
        gate, self.passed = self._gate, False
        if gate is None:
            yield from self.decode_whole(packet)
            return
        now_s = self._clock.monotonic_s()
        if not packet.size:
            gate.cut()
            yield from self.decode_whole(packet)
            return
        self._kind = self._kinds.read(memoryview(packet), is_keyframe=packet.is_keyframe)
        told = packet.pts if packet.dts is None else packet.dts
        if self._tick_s == 0 and packet.time_base:
            self._tick_s = float(packet.time_base)  # once: fractions cost more than all else here
        media_s = None if told is None else told * self._tick_s
        came = packet.opaque if isinstance(packet.opaque, Instant) else None
        step = gate.judge(
            packet,
            self._kind,
            packet.size,
            media_s,
            now_s,
            is_damaged=packet.is_corrupt,
            is_untimed=packet.pts is None and bool(self._context.has_b_frames),
            late_s=0.0 if self._late_s is None or came is None else self._late_s(media_s, came),
        )
        if self._kind.is_entry:
            self._resumed_pts = packet.pts if step == "resume" else None
        if step in ("decode", "resume") and not self._precedes_resumed(packet):
            yield from self.decode_whole(packet)
        elif step == "glance":
            yield from self._glance(packet)
        elif step == "wake":
            yield from self._catch_up(gate.take_kept(), is_first_known=gate.has_shown)
        else:
            if step == "late" and not self._is_empty:
                yield from self._emptied(packet)
            self.passed, self.was_damaged = True, False
            self.skipped += 1

    def _precedes_resumed(self, packet: "Packet[VideoStream]") -> bool:
        """Whether it is shown before the keyframe that was resumed with: it is made from what was passed by, too."""
        return self._resumed_pts is not None and packet.pts is not None and packet.pts < self._resumed_pts

    def _glance(self, packet: "Packet[VideoStream]") -> Iterator[_Decoded]:
        """A keyframe for itself alone: a codec that reorders gives it out at once only where it is told to end."""
        with self._turn():
            pictures = [] if self._is_empty else list(self._emptied(packet))
            pictures += self.decode_whole(packet)
            was_damaged = self.was_damaged
            pictures += self._emptied(packet)
            self.was_damaged |= was_damaged
        yield from pictures

    def _emptied(self, packet: "Packet[VideoStream]") -> Iterator[_Decoded]:
        end = cast("Packet[VideoStream]", Packet(b""))
        end.time_base = packet.time_base
        yield from self.decode_whole(end)
        self._context.flush_buffers()
        self._is_empty = True

    def _catch_up(self, kept: "Sequence[Packet[VideoStream]]", *, is_first_known: bool) -> Iterator[_Decoded]:
        """From their keyframe on, which is made anew, since the others are made from it, and not given out again.

        Nor is what precedes it: that is made from pictures before it, too (open GOPs).
        """
        self._context.flush_buffers()
        first_pts, self.catches_up = kept[0].pts, True
        self.skipped -= len(kept) - 1 - is_first_known  # counted when they were kept
        for packet in kept:
            self.skipped += first_pts is not None and packet.pts is not None and packet.pts < first_pts
            if isinstance(packet.opaque, Instant):
                packet.opaque = Instant(*packet.opaque)
            for frame, decode_s in self.decode_whole(packet):
                is_before = first_pts is not None and frame.pts is not None and frame.pts < first_pts
                is_first = frame.pts == first_pts if first_pts is not None else packet is kept[0]
                if is_before or (is_first and is_first_known):
                    self.decoded -= 1
                else:
                    yield frame, decode_s
        self.catches_up = False

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

    def decode_whole(self, packet: "Packet[VideoStream]") -> Iterator[_Decoded]:
        """As decode(), of a packet that is a picture for certain, and may be decoded now."""
        is_damaged = packet.is_corrupt or self._is_cut_short(packet)
        self._is_empty = False
        with self._turn():
            started_s, cpu_s = time.perf_counter(), time.thread_time()
            try:
                frames = self._context.decode(packet)  # an empty one, too: for None, PyAV knows no time base
            except av.FFmpegError:
                frames = []
                is_damaged = True
            decode_s = time.perf_counter() - started_s
            self.cost.add(self._kind, time.thread_time() - cpu_s)
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

    def _turn(self) -> AbstractContextManager[None]:
        """None is taken where a device decodes, or may: it needs none of the cores, and its driver may hang."""
        gate, device = self._gate, None if self._acceleration is None else self._acceleration.kind
        is_followed = gate is not None and gate.is_followed(self._clock.monotonic_s())
        return TURNS.turn(waits=device is None and not is_followed)

    def _is_cut_short(self, packet: "Packet[VideoStream]") -> bool:
        """Whether a JPEG lacks its end: libav says nothing of that, and fills the rest with grey."""
        if self._context.name != "mjpeg" or not packet.size or self._where.kind == "usb":
            return False
        return _JPEG_END not in bytes(packet).rstrip(b"\x00\xff")[-1024:]  # padded to blocks
