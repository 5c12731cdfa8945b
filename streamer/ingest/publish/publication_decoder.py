"""A published camera's thread: its publication's pictures in, sampled frames into the slot, as Decoder does for others.

What the world does leaves through the slot as a CameraError or StreamEnded.
"""

import math
from contextlib import suppress
from fractions import Fraction
from typing import cast

import av
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamer.errors import CameraError, StreamInvalid
from streamer.ingest import faults
from streamer.ingest.address import Address
from streamer.ingest.decode_gate.gate import DecodeGate
from streamer.ingest.frame_outlet import FrameOutlet
from streamer.ingest.hardware.acceleration import Acceleration
from streamer.ingest.pacing import Clock
from streamer.ingest.packet_reader import Instant
from streamer.ingest.picture_decoder import KEYFRAME_WITHIN_S, PictureDecoder
from streamer.ingest.publish.hold_back import HoldBack
from streamer.ingest.publish.publication import DecodedPicture, EncodedPicture, Publication, PublishedStream
from streamer.ingest.slot import LatestSlot
from streamer.ingest.stream import SourceHooks, StreamEnded
from streamer.ingest.stream_clock import StreamClock
from streamer.motion.attention import Attention
from streamer.settings import PUBLISH, CameraSettings

# A publisher that was stopped sends all of that time at once: what is older gives way to what came behind it.
LONGEST_LATE_S = 1.0
_TICK = Fraction(1, 90_000)


