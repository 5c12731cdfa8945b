"""An `application/trickle-ice-sdpfrag` (RFC 8840, 9) in; its candidates, and which ICE session they belong to, out.

Pure.
"""

from dataclasses import dataclass

from aiortc import RTCIceCandidate
from aiortc.sdp import candidate_from_sdp

from streamer.webrtc.errors import CandidatesInvalid
from streamer.webrtc.offer import is_usable

MOST_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Fragment:
    """ufrag: None where the fragment does not say. candidates: those of use, each with its section's mid."""

    ufrag: str | None
    candidates: tuple[RTCIceCandidate, ...]


def read_fragment(text: str, first_mid: str) -> Fragment:
    """`first_mid`: of the section that candidates belong to which stand in none. Raises CandidatesInvalid."""
    ufrags: set[str] = set()
    candidates = []
    mid = first_mid
    lines = [line for line in text.splitlines() if line]
    for line in lines:
        if line[1:2] != "=" or not line[0].isalpha():
            raise CandidatesInvalid("the body is no SDP fragment: a line does not begin with a letter and =")
        attribute, _, value = line.removeprefix("a=").partition(":")
        if attribute == "mid":
            mid = value
        elif attribute == "ice-ufrag":
            ufrags.add(value)
        elif attribute == "candidate" and is_usable(value):
            candidate = candidate_from_sdp(value)
            candidate.sdpMid = mid
            candidates.append(candidate)
    if not lines or len(ufrags) > 1:
        raise CandidatesInvalid("the body is no SDP fragment of one ICE session: it is empty, or has two ice-ufrag")
    return Fragment(next(iter(ufrags), None), tuple(candidates))
