"""A viewer of aiortc's, and a camera that is a row of pictures: both ends of a view without HTTP or models."""

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress

import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from streamer.ingest.frame import Frame, VideoImage
from streamer.live_view.view import LiveView
from streamer.pipeline.camera import CameraStatus
from streamer.pipeline.watching import SeenFace
from streamer.telemetry.metrics import Metrics
from streamer.webrtc.sessions import close_connection, open_sessions

ADA = "p" + "a" * 12
NAMES = {ADA: "Ada Lovelace"}


class Browser:
    """Looks at a camera: its pictures in `pictures`, what it is told in `messages`."""

    def __init__(self, channel="boxes"):
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTransceiver("video", direction="recvonly")
        self.pictures, self.messages = asyncio.Queue(), asyncio.Queue()
        if channel is not None:
            opened = self.connection.createDataChannel(channel)
            opened.on("message", lambda text: self.messages.put_nowait(json.loads(text)))
        self.connection.on("track", self._play)
        self._playing = None

    async def open(self, sessions, live_view, camera="door"):
        """Returns its session. Raises what the service refuses it with."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription.sdp
        session = await sessions.open(camera, offer, live_view.peer(camera))
        await self.connection.setRemoteDescription(RTCSessionDescription(session.answer, "answer"))
        return session

    def want_keyframe(self):
        """A picture loss indication, as a browser sends it."""
        (receiver,) = self.connection.getReceivers()
        (ssrc,) = (source.source for source in receiver.getSynchronizationSources())
        return receiver._send_rtcp_pli(ssrc)

    async def told(self, key):
        """The next message with this key."""
        while True:
            message = await self.messages.get()
            if key in message:
                return message

    def vanish(self):
        """Nothing is sent or read any more."""
        (transceiver,) = self.connection.getTransceivers()
        ice = transceiver.receiver.transport.transport
        for protocol in ice._connection._protocols:
            protocol.transport.abort()

    async def close(self):
        await close_connection(self.connection)
        if self._playing is not None:
            self._playing.cancel()  # the track of a connection that never stood does not end
            await asyncio.wait([self._playing])

    def _play(self, track):
        self._playing = asyncio.get_running_loop().create_task(self._keep(track), name="browser")

    async def _keep(self, track):
        with suppress(MediaStreamError):
            while True:
                self.pictures.put_nowait(await track.recv())


def picture(number, width=320, height=240):
    """A grey picture, another grey each time."""
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 40 + number * 10 % 160, np.uint8), format="bgr24")
    image = VideoImage(frame.reformat(format="yuv420p"))
    return Frame(number, image, time.time(), time.monotonic(), 0.001)


def busy_picture(number, width=640, height=360):
    """One that takes several packets: squares of other colours each time."""
    squares = np.random.default_rng(number).integers(0, 255, (height // 20, width // 20, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(squares.repeat(20, axis=0).repeat(20, axis=1), format="bgr24")
    return Frame(number, VideoImage(frame.reformat(format="yuv420p")), time.time(), time.monotonic(), 0.001)


FACE = SeenFace((10, 20, 60, 90), 0.9, True, ADA, 0.71, 0.83)


@asynccontextmanager
async def a_view(metrics=None, cameras=("door",), most=4):
    """A LiveView that runs, and sessions for its viewers."""
    live_view = LiveView(NAMES.get, metrics or Metrics())
    for camera in cameras:
        live_view.view(camera, 20.0)
        live_view.became(camera, CameraStatus("online"))
    async with asyncio.TaskGroup() as tasks, open_sessions((), most, lambda _: None) as sessions:
        running = tasks.create_task(live_view.run(), name="live view")
        try:
            yield live_view, sessions
        finally:
            await sessions.close_all("the test is over")
            running.cancel()


@asynccontextmanager
async def filming(view, fps=20.0, shape=(320, 240), faces=(FACE,), make=picture):
    """The camera's path gives it pictures, so many a second, and faces; yields the list of those given."""
    given = []

    async def film():
        while True:
            frame = make(len(given), *shape)
            given.append(frame)
            view.taken(frame)
            if view.looks:
                view.looked(frame, list(faces))
            await asyncio.sleep(1 / fps)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(film(), name="camera")
        yield given
        task.cancel()