class PublicationDecoder:
    """Of one publication. run() is the thread; stop() is for any other."""

    def __init__(
        self,
        name: str,
        publication: Publication,
        camera: CameraSettings,
        slot: LatestSlot,
        hooks: SourceHooks,
        first_number: int,
        clock: Clock,
        attention: Attention | None = None,
    ) -> None:
        self._where = Address(name, f"{PUBLISH} ({publication.stream.transport})", "publish", "", "")
        self._publication = publication
        self._limit_s = camera.read_timeout_s
        self._slot = slot
        self._hooks = hooks
        self._clock = clock
        self._dropped = 0  # of the publication's, that were told of
        self._hold_back = HoldBack()
        self._waits_since_s = clock.monotonic_s()  # for a keyframe
        self._is_lossy = False  # what is held back is so since something is missing
        self.outlet = FrameOutlet(camera, slot, hooks, first_number, clock, attention)
        is_told = publication.stream.transport != "webrtc"  # aiortc's timestamps step wrongly with B-frames
        self.outlet.stream_clock = StreamClock(is_told=is_told, longest_late_s=LONGEST_LATE_S)
        acceleration = Acceleration(name, camera.hwaccel, hooks.decoded_by)
        self._context = _context_of(publication.stream, acceleration)
        if attention is not None:
            self.outlet.decode_gate = DecodeGate(attention, clock.monotonic_s(), hooks.gated)
        self._pictures = PictureDecoder(
            self._where,
            self._context,
            clock,
            hooks,
            self.outlet.trouble,
            acceleration,
            is_clip=False,
            gate=self.outlet.decode_gate,
            late_s=self.outlet.late_s,
        )

    def stop(self) -> None:
        """The thread ends with the picture that it is at; whoever calls this ends the publication."""
        self.outlet.stop()
        self._slot.close(StreamEnded("stopped"))

    def run(self) -> None:
        """Plays until the publication ends, fails or is left; the slot says which."""
        with self._slot.closed_by_its_end():
            try:
                self._play()
            finally:
                self.outlet.finish()

    def _play(self) -> None:
        while True:
            try:
                picture = self._publication.take(self._limit_s)
            except CameraError:
                if not self._hold_back.holds:
                    self._show(b"")  # the last pictures, which the codec still has
                raise
            if self.outlet.is_stopped:
                raise StreamEnded("stopped")
            if picture is None:
                raise faults.stalled(self._where, self._limit_s)
            dropped = self._publication.dropped
            self.outlet.left_out(dropped - self._dropped)
            self._dropped = dropped
            if isinstance(picture, EncodedPicture):
                self._decode(picture)
            else:
                self._show_decoded(picture)

    def _decode(self, picture: EncodedPicture) -> None:
        held = self._hold_back.holds
        verdict = self._hold_back.judge(picture)
        if picture.is_keyframe or not held:
            self._waits_since_s = self._clock.monotonic_s()
        if verdict != "decode" and not held:
            self._show(b"")  # what came before the gap is right
            self._begin_anew()
        if verdict == "hold":
            self._hold(picture)
            return
        self._is_lossy = False
        if self._show(picture.data, picture):
            self._hold_back.hold()
            self._is_lossy = True
            self._begin_anew()

    def _hold(self, picture: EncodedPicture) -> None:
        """Counts it; one before the first keyframe, when nothing was lost, is no fault. Raises StreamInvalid."""
        self.outlet.heard()
        now_s = self.outlet.last_frame_s
        has_hole = picture.is_damaged or picture.is_after_gap
        self._is_lossy |= has_hole
        if self._is_lossy:
            self.outlet.trouble.decoded(now_s, is_keyframe=False, is_damaged=True)
        if has_hole:
            self._waits_since_s = now_s  # what is missing may have been a keyframe
            self._hooks.failed(StreamInvalid.code)
        elif self._is_lossy:
            self._hooks.held_back()
        if now_s - self._waits_since_s > KEYFRAME_WITHIN_S:
            raise faults.no_keyframe(self._where, KEYFRAME_WITHIN_S)

    def _begin_anew(self) -> None:
        """Nothing can be made from what was decoded, or kept, before."""
        self._context.flush_buffers()
        if self.outlet.decode_gate is not None:
            self.outlet.decode_gate.cut()

    def _show(self, data: bytes, picture: EncodedPicture | None = None) -> bool:
        """A picture's data, or none for those that the codec still has; whether they were damaged."""
        is_damaged = False
        packet = cast("Packet[VideoStream]", Packet(data))
        packet.time_base = _TICK
        if picture is not None:
            packet.pts = picture.pts
            packet.opaque = Instant(*picture.at)  # one of its own: PyAV loses one that two packets share
            packet.is_keyframe = picture.is_keyframe
        for frame, decode_s in self._pictures.gated(packet):
            self.outlet.decoded(frame, was_heard=self._pictures.catches_up)
            is_damaged |= self._pictures.was_damaged
            if is_damaged:
                self._hooks.held_back()
                continue
            came = frame.opaque if isinstance(frame.opaque, Instant) else self.outlet.now()
            self._offer(frame, float(self._context.sample_aspect_ratio or 1), came, decode_s)
        if self._pictures.passed:
            self.outlet.decoded(None)
        return is_damaged or self._pictures.was_damaged

    def _show_decoded(self, picture: DecodedPicture) -> None:
        frame = picture.frame
        self.outlet.decoded(frame)
        self.outlet.trouble.decoded(self.outlet.last_frame_s, is_keyframe=frame.key_frame, is_damaged=frame.is_corrupt)
        if frame.is_corrupt:
            self._hooks.failed(StreamInvalid.code)
        else:
            self._offer(frame, 1.0, picture.at, 0.0)

    def _offer(self, frame: av.VideoFrame, told_aspect: float, came: Instant, decode_s: float) -> None:
        stale_s = LONGEST_LATE_S if self._publication.has_more else math.inf
        self.outlet.offer_live(frame, told_aspect, came, decode_s, stale_s=stale_s)


def _context_of(stream: PublishedStream, acceleration: Acceleration) -> VideoCodecContext:
    """Not threaded: each thread more would hold one picture more back."""
    for extradata in (stream.extradata, b""):  # libav refuses H.265's where they are wrong; they may come in band
        try:
            context = av.CodecContext.create(stream.codec, "r", hwaccel=acceleration.accelerator())
        except (av.FFmpegError, RuntimeError, NotImplementedError):
            acceleration.dropped("its device can't be opened for this codec")
            context = av.CodecContext.create(stream.codec, "r")
        acceleration.opened(context)
        context.thread_count = 1
        context.copy_opaque = True
        context.flags |= Flags.low_delay
        if extradata:
            context.extradata = extradata
        with suppress(av.FFmpegError):
            context.open()
            break
    return context
