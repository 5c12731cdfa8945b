"""The header of an RTP packet (RFC 3550, 5.1). Pure."""

from typing import NamedTuple

_FIXED_BYTES = 12


class RtpPacket(NamedTuple):
    """Without its contributing sources, header extension and padding; the payload may be empty."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse_rtp(data: bytes) -> RtpPacket | None:
    """None where it is none, or says of itself that it is longer than it is."""
    if len(data) < _FIXED_BYTES or data[0] >> 6 != 2:
        return None
    start = _FIXED_BYTES + 4 * (data[0] & 15)
    if data[0] & 16:
        if len(data) < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    end = len(data)
    if data[0] & 32:
        if not 0 < data[-1] <= end - _FIXED_BYTES:
            return None
        end -= data[-1]
    if start > end:
        return None
    return RtpPacket(
        data[1] & 127,
        bool(data[1] & 128),
        int.from_bytes(data[2:4]),
        int.from_bytes(data[4:8]),
        int.from_bytes(data[8:12]),
        data[start:end],
    )


def step(new: int, old: int, bits: int) -> int:
    """How far a counter of so many bits, which wraps, went on; negative: back."""
    half = 1 << bits - 1
    return (new - old + half) % (1 << bits) - half
