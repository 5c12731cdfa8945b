"""One camera as its viewers see it: a frame of its path in, one encoded picture out to all of them.

On the loop; encodes VP8 for those who came by WebRTC on a thread that is there while somebody looks, and has a JpegView
for the others. The newest frame wins.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import av
from av.codec.codec import UnknownCodecError
from av.packet import Packet
from av.video.stream import VideoStream
from prometheus_client import Counter

from streamer.api.streaming.messages import Mailbox, Message
from streamer.errors import CameraUnknown
from streamer.ingest.frame import Frame, VideoImage
from streamer.live_view.encoder import Vp8Encoder
from streamer.live_view.jpeg_view import JpegView
from streamer.live_view.messages import CLOCK_HZ, faces_message, media_time, state_message
from streamer.live_view.viewer import Viewer
from streamer.pipeline.camera import CameraStatus
from streamer.pipeline.watching import SeenFace
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

KEYFRAMES_APART = CLOCK_HZ // 2  # whose picture is damaged asks again and again; a keyframe costs everybody's bits
_UNSEEN = "camera %s: a picture can't be encoded for its viewers (%s); they see the last one"


class CameraView:
    """A Watcher of its camera's path, whose cost is nothing while nobody looks. LiveView makes it."""

    def __init__(
        self,
        camera: str,
        name_of: Callable[[str], str | None],
        metrics: Metrics,
        tasks: Callable[[], asyncio.TaskGroup | None],
    ) -> None:
        """tasks: where the encoding runs; None while LiveView does not."""
        self.camera = camera
        self.status = CameraStatus("offline", "starting")
        self._since = time.time()
        self.fps = 10.0
        self._name_of = name_of
        self._tasks = tasks
        self._viewers: set[Viewer] = set()
        self._connected: set[Viewer] = set()
        self._listeners: set[Mailbox] = set()
        self._newest: Frame | None = None
        self._news = asyncio.Event()
        self._is_over = False
        self._keyframe_wanted = True
        self._keyframe_from = 0  # media_time() of the earliest
        self._encoding: asyncio.Task[None] | None = None
        self._once = OnceLog(log)
        self._jpegs = JpegView(camera, tasks, self._count, self._jpeg_failed)
        self._gauge = metrics.viewers.labels(camera=camera)
        self._view_frames = metrics.view_frames
        self._frames: dict[str, Counter] = {}  # by outcome; made when somebody looks, who looks at few of hundreds

    @property
    def looks(self) -> bool:
        return bool(self._connected or self._listeners or self._jpegs)

    def taken(self, frame: Frame) -> None:
        self._jpegs.taken(frame)
        if self._connected:
            if self._newest is not None:
                self._count("dropped")
            self._newest = frame
            self._news.set()

    def looked(self, frame: Frame, faces: list[SeenFace]) -> None:
        has_jpeg = self._jpegs.wants(frame.number)
        if not (self._connected or self._listeners or has_jpeg):
            return
        message = faces_message(frame, faces, self._name_of, time.time())
        if has_jpeg:
            self._jpegs.looked(frame.number, message)
        for viewer in self._connected:
            viewer.tell(message)
        if self._listeners:
            told = Message(message)
            for mailbox in self._listeners:
                mailbox.put(told)

    @contextmanager
    def listening(self) -> Iterator[Mailbox]:
        """The faces of each frame from now on; who is slow gets the newest alone."""
        mailbox = Mailbox(1, newest_counts=True)
        if self._is_over:
            mailbox.end(CameraUnknown.code, f"camera {self.camera} was removed")
        self._listeners.add(mailbox)
        try:
            yield mailbox
        finally:
            self._listeners.discard(mailbox)

    @contextmanager
    def pictures(self, fps: float | None, *, is_told: bool) -> Iterator[Mailbox]:
        """JPEGs from now on, fps a second at most, None: all; is_told: with their faces, and the camera's state."""
        if not self._is_over:
            self._make_counters()
        try:
            with self._jpegs.listening(fps, is_told=is_told) as mailbox:
                self._count_viewers()
                if self._is_over:
                    mailbox.end(CameraUnknown.code, f"camera {self.camera} was removed")
                elif is_told:
                    mailbox.put(Message(state_message(self.status, self._since), kind="state"))
                yield mailbox
        finally:
            self._count_viewers()

    def became(self, status: CameraStatus) -> None:
        """The camera is in another state; its viewers stay, and see it when it is back."""
        self.status, self._since = status, time.time()
        message = state_message(status, self._since)
        self._jpegs.became(message)
        for viewer in self._viewers:
            viewer.tell_state(message)

    def admit(self) -> Viewer:
        """Somebody who is about to look. Raises CameraUnknown where the camera was removed meanwhile."""
        if self._is_over:
            raise CameraUnknown(f"camera {self.camera} was removed; `whosthere cameras list` names those there are")
        viewer = Viewer(self)
        viewer.tell_state(state_message(self.status, self._since))
        self._make_counters()
        self._viewers.add(viewer)
        self._count_viewers()
        return viewer

    def begin(self, viewer: Viewer) -> None:
        tasks = self._tasks()
        if tasks is None:
            viewer.end("the service stops")
            return
        self._connected.add(viewer)
        self._keyframe_wanted, self._keyframe_from = True, 0
        if self._encoding is None:
            self._encoding = tasks.create_task(self._encode(), name=f"view of {self.camera}")

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        self._connected.discard(viewer)
        self._count_viewers()
        if not self._connected and self._encoding is not None:
            self._encoding.cancel()
            self._encoding, self._newest = None, None

    def want_keyframe(self) -> None:
        self._keyframe_wanted = True

    def end(self, why: str, code: str = CameraUnknown.code) -> None:
        """Nobody looks any more: the camera is removed, or the service stops."""
        self._is_over = True
        for viewer in list(self._viewers):
            viewer.end(why)
        for mailbox in self._listeners:
            mailbox.end(code, why)
        self._jpegs.end(code, why)

    async def _encode(self) -> None:
        """While somebody looks. A fault costs a picture, and is told once."""
        encoder, loop = Vp8Encoder(self.fps), asyncio.get_running_loop()
        last = -1
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"view-{self.camera}")
        try:
            while True:
                image, at = await self._next()
                if at <= last:
                    self._count("dropped")
                    continue
                last = at
                keyframe = self._keyframe_wanted and at >= self._keyframe_from
                try:
                    packets = await loop.run_in_executor(thread, encoder.encode, image, at, keyframe)
                except (av.FFmpegError, UnknownCodecError) as fault:
                    self._count("failed")
                    self._tell_failed("vp8", fault)
                    continue
                finally:
                    del image
                self._tell_failed("vp8", None)
                self._count("encoded")
                for packet in packets:
                    self._hand_out(packet, at)
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    def _hand_out(self, packet: "Packet[VideoStream]", at: int) -> None:
        if packet.is_keyframe:
            self._keyframe_wanted, self._keyframe_from = False, at + KEYFRAMES_APART
        for viewer in list(self._connected):
            viewer.put(packet)

    async def _next(self) -> tuple[VideoImage, int]:
        """The newest picture that was not yet encoded, and its media_time()."""
        while self._newest is None:
            self._news.clear()
            await self._news.wait()
        frame, self._newest = self._newest, None
        return frame.image, media_time(frame)

    def _make_counters(self) -> None:
        for outcome in ("encoded", "dropped", "failed"):
            self._frames[outcome] = self._view_frames.labels(camera=self.camera, outcome=outcome)

    def _count(self, outcome: str) -> None:
        self._frames[outcome].inc()

    def _count_viewers(self) -> None:
        self._gauge.set(len(self._viewers) + len(self._jpegs))

    def _jpeg_failed(self, fault: Exception | None) -> None:
        self._tell_failed("jpeg", fault)

    def _tell_failed(self, form: str, fault: Exception | None) -> None:
        """None: it is over."""
        if fault is None:
            self._once.over(form)
        else:
            self._once.say(form, str(fault), logging.WARNING, _UNSEEN, self.camera, fault, code="view_failed")
