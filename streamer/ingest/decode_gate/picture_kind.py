"""What an encoded picture is to the others, by its first slice: where decoding may begin, what nothing is made from.

Bytes of one picture go in, a PictureKind comes out: ITU-T H.264, 7.3.1 and D.1.8; H.265, 7.3.1.2. Pure.
"""

from collections.abc import Iterator
from typing import NamedTuple

_START = b"\x00\x00\x01"
# Where the first slice begins, in most pictures: after parameter sets and small messages.
_LOOK_AT = 2048


class PictureKind(NamedTuple):
    """is_entry: decoding may begin here. is_reference: others are made from it. is_refresh: from here on the picture
    mends itself bit by bit (intra refresh), which libav's parser calls a keyframe, too.
    """

    is_entry: bool
    is_reference: bool = True
    is_refresh: bool = False


class KindReader:
    """Of one opening of a stream."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        """codec: as libav names it; extradata: whose first byte says whether units have lengths, as in MP4."""
        self._codec = codec
        self._length_bytes = 0
        if extradata[:1] == b"\x01":  # ISO/IEC 14496-15: avcC, hvcC
            place = 4 if codec == "h264" else 21
            self._length_bytes = (extradata[place] & 3) + 1 if len(extradata) > place else 4

    def read(self, data: bytes | memoryview, *, is_keyframe: bool) -> PictureKind:
        """data: of a whole picture; is_keyframe: as who made the packet flagged it."""
        if self._codec not in ("h264", "hevc"):
            return PictureKind(is_keyframe)
        for size in (_LOOK_AT, len(data)):
            kind = self._read(bytes(data[:size]))
            if kind is not None:
                return kind
        return PictureKind(is_entry=False)

    def _read(self, data: bytes) -> PictureKind | None:
        """None where no slice was met."""
        begins: bool | None = None
        for at, end in self._units(data):
            if self._codec == "hevc":
                kind = data[at] >> 1 & 63
                if kind < 32:  # up to 14, the even ones are sub-layer non-reference pictures
                    return PictureKind(16 <= kind <= 21, kind % 2 == 1 or kind > 14)
                continue
            kind = data[at] & 31
            if 1 <= kind <= 5:
                is_entry = kind == 5 or begins is True
                return PictureKind(is_entry, bool(data[at] & 96), begins is False and not is_entry)
            if kind == 6 and begins is None:
                begins = begins_at_once(data[at:end])
        return None

    def _units(self, data: bytes) -> Iterator[tuple[int, int]]:
        """(start, end) of each unit whose header is there."""
        if self._length_bytes:
            at = self._length_bytes
            while at < len(data):
                end = at + int.from_bytes(data[at - self._length_bytes : at])
                yield at, min(end, len(data))
                at = end + self._length_bytes
            return
        at = data.find(_START)
        while 0 <= at < len(data) - 3:
            end = data.find(_START, at + 3)
            yield at + 3, len(data) if end < 0 else end
            at = end


def begins_at_once(unit: bytes) -> bool | None:
    """Whether an H.264 SEI unit with a recovery point says that all is right from this picture on; None: it has none.

    True is an open GOP's beginning. An intra refresh promises that for later, and x264's does not always keep it:
    such a stream waits for an IDR.
    """
    at = 1
    while at < len(unit) - 2:
        numbers = []
        for _ in ("type", "size"):
            number = 0
            while at < len(unit) and unit[at] == 255:
                number, at = number + 255, at + 1
            numbers.append(number + (unit[at] if at < len(unit) else 0))
            at += 1
        if numbers[0] == 6:
            return at < len(unit) and bool(unit[at] & 128)  # recovery_frame_cnt is 0
        at += numbers[1]
    return None
