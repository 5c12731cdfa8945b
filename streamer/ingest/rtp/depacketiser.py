"""Payloads of RTP packets -> NAL units: RFC 6184 (H.264) and RFC 7798 (H.265). Pure but for the unit that is begun.

What is interleaved (STAP-B, MTAP, FU-B) or extended (PACI) is refused: it was not agreed on.
"""

from typing import NamedTuple

from streamer.ingest.rtp.description import Codec

MOST_UNIT_BYTES = 8 * 2**20


class Payload(NamedTuple):
    """Whole NAL units without start codes. is_damaged: something of what belongs here is missing or was no use."""

    units: list[bytes]
    is_damaged: bool = False


class _Layout(NamedTuple):
    header_bytes: int  # of a NAL unit
    largest_single: int
    aggregate: int
    fragment: int


_LAYOUTS: dict[Codec, _Layout] = {"h264": _Layout(1, 23, 24, 28), "hevc": _Layout(2, 47, 48, 49)}


class Depacketiser:
    """Payloads go in, in order."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._layout = _LAYOUTS[codec]
        self._begun: bytearray | None = None  # a NAL unit that comes in fragments
        self.refused = 0  # payloads of a kind that is not taken

    def push(self, payload: bytes) -> Payload:
        """The next one; an empty one says nothing."""
        if not payload:
            return Payload([])
        if len(payload) <= self._layout.header_bytes:
            return Payload([], self.drop() or True)
        kind = self._kind(payload)
        if kind == self._layout.fragment:
            return self._fragment(payload)
        was_cut = self.drop()
        if kind == self._layout.aggregate:
            units, is_damaged = self._aggregate(payload)
            return Payload(units, is_damaged or was_cut)
        if kind <= self._layout.largest_single and (kind or self._codec == "hevc"):
            return Payload([payload], was_cut)
        self.refused += 1
        return Payload([], True)

    def drop(self) -> bool:
        """What was begun will not be ended; whether there was anything."""
        begun, self._begun = self._begun, None
        return begun is not None

    def _kind(self, payload: bytes) -> int:
        return payload[0] & 31 if self._codec == "h264" else payload[0] >> 1 & 63

    def _aggregate(self, payload: bytes) -> Payload:
        units: list[bytes] = []
        at = self._layout.header_bytes
        while at + 2 <= len(payload):
            size = int.from_bytes(payload[at : at + 2])
            at += 2 + size
            if at > len(payload) or size <= self._layout.header_bytes:
                return Payload(units, True)
            units.append(payload[at - size : at])
        return Payload(units, at != len(payload))

    def _fragment(self, payload: bytes) -> Payload:
        header = self._layout.header_bytes
        flags = payload[header]
        starts, ends = bool(flags & 128), bool(flags & 64)
        is_damaged = False
        if starts:
            is_damaged = self.drop()
            self._begun = bytearray(self._unit_header(payload, flags))
        if self._begun is None:
            return Payload([], True)
        self._begun += payload[header + 1 :]
        if len(self._begun) > MOST_UNIT_BYTES:
            return Payload([], self.drop())
        if not ends:
            return Payload([], is_damaged)
        unit = bytes(self._begun)
        self._begun = None
        return Payload([unit] if len(unit) > header else [], is_damaged or len(unit) <= header)

    def _unit_header(self, payload: bytes, flags: int) -> bytes:
        if self._codec == "h264":
            return bytes([payload[0] & 0xE0 | flags & 31])
        return bytes([payload[0] & 0x81 | (flags & 63) << 1, payload[1]])
