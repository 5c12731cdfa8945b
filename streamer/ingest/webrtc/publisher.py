"""One WHIP publisher: its video track into its camera's publication, newest picture first; its audio into nothing.

On the loop. aiortc decodes in a thread of its own, one a publisher.
"""

import asyncio
import logging
import time
from typing import Literal, Protocol

from aiortc import RTCPeerConnection
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame
from av.video.frame import VideoFrame

from streamer.errors import CameraError, StreamLost, StreamStalled
from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.publication import DecodedPicture, Publication, PublishedStream
from streamer.ingest.webrtc.bitrate import video_codecs, with_start_bitrate
from streamer.ingest.webrtc.lateness import Lateness
from streamer.webrtc.errors import OfferUnsupported
from streamer.webrtc.offer import Offer
from streamer.webrtc.sessions import CONNECT_S

log = logging.getLogger(__name__)

_CODECS: dict[str, Literal["vp8", "h264"]] = {"VP8": "vp8", "H264": "h264"}


class Track(Protocol):
    """A RemoteStreamTrack of aiortc's, as far as it is used."""

    @property
    def kind(self) -> str: ...

    async def recv(self) -> object: ...


class WhipPublisher:
    """A `webrtc.peer.Peer` that takes in."""

    def __init__(self, point: PublishPoint) -> None:
        self._point = point
        self._silent_after_s = point.camera.read_timeout_s
        self._tracks: list[Track] = []
        self._publication: Publication | None = None
        self._unwanted = asyncio.Event()

    def set_up(self, connection: RTCPeerConnection, offer: Offer) -> None:
        """Raises OfferUnsupported."""
        offered = offer.codecs("video", "sendonly")
        if not any(codec.upper() in _CODECS for codec in offered):
            has = f"video in {', '.join(sorted(set(offered)))[:80]}" if offered else "no video"
            raise OfferUnsupported(f"camera {self._point.name}: the offer sends {has}; VP8 and H.264 are taken")
        connection.on("track", self._tracks.append)

    def amended(self, answer: str) -> str:
        """The camera is this publisher's from here on. Raises PublisherPresent."""
        codec = video_codecs(answer)[0]  # the one that is sent, unless the peer changes its mind
        publication = Publication(PublishedStream(_CODECS[codec], "webrtc"), self._unwanted.set)
        self._point.admit(publication)
        self._publication = publication
        log.info("camera %s: a publisher by WebRTC (%s)", self._point.name, codec)
        return with_start_bitrate(answer)

    async def run(self) -> str:
        """Until the video ends, falls silent or comes too late, or the camera wants it no more."""
        video = next(track for track in self._tracks if track.kind == "video")
        async with asyncio.TaskGroup() as tasks:
            drains = [tasks.create_task(_drain(track)) for track in self._tracks if track is not video]
            ends = [tasks.create_task(self._take(video)), tasks.create_task(self._dismissed())]
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in (*drains, *ends):
                task.cancel()
        return done.pop().result()

    def ended(self, why: str) -> None:
        """Nothing more comes."""
        if self._publication is not None:
            self._publication.end(StreamLost(f"camera {self._point.name}: its publisher is gone: {why}"))

    async def _dismissed(self) -> str:
        await self._unwanted.wait()
        return "the camera wants no more of it"

    async def _take(self, track: Track) -> str:
        publication, name = self._publication, self._point.name
        assert publication is not None
        lateness = Lateness()
        limit_s = self._silent_after_s + CONNECT_S  # the first one's
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    frame = await track.recv()
            except MediaStreamError:
                return "its video ended"
            except TimeoutError:
                publication.end(_stalled(name, f"sent no picture for {self._silent_after_s:g} s"))
                return "it sent no picture"
            limit_s = self._silent_after_s
            at = Instant(time.time(), time.monotonic())
            assert isinstance(frame, VideoFrame)
            publication.put(DecodedPicture(frame, at))
            if lateness.is_hopeless(_sent_s(frame), at.monotonic_s):
                publication.end(_stalled(name, "sends more than can be decoded here in time; send a smaller picture"))
                return "its pictures came later and later"


async def _drain(track: Track) -> None:
    """aiortc keeps without limit what nobody takes."""
    try:
        while True:
            await track.recv()
    except MediaStreamError:
        return


def _stalled(name: str, what: str) -> CameraError:
    return StreamStalled(f"camera {name}: its publisher {what}")


def _sent_s(frame: Frame) -> float | None:
    return None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
