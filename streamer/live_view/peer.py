"""The service's side of one viewer's connection: a track of pictures that are encoded already, a channel of messages.

Needs the extra `webrtc`. Its methods are called by the signalling, in the order in which they stand.
"""

from aiortc import RTCDataChannel, RTCPeerConnection, RTCRtpSender
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.packet import Packet
from av.video.stream import VideoStream

from streamer.live_view.camera_view import CameraView
from streamer.live_view.viewer import Viewer
from streamer.webrtc.errors import OfferUnsupported
from streamer.webrtc.offer import Offer

CHANNEL = "boxes"
_CODECS = [
    codec for codec in RTCRtpSender.getCapabilities("video").codecs if codec.mimeType in ("video/VP8", "video/rtx")
]


class SharedTrack(MediaStreamTrack):
    """A viewer's pictures. aiortc packs and sends what is encoded as it is."""

    kind = "video"

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer

    async def recv(self) -> "Packet[VideoStream]":
        """Asked for from when the connection stands until it is closed. Raises MediaStreamError."""
        packet = await self._viewer.take()
        if packet is None:
            raise MediaStreamError
        return packet


class ViewerPeer:
    """A `webrtc.peer.Peer` that sends."""

    def __init__(self, view: CameraView) -> None:
        self._view = view
        self._viewer: Viewer | None = None

    def set_up(self, connection: RTCPeerConnection, offer: Offer) -> None:
        """Raises OfferUnsupported."""
        if "VP8" not in offer.codecs("video", "recvonly"):
            raise OfferUnsupported(
                "the offer must ask for video in VP8 (a transceiver that is recvonly); no other is sent"
            )
        viewer = self._viewer = self._view.admit()
        transceiver = connection.addTransceiver(SharedTrack(viewer), direction="sendonly")
        transceiver.setCodecPreferences(_CODECS)
        # aiortc keeps a viewer's wish for a keyframe (PLI, FIR) for an encoder of its own, which there is not.
        setattr(transceiver.sender, "_send_keyframe", viewer.want_keyframe)  # noqa: B010

        @connection.on("datachannel")
        def opened(channel: RTCDataChannel) -> None:
            if channel.label == CHANNEL:
                viewer.listen(channel)

    def amended(self, answer: str) -> str:
        """As it is."""
        return answer

    async def run(self) -> str:
        """Until the camera is removed, or this is cancelled because the viewer left."""
        assert self._viewer is not None
        await self._viewer.over.wait()
        return self._viewer.why_over

    def ended(self, why: str) -> None:
        """Nothing of the viewer is left."""
        if self._viewer is not None:
            self._viewer.end(why)
