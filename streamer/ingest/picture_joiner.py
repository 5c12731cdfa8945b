"""Puts a picture together again that was cut into several packets. Packets in, packets out; on a camera's thread, pure.

Some payloaders (GStreamer's with config-interval=-1) repeat the parameter sets before every slice of a keyframe, not
only before its first. libav's parsers take each repeat for the start of a picture: all slices but one are concealed,
and what is predicted from that picture is wrong, too. Only H.264 and H.265 with start codes can be cut like that.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamer.ingest.packet_reader import Instant

# Where the first slice begins, in most packets: after parameter sets and small messages.
_LOOK_AT = 2048
# So many whole pictures one after another, and the stream does not do it (any more).
_TRUST = 25
_START = b"\x00\x00\x01"


class _Unit(NamedTuple):
    """A NAL unit: where its start code is; whether it is a slice, and a picture's first."""

    at: int
    is_slice: bool
    is_first: bool


class PictureJoiner:
    """Of one opening.

    Whether a picture is whole shows only when the next packet is there. One is held back until then where a picture
    like it (a keyframe, or another) was in pieces before; the first keyframe, too, as all that follows is made from it.
    """

    def __init__(self, context: VideoCodecContext) -> None:
        has_lengths = (context.extradata or b"")[:1] == b"\x01"  # as MP4 has it: ISO/IEC 14496-15
        self._read = None if has_lengths else _READ.get(context.name)
        self._last: Packet[VideoStream] | None = None  # the last picture's
        self._is_held = False
        self._in_pieces = {True}  # of keyframes, of others
        self._whole = _TRUST - 1  # that were held back and needed it not, one after another

    def push(self, packet: "Packet[VideoStream]", at: Instant) -> "list[Packet[VideoStream]]":
        """The next one -> those that are whole now, in order, each with the moment at which its last piece came.

        One whose picture lacks its start is marked corrupt.
        """
        if packet.size:
            packet.opaque = Instant(*at)  # PyAV takes it from both of two packets that share one when the first is gone
        if self._read is None:
            return [packet]
        if not packet.size:  # the end of the stream
            return [*self._let_go(), packet]
        if not self._begins_picture(packet):
            if self._continues(packet):
                return self._join(packet, at)
            packet.is_corrupt = True
        whole = self._let_go()
        self._last = packet
        if packet.is_keyframe in self._in_pieces:
            self._is_held = True
            return whole
        return [*whole, packet]

    def _let_go(self) -> "list[Packet[VideoStream]]":
        """The packet that is held back, now that nothing more of it can come."""
        if not self._is_held or self._last is None:
            return []
        self._is_held = False
        self._whole += 1
        if self._whole >= _TRUST:
            self._in_pieces.discard(self._last.is_keyframe)
        return [self._last]

    def _begins_picture(self, packet: "Packet[VideoStream]") -> bool:
        """Whether its first slice does; also where it has none."""
        for size in (_LOOK_AT, packet.size):
            for unit in self._units(bytes(memoryview(packet)[:size])):
                if unit.is_slice:
                    return unit.is_first
        return True

    def _continues(self, packet: "Packet[VideoStream]") -> bool:
        """Whether it can be of the last packet's picture. Only one piece of a picture may have been given its time."""
        last = self._last
        return last is not None and (last.pts is None or packet.pts in (None, last.pts))

    def _join(self, packet: "Packet[VideoStream]", at: Instant) -> "list[Packet[VideoStream]]":
        """Its slices to the last picture; what is of the next one (H.265's parser leaves both together) is pushed."""
        assert self._last is not None
        last, self._whole = self._last, -1
        self._in_pieces.add(last.is_keyframe)
        data = bytes(packet)
        slices, rest = self._split(data)
        joined = _packet(bytes(last) + slices, packet)
        joined.opaque = Instant(*at)
        joined.pts = packet.pts if last.pts is None else last.pts
        joined.dts = packet.dts if last.dts is None else last.dts
        joined.is_keyframe, joined.is_corrupt = last.is_keyframe, last.is_corrupt or packet.is_corrupt
        self._last, self._is_held = joined, True
        return self.push(_packet(rest, packet), at) if rest else []

    def _split(self, data: bytes) -> tuple[bytes, bytes]:
        """(the slices of the picture that went before, what comes from the next picture on, if there is one)."""
        units = list(self._units(data))
        ends = [*(unit.at for unit in units[1:]), len(data)]
        first = next((number for number, unit in enumerate(units) if unit.is_first), len(units))
        mine = [(unit.at, end) for unit, end in zip(units[:first], ends, strict=False) if unit.is_slice]
        rest = data[mine[-1][1] :] if first < len(units) else b""  # else filler, or the end of a sequence
        return b"".join(data[at:end] for at, end in mine), rest

    def _units(self, data: bytes) -> Iterator[_Unit]:
        assert self._read is not None
        at = data.find(_START)
        while 0 <= at < len(data) - 5:
            yield self._read(data, at)
            at = data.find(_START, at + 3)


def _packet(data: bytes, like: "Packet[VideoStream]") -> "Packet[VideoStream]":
    """One without a time of its own, on the clock of another."""
    made = cast("Packet[VideoStream]", Packet(data))
    if like.time_base:
        made.time_base = like.time_base
    return made


def _h264(data: bytes, at: int) -> _Unit:
    """ITU-T H.264, 7.3.1 and 7.3.3: a slice's header begins with first_mb_in_slice, whose 0 is a single 1 bit."""
    is_slice = data[at + 3] & 31 in (1, 5)
    return _Unit(at, is_slice, is_slice and bool(data[at + 4] & 128))


def _h265(data: bytes, at: int) -> _Unit:
    """ITU-T H.265, 7.3.1.2 and 7.3.6.1: a slice's header begins with first_slice_segment_in_pic_flag."""
    is_slice = data[at + 3] >> 1 & 63 < 32
    return _Unit(at, is_slice, is_slice and bool(data[at + 5] & 128))


_READ: dict[str, Callable[[bytes, int], _Unit]] = {"h264": _h264, "hevc": _h265}
