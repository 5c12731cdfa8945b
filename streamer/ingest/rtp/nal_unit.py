"""What a NAL unit is, by its first bytes: ITU-T H.264, 7.3.1 and 7.3.3; H.265, 7.3.1.2 and 7.3.6.1. Pure."""

from typing import NamedTuple

from streamer.ingest.decode_gate.picture_kind import begins_at_once
from streamer.ingest.rtp.description import Codec


class UnitKind(NamedTuple):
    """is_first: a picture's first slice. begins: decoding may begin at its picture. set_type: of a parameter set, which
    go in the order of these; 0: none.
    """

    is_slice: bool = False
    is_first: bool = False
    begins: bool = False
    set_type: int = 0


_OTHER = UnitKind()


def unit_kind(codec: Codec, unit: bytes) -> UnitKind:
    """Of a unit without its start code."""
    return _h264(unit) if codec == "h264" else _h265(unit)


def set_types(codec: Codec) -> tuple[int, ...]:
    """The parameter sets that a picture needs."""
    return (7, 8) if codec == "h264" else (32, 33, 34)


def _h264(unit: bytes) -> UnitKind:
    if len(unit) < 2:
        return _OTHER
    kind = unit[0] & 31
    if kind in (7, 8):
        return UnitKind(set_type=kind)
    if 1 <= kind <= 5:  # of data partitions, 2 to 4, the first alone has a slice's header
        return UnitKind(True, kind in (1, 2, 5) and bool(unit[1] & 128), kind == 5)
    return UnitKind(begins=kind == 6 and begins_at_once(unit) is True)


def _h265(unit: bytes) -> UnitKind:
    if len(unit) < 3:
        return _OTHER
    kind = unit[0] >> 1 & 63
    if 32 <= kind <= 34:
        return UnitKind(set_type=kind)
    if kind < 32:
        return UnitKind(True, bool(unit[2] & 128), 16 <= kind <= 21)
    return _OTHER
