"""A publisher of aiortc's, and a peer that keeps what comes: both ends of a session without HTTP."""

import asyncio
import threading
from contextlib import asynccontextmanager
from pathlib import Path

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError

from streamer.webrtc.sessions import close_connection


class Publisher:
    """Sends a green picture of 640x480, 30 a second."""

    def __init__(self, *tracks, connection=None):
        self.connection = connection or RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for track in tracks or (VideoStreamTrack(),):
            self.connection.addTransceiver(track, direction="sendonly")

    async def offer(self):
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def accept(self, answer):
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def close(self):
        await close_connection(self.connection)


class Pausing(VideoStreamTrack):
    """Sends while `going` is set."""

    def __init__(self):
        super().__init__()
        self.going = asyncio.Event()
        self.going.set()

    async def recv(self):
        await self.going.wait()
        return await super().recv()


class Keeper:
    """A Peer that counts the pictures that come."""

    def __init__(self):
        self.pictures = asyncio.Queue()
        self.ends = []
        self.tracks = []

    def set_up(self, connection, offer):
        connection.on("track", self.tracks.append)

    def amended(self, answer):
        return answer

    async def run(self):
        try:
            while True:
                self.pictures.put_nowait(await self.tracks[0].recv())
        except MediaStreamError:
            return "the track ended"

    def ended(self, why):
        self.ends.append(why)


def resources():
    """(tasks, threads of decoders, sockets) of this process."""
    threads = [thread for thread in threading.enumerate() if thread.name.endswith("-decoder")]
    sockets = [end for end in Path("/proc/self/fd").iterdir() if _is_socket(end)]
    return len(asyncio.all_tasks()), len(threads), len(sockets)


def _is_socket(end):
    try:
        return str(end.readlink()).startswith("socket:")
    except FileNotFoundError:
        return False


@asynccontextmanager
async def nothing_left():
    """What was open before is what is open after, soon."""
    before = resources()
    yield
    async with asyncio.timeout(60):
        while resources() > before:
            await asyncio.sleep(0.01)
    assert resources() == before
