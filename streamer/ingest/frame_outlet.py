"""What follows decoding, whoever decodes: a picture is sampled, given its time and its shape, and offered to the loop.

On a camera's thread; blocks where a frame is not due yet.
"""

import math
import threading

import av
from av.video.stream import VideoStream

from streamer.ingest.decode_gate.gate import DecodeGate
from streamer.ingest.decode_gate.turns import TURNS
from streamer.ingest.frame import Frame, ToldRotation, VideoImage, quarter_turns
from streamer.ingest.pacing import Clock
from streamer.ingest.packet_reader import Instant
from streamer.ingest.picture_trouble import PictureTrouble
from streamer.ingest.sampling import Sampler
from streamer.ingest.slot import LatestSlot
from streamer.ingest.stream import SourceHooks
from streamer.ingest.stream_clock import StreamClock
from streamer.motion.areas import Areas
from streamer.motion.attention import Attention
from streamer.motion.gate import MotionGate
from streamer.motion.masking import PictureMask
from streamer.settings import CameraSettings

# Pixels that are wider or higher than this are a fault of the stream's header, not of anybody's picture.
_MOST_ASPECT = 4.0


class FrameOutlet:
    """Of one opening. next_number, resting, last_frame_s and trouble.reason are for any thread to read."""

    def __init__(
        self,
        camera: CameraSettings,
        slot: LatestSlot,
        hooks: SourceHooks,
        first_number: int,
        clock: Clock,
        attention: Attention | None = None,
    ) -> None:
        """attention: of the path that takes its frames, which are told what moved in them; None: nobody asks."""
        self._camera = camera
        self._slot = slot
        self._hooks = hooks
        self._clock = clock
        self._attention = attention
        self._stop = threading.Event()
        self._captured = Instant(0.0, 0.0)  # the last frame
        self._told_rotation, self._turned = ToldRotation(), 0
        self._mask = PictureMask(camera.masks)
        self._gate: MotionGate | None = None
        if attention is not None and camera.pace == "realtime":
            areas = Areas(camera.masks, camera.regions)
            self._gate = MotionGate(attention, None if areas.is_everything else areas.looked_at)
        self.trouble = PictureTrouble()
        self.sampler = Sampler(camera.fps)
        self.stream_clock = StreamClock()
        self.decode_gate: DecodeGate[av.Packet[VideoStream]] | None = None  # told of what moved
        self.next_number = first_number
        self.resting = False
        self.last_frame_s = self.rested_s = clock.monotonic_s()

    @property
    def is_stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        """Nobody takes any more: whoever waits here goes on. From any thread."""
        self._stop.set()

    def finish(self) -> None:
        """The stream is over. On the camera's thread."""
        if self.decode_gate is not None:
            self.decode_gate.finish(self._clock.monotonic_s())

    def now(self) -> Instant:
        return Instant(self._clock.unix_s(), self._clock.monotonic_s())

    def decoded(self, picture: av.VideoFrame | None, every_s: float | None = None, *, was_heard: bool = False) -> None:
        """This one came out of the codec, or (None) is the same as before.

        every_s: how often one is asked for, where that is what it comes by. was_heard: as None, when it came.
        """
        if picture is not None:
            self._turned = self._told_rotation.look(picture)
        before_s = self.last_frame_s
        self.heard()
        if not was_heard:
            self._hooks.decoded(self.last_frame_s - before_s if every_s is None else every_s)

    def heard(self) -> None:
        """It is no fault that none came until now."""
        self.last_frame_s = self._clock.monotonic_s()

    def offer_live(
        self, picture: av.VideoFrame, told_aspect: float, came: Instant, decode_s: float, *, stale_s: float = math.inf
    ) -> VideoImage | None:
        """A live stream's next picture, where it is sampled, at the stream's own pace. None where it is left out.

        came: its last packet. stale_s: one that came so much later than the quickest is counted as dropped.
        """
        placed = self.stream_clock.place(picture.time, came.monotonic_s, self.last_frame_s, came.waited_s)
        if not self.sampler.wants(placed.at_s):
            return None
        if placed.came_late_s > stale_s:
            self.left_out(1)
            return None
        if placed.hold_s:
            self.rest_until(self.last_frame_s + placed.hold_s)
            came = self.now()
        image = self.image(picture, told_aspect)
        self.offer(image, came, decode_s, placed.late_s)
        return image

    def offer(
        self, image: VideoImage, captured: Instant, decode_s: float, late_s: float | None, *, waits: bool = False
    ) -> None:
        """A frame for the loop. waits: until the last one is taken, instead of replacing it."""
        # A frame that was held is of a later moment than the arrival of the next, which need not be.
        self._captured = max(captured, self._captured, key=lambda moment: moment.monotonic_s)
        moved = None
        now_s = self.last_frame_s
        with TURNS.turn(waits=self._attention is None or not self._attention.is_followed(now_s)):
            self.trouble.look(image, self.last_frame_s)
            if self._gate is not None:
                moved = self._gate.look(image.small_luma(), self._captured.monotonic_s)
        unix_s, monotonic_s, _ = self._captured
        frame = Frame(self.next_number, image, unix_s, monotonic_s, decode_s, late_s, moved)
        self.next_number += 1
        if self.decode_gate is not None:
            self.decode_gate.looked(moved, self.last_frame_s)
        if waits:
            self.resting = True
            self._slot.offer_wait(frame)
            self._rested()
        elif self._slot.offer(frame):
            self._hooks.dropped()

    def late_s(self, stream_s: float | None, came: Instant) -> float:
        """For how long a live stream's packet of this time (s; None: it has none) has lain here, since the last time
        that a frame was waited for; one that came in a burst, since it was due.
        """
        due_s = self.stream_clock.due_s(stream_s)
        since_s = max(came.monotonic_s, self.rested_s, -math.inf if due_s is None else due_s)
        return max(0.0, self._clock.monotonic_s() - since_s)

    def left_out(self, pictures: int) -> None:
        """So many were, since there are newer ones."""
        self.next_number += pictures
        for _ in range(pictures):
            self._hooks.dropped()

    def image(self, picture: av.VideoFrame, told_aspect: float) -> VideoImage:
        """With what the configuration says of its shape, else the stream, and its masks blacked in it for good: nobody
        gets at a picture otherwise.
        """
        pixel_aspect = told_aspect
        if self._camera.aspect is not None:
            wide, high = map(int, self._camera.aspect.split(":"))
            pixel_aspect = wide * picture.height / (high * picture.width)
        if not 1 / _MOST_ASPECT <= pixel_aspect <= _MOST_ASPECT:
            pixel_aspect = 1.0
        rotate = self._camera.rotate
        picture = self._mask.hide(picture, quarter_turns(self._turned, rotate))
        return VideoImage(picture, pixel_aspect, rotate, self._turned, self._mask.open_share)

    def rest_until(self, due_s: float) -> None:
        """Meanwhile silence is no fault."""
        seconds = due_s - self._clock.monotonic_s()
        if seconds > 0:
            self.resting = True
            self.wait(seconds)
            self._rested()

    def wait(self, seconds: float) -> None:
        self._clock.wait(self._stop, seconds)

    def _rested(self) -> None:
        self.rested_s = self.last_frame_s = self._clock.monotonic_s()
        self.resting = False
