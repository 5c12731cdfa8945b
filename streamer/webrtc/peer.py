"""The seam: what a session does for its peer. A publisher's pictures go to a camera, a viewer gets a camera's."""

from typing import Protocol

from aiortc import RTCPeerConnection

from streamer.webrtc.offer import Offer


class Peer(Protocol):
    """One for each offer; its methods are called in this order, on the loop."""

    def set_up(self, connection: RTCPeerConnection, offer: Offer) -> None:
        """Before the offer is applied: handlers, transceivers, tracks, channels. Raises CodedErrors to refuse it."""

    def amended(self, answer: str) -> str:
        """The answer (SDP) as it is sent."""

    async def run(self) -> str:
        """From the answer to the end: returns why the session is over, or is cancelled where it is over otherwise."""

    def ended(self, why: str) -> None:
        """Once, last, where set_up() was left without an error: the connection is closed."""
