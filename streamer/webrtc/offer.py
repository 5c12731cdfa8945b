"""An SDP offer from anywhere in, checked and cleaned; what is no use of it is refused here, before aiortc acts on it.

Pure. What aiortc raises on odd SDP is of all kinds: it is told apart here alone.
"""

import ipaddress
from dataclasses import dataclass, field
from typing import Literal

from aiortc import InvalidStateError
from aiortc.exceptions import InternalError, InvalidAccessError, OperationError
from aiortc.sdp import MediaDescription, SessionDescription, candidate_from_sdp

from streamer.webrtc.errors import OfferInvalid, OfferUnsupported

MOST_BYTES = 64 * 1024  # Chromium's with all its codecs is 7 kB
MOST_CANDIDATES = 64  # of one session, all its life: each is sent checks

SDP_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    InternalError,
    InvalidAccessError,
    InvalidStateError,
    LookupError,
    OperationError,
    StopIteration,
    TypeError,
    ValueError,
)

Direction = Literal["sendonly", "recvonly"]


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """sdp: as it is applied. ufrag: which ICE session it begins. candidates: how many came with it."""

    sdp: str = field(repr=False)
    ufrag: str
    candidates: int
    media: tuple[MediaDescription, ...] = field(repr=False)

    def codecs(self, kind: str, direction: Direction) -> list[str]:
        """The names (`VP8`) of what the peer would send or receive of a kind; empty where it would not."""
        return [
            codec.name
            for media in self.media
            if media.kind == kind and media.direction in (None, direction, "sendrecv")
            for codec in media.rtp.codecs
        ]


def read_offer(text: str) -> Offer:
    """Raises OfferInvalid for what is no offer, OfferUnsupported for one that asks for more than there is here."""
    sdp, candidates = _cleaned(text)
    try:
        description = SessionDescription.parse(sdp)
        return _checked(sdp, candidates, description)
    except SDP_FAULTS:
        raise OfferInvalid("the offer is no SDP offer of WebRTC that can be read; send a browser's as it is") from None


def is_usable(candidate: str) -> bool:
    """A candidate (`1 1 udp 2122260223 192.0.2.1 61764 typ host`) that checks can be sent to.

    Names (`….local`) are not looked up: the peer reaches us, and is then known by its address.
    """
    try:
        found = candidate_from_sdp(candidate)
        address = ipaddress.ip_address(found.ip)
    except SDP_FAULTS:
        return False
    usable = not (address.is_multicast or address.is_unspecified) and 0 < found.port < 65536
    return bool(usable and found.protocol.lower() == "udp" and found.component == 1)


def _checked(sdp: str, candidates: int, description: SessionDescription) -> Offer:
    media = tuple(description.media)
    for part in media:
        assert part.ice is not None, "a media section without ICE"
        assert part.dtls is not None, "a media section without DTLS"
        if not (part.ice.usernameFragment and part.ice.password and part.dtls.fingerprints and part.rtp.muxId):
            raise ValueError("a media section without a name, an ICE login or a fingerprint")
    names = {part.rtp.muxId for part in media}
    if len(names) < len(media) or any(set(group.items) - names for group in description.group):
        raise ValueError("two media sections of one name, or a group of sections that are not there")
    kinds = [part.kind for part in media]
    # RFC 9725, 4.4.2 and 4.4.3: one track of a kind, and an offer is taken as a whole or not at all.
    if set(kinds) - {"audio", "video", "application"} or len(set(kinds)) < len(kinds):
        raise OfferUnsupported(f"the offer has {', '.join(kinds)[:80]}; one video, one audio, one data section may be")
    ice = media[0].ice  # an IndexError where there is no section at all
    assert ice is not None
    return Offer(sdp, str(ice.usernameFragment), candidates, media)


def _cleaned(text: str) -> tuple[str, int]:
    """Without candidates that are no use and without the word that no more come: a peer is known when it calls.

    aiortc gives up at once on a peer that has said all its candidates, when none of them was usable.
    """
    kept, candidates = [], 0
    for line in text.splitlines():
        if line.startswith("a=candidate:"):
            if candidates >= MOST_CANDIDATES or not is_usable(line.removeprefix("a=candidate:")):
                continue
            candidates += 1
        elif line.startswith("a=end-of-candidates"):
            continue
        kept.append(line)
    return "\r\n".join([*kept, ""]), candidates
