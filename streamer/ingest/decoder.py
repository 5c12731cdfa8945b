"""A camera's decode thread: packets in, sampled frames into the slot; every packet is decoded, codecs need them.

run() is that thread, which blocks, and ends within the limits that libav is given (a live stream's packets are read by
packet_reader's own); stop() and what is to be looked at are for any other. What the world does leaves through the slot
as a CameraError or StreamEnded.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import NoReturn

import av
from av.codec.context import Flags, ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamer.errors import CameraError, StreamInvalid
from streamer.ingest import faults
from streamer.ingest.address import Address
from streamer.ingest.decode_gate.gate import DecodeGate
from streamer.ingest.frame import VideoImage
from streamer.ingest.frame_outlet import FrameOutlet
from streamer.ingest.hardware.acceleration import Acceleration
from streamer.ingest.libav_open import choose_video, opened_picture, opened_stream, tracks_of
from streamer.ingest.pacing import DEFAULT_FRAME_S, ClipTime, Clock, Schedule
from streamer.ingest.packet_reader import Arrived, Instant, PacketReader, packets_of
from streamer.ingest.picture_decoder import LONGEST_FAILING_S, ClipBroken, PictureDecoder
from streamer.ingest.sampling import Sampler
from streamer.ingest.slot import LatestSlot
from streamer.ingest.stream import SourceHooks, StreamEnded, StreamInfo
from streamer.ingest.stream_clock import StreamClock
from streamer.motion.attention import Attention
from streamer.settings import CameraSettings

# A clip that stops so much before its declared end was cut short.
_CUT_SHORT_S = 1.0
# libav makes up the timestamps of these: pictures, or a codec's bytes, one after another.
_WITHOUT_TIMES = frozenset(
    {"mjpeg", "mpjpeg", "h264", "hevc", "m4v", "mpegvideo", "jpeg_pipe", "png_pipe", "webp_pipe"}
)


class Decoder:
    """Opens, demuxes, decodes, samples and paces one stream. run() is the thread; stop() is for any other."""

    def __init__(
        self,
        where: Address,
        camera: CameraSettings,
        slot: LatestSlot,
        hooks: SourceHooks,
        first_number: int,
        clock: Clock,
        attention: Attention | None = None,
    ) -> None:
        self._where = where
        self._camera = camera
        self._slot = slot
        self._hooks = hooks
        self._clock = clock
        self._attention = attention
        self._is_clip = where.kind == "file"
        self._is_paced = camera.pace == "realtime"
        self._is_picture = False  # a URL that gives pictures without a container
        self._is_polled = False  # it gave one, and is asked again
        self._last_image: VideoImage | None = None  # of such a one
        self._time = ClipTime()
        self._schedule = Schedule(clock)
        self._is_begun = False  # its first lap is
        self._video: VideoStream | None = None
        self.pictures: PictureDecoder | None = None
        self._reader: PacketReader | None = None
        self.acceleration: Acceleration | None = None  # of this opening
        self.outlet = FrameOutlet(camera, slot, hooks, first_number, clock, attention)
        self._last_packet_s = clock.monotonic_s()

    @property
    def last_packet_s(self) -> float:
        """When the last packet came, on the monotonic clock. From any thread."""
        reader = self._reader
        return max(self._last_packet_s, self.outlet.rested_s) if reader is None else reader.last_s

    @property
    def clip_started_at(self) -> float | None:
        """Unix time of a clip's start, laps and lags taken into account; None for a stream. From any thread."""
        return self._schedule.started_at

    def stop(self) -> None:
        """The thread ends at its next packet; at once where it waits for time to pass or for the taker."""
        self.outlet.stop()
        self._slot.close(StreamEnded("stopped"))
        reader = self._reader
        if reader is not None:
            reader.wake()

    def run(self, opened: Callable[[StreamInfo], None]) -> None:
        """Plays until the stream ends, fails or is stopped; the slot says which. opened() comes each lap."""
        with self._slot.closed_by_its_end():
            try:
                self._play(opened)
            finally:
                self.outlet.finish()

    def _play(self, opened: Callable[[StreamInfo], None]) -> None:
        while True:
            self.acceleration = Acceleration(self._where.name, self._camera.hwaccel, self._hooks.decoded_by)
            with opened_stream(self._where, self._camera, self.acceleration) as container:
                pictures = self._lap(container, opened)
            if self.outlet.is_stopped:
                raise StreamEnded("stopped")
            if self._is_picture and pictures.decoded == 1:
                self._play_snapshots(opened)
            if not self._is_clip:
                raise faults.lost(self._where, "the camera closed the stream")
            if pictures.decoded == 0:
                raise faults.undecodable(self._where, "has no frame that can be decoded")
            if not self._camera.loop:
                raise StreamEnded("ended")
            self._time.next_lap()

    def _play_snapshots(self, opened: Callable[[StreamInfo], None]) -> NoReturn:
        """A URL that gives one picture: it is asked for again and again. Now and then a bad one may be among them."""
        from streamer.ingest.snapshot import SnapshotClient  # httpx takes its time to import, few cameras need it

        self._is_polled, self.outlet.stream_clock = True, StreamClock(is_told=False)
        good_s = self._clock.monotonic_s()
        with closing(
            SnapshotClient(self._where, self._camera.read_timeout_s, lambda: self.outlet.is_stopped)
        ) as client:
            while True:
                due_s = self._last_packet_s + 1 / self._camera.fps
                if good_s >= self._last_packet_s:
                    self.outlet.rest_until(due_s)
                else:  # which stays silence
                    self.outlet.wait(due_s - self._clock.monotonic_s())
                if self.outlet.is_stopped:
                    raise StreamEnded("stopped")
                self._last_packet_s = self._clock.monotonic_s()
                try:
                    self._play_snapshot(client.fetch(), opened)
                    good_s = self._clock.monotonic_s()
                except StreamInvalid:
                    self._hooks.failed(StreamInvalid.code)
                    if self._last_packet_s - good_s > LONGEST_FAILING_S:
                        raise

    def _play_snapshot(self, data: bytes | None, opened: Callable[[StreamInfo], None]) -> None:
        """An encoded picture; None: the last one still, so that whoever stands there still does."""
        if data is None and self._last_image is not None:
            self.outlet.decoded(None, 1 / self._camera.fps)
            self.outlet.offer(self._last_image, self.outlet.now(), 0.0, 0.0)
        elif data is not None:
            with opened_picture(self._where, data) as container:
                if not self._lap(container, opened).decoded:
                    raise faults.undecodable(self._where, "sends a picture that can't be decoded")

    def _lap(self, container: InputContainer, opened: Callable[[StreamInfo], None]) -> PictureDecoder:
        """One opening of the stream, to its end."""
        video, track = choose_video(self._where, container, self._camera.video_track)
        self._video = video
        rate = video.average_rate or video.guessed_rate
        fps = float(rate) if rate else None
        # image2: what libav takes a URL for that ends in .jpg
        is_picture = container.format.name == "image2" or container.format.name.endswith("_pipe")
        self._is_picture = self._where.kind == "http" and is_picture
        if self._where.kind == "http" and (container.duration or not self._is_paced) and not self._is_picture:
            self._is_clip = True
        self._time.frame_s = 1 / fps if fps else DEFAULT_FRAME_S
        if not self._is_begun and self._is_clip:
            self.outlet.sampler = Sampler(self._camera.fps, fps)
        self._is_begun = True
        context = video.codec_context
        context.thread_type = ThreadType.NONE
        context.copy_opaque = True
        if not self._is_clip:
            context.flags |= Flags.low_delay
        if not self._is_polled:
            self.outlet.heard()
            self._last_packet_s = self.outlet.last_frame_s
        acceleration = None if self._is_polled else self.acceleration
        if acceleration is not None:
            acceleration.opened(context)
        pictures = self.pictures = PictureDecoder(
            self._where,
            context,
            self._clock,
            self._hooks,
            self.outlet.trouble,
            acceleration,
            is_clip=self._is_clip,
            gate=self._gate_of_lap(),
            late_s=None if self._is_clip or self._is_polled else self.outlet.late_s,  # those by their own schedule
        )
        opened(
            StreamInfo(
                context.name,
                context.width,
                context.height,
                fps,
                self._where.transport,
                tracks_of(container),
                track,
                "clip" if self._is_clip else "timestamps" if self._has_times(container) else "arrival",
            )
        )
        if self._is_clip or self._is_polled:
            with suppress(ClipBroken):
                self._play_packets(container, video, pictures)
        else:
            self._follow(container, video, pictures)
        return pictures

    def _gate_of_lap(self) -> "DecodeGate[Packet[VideoStream]] | None":
        """The same for all laps. None where every frame is wanted: batch work, and pictures that are asked for."""
        if self._attention is None or not self._is_paced or self._is_picture:
            return None
        if self.outlet.decode_gate is None:
            self.outlet.decode_gate = DecodeGate(self._attention, self._clock.monotonic_s(), self._hooks.gated)
        return self.outlet.decode_gate

    def _play_packets(self, container: InputContainer, video: VideoStream, pictures: PictureDecoder) -> None:
        for packet in self._packets(container, video, pictures):
            if self.outlet.is_stopped:
                return
            self._await_packet(packet)
            self._decode(packet, self.outlet.now(), pictures)
        self._check_complete(video, pictures)

    def _follow(self, container: InputContainer, video: VideoStream, pictures: PictureDecoder) -> None:
        """A live stream, to its end."""
        limit_s = self._camera.read_timeout_s
        read_limit_s = math.inf if self._where.is_playlist else limit_s
        reader = PacketReader(
            container,
            video,
            self._clock,
            lambda error: self._read_fault(error) is None,
            f"camera-{self._where.name}",
            read_limit_s,
        )
        self._reader = reader
        self.outlet.stream_clock = StreamClock(is_told=self._has_times(container))
        last_s = reader.last_s
        try:
            while not self.outlet.is_stopped:
                arrived = reader.take(limit_s)
                # libav hands its parser's last frame out when a read times out, and ends HLS then without a word.
                # Silence counts from the last frame on: what came in a burst was handed out until then.
                silent_since_s = max(last_s, self.outlet.last_frame_s)
                if not self.outlet.is_stopped and (
                    arrived is None
                    or arrived.at.monotonic_s - silent_since_s >= limit_s
                    or (arrived.packet is not None and arrived.at.waited_s >= read_limit_s)
                ):
                    raise faults.stalled(self._where, limit_s)
                if arrived is None or arrived == Arrived(arrived.at):
                    return
                if arrived.error is not None and not isinstance(arrived.error, av.FFmpegError):
                    raise arrived.error  # a bug of ours, on the other thread
                last_s = arrived.at.monotonic_s
                if arrived.packet is not None:
                    self._decode(arrived.packet, arrived.at, pictures)
                elif isinstance(arrived.error, av.FFmpegError):
                    fault = self._read_fault(arrived.error)
                    if fault is not None:
                        raise fault
                    pictures.failed()
        except CameraError as end:
            self._slot.close(end.with_traceback(None))  # now, and not when a read that is under way has ended
            raise
        finally:
            reader.close()
            self._last_packet_s, self._reader = reader.last_s, None

    @staticmethod
    def _has_times(container: InputContainer) -> bool:
        return container.format.name not in _WITHOUT_TIMES

    def _packets(
        self, container: InputContainer, video: VideoStream, pictures: PictureDecoder
    ) -> Iterator["Packet[VideoStream]"]:
        """Packets to the end of the stream, past those that the demuxer can't make sense of."""
        while not self.outlet.is_stopped:
            try:
                with packets_of(container, video) as packets:
                    yield from packets
            except av.FFmpegError as error:
                fault = self._read_fault(error)
            else:
                return
            if fault is not None:
                raise fault
            pictures.failed()

    def _read_fault(self, error: av.FFmpegError) -> CameraError | None:
        """None where reading on may help."""
        if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
            return faults.stalled(self._where, self._camera.read_timeout_s)
        if isinstance(error, OSError):
            return faults.lost(self._where, faults.reason(error))
        return None

    def _decode(self, packet: "Packet[VideoStream]", at: Instant, pictures: PictureDecoder) -> None:
        self._last_packet_s = at.monotonic_s
        for frame, decode_s in pictures.decode(packet, at):
            self._hand_over(frame, decode_s, was_kept=pictures.catches_up)
        if pictures.passed:
            self.outlet.decoded(None)
        elif pictures.waits_for_keyframe and not self._is_polled:
            self.outlet.heard()

    def _hand_over(self, decoded: av.VideoFrame, decode_s: float, *, was_kept: bool) -> None:
        """Samples, waits until a paced clip's frame is due, offers."""
        outlet = self.outlet
        outlet.decoded(decoded, 1 / self._camera.fps if self._is_polled else None, was_heard=was_kept)
        if not self._is_clip:
            came = decoded.opaque if isinstance(decoded.opaque, Instant) else outlet.now()
            image = outlet.offer_live(decoded, self._told_aspect(), came, decode_s)
            if self._is_picture and image is not None:
                self._last_image = image
            return
        media_s = self._time.place(decoded.time)
        if not outlet.sampler.wants(media_s):
            return
        if self._is_paced and not was_kept:  # which was due when it came
            outlet.rest_until(self._schedule.due_s(media_s))
        planned = Instant(*self._schedule.planned(media_s))
        outlet.offer(outlet.image(decoded, self._told_aspect()), planned, decode_s, None, waits=not self._is_paced)

    def _told_aspect(self) -> float:
        """A pixel's width to its height as the stream says: its container first, as players have it."""
        assert self._video is not None
        return float(self._video.sample_aspect_ratio or self._video.codec_context.sample_aspect_ratio or 1)

    def _await_packet(self, packet: "Packet[VideoStream]") -> None:
        """A paced clip's packet "arrives" when it would from a camera, so that decoding counts as latency."""
        if not self._is_clip or not self._is_paced or packet.dts is None:
            return
        media_s = self._time.of_packet(float(packet.dts * packet.time_base))
        if media_s is not None:
            self.outlet.rest_until(self._schedule.due_s(media_s))

    def _check_complete(self, video: VideoStream, pictures: PictureDecoder) -> None:
        """A clip that was cut short plays to where it breaks; that is one failure, and it is counted."""
        if not self._is_clip or self._time.jumped or video.duration is None or video.time_base is None:
            return
        played_s = (pictures.decoded + pictures.skipped) * self._time.frame_s
        if played_s < float(video.duration * video.time_base) - _CUT_SHORT_S:
            self._hooks.failed(StreamInvalid.code)
