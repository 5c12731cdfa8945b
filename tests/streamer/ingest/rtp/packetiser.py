"""Makes clips, cuts them into RTP packets by hand, loses some of them, and looks at what comes of it.

Pixels are compared with those that the clip's own packets give: whatever else is right, those must be.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import av
import numpy as np
from numpy.typing import NDArray

from streamer.ingest.packet_reader import Instant
from streamer.ingest.rtp.description import START_CODE, Codec, TrackDescription
from streamer.ingest.rtp.nal_unit import unit_kind

ENCODERS: dict[Codec, str] = {"h264": "libx264", "hevc": "libx265"}
FPS = 25
TICKS = 90_000 // FPS
PAYLOAD_TYPE = 96


@dataclass(frozen=True)
class Clip:
    """pictures: (pts in 1/90000 s, NAL units) in decoding order. lumas: by pts, (height, width) uint8."""

    codec: Codec
    pictures: tuple[tuple[int, tuple[bytes, ...]], ...]
    lumas: dict[int, NDArray[np.uint8]] = field(repr=False)

    @property
    def sets(self) -> tuple[bytes, ...]:
        """The first picture's parameter sets."""
        return tuple(unit for unit in self.pictures[0][1] if unit_kind(self.codec, unit).set_type)

    def out_of_band(self) -> "Clip":
        pictures = tuple(
            (pts, tuple(unit for unit in units if not unit_kind(self.codec, unit).set_type))
            for pts, units in self.pictures
        )
        return Clip(self.codec, pictures, self.lumas)

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        return {self.lumas[pts].tobytes(): number for number, pts in enumerate(sorted(self.lumas))}

    def index_of(self, luma: NDArray[np.uint8]) -> int | None:
        """Which picture this is, in the order in which they are shown, to the pixel; None: none."""
        return self._numbers.get(luma.tobytes())

    def track(self, sets: Iterable[bytes] = (), clock_rate: int = 90_000) -> TrackDescription:
        extradata = b"".join(START_CODE + unit for unit in sets)
        return TrackDescription(self.codec, PAYLOAD_TYPE, clock_rate, "streamid=0", 0, extradata)


def units_of(data: bytes) -> tuple[bytes, ...]:
    """The NAL units of Annex B."""
    parts = data.replace(START_CODE, START_CODE[1:]).split(START_CODE[1:])
    return tuple(part for part in parts if part)


def make_clip(codec: Codec, frames: int = 60, size: tuple[int, int] = (320, 192), **options: str) -> Clip:
    """A texture that moves, so that whatever is predicted from a wrong picture is wrong."""
    context = av.CodecContext.create(ENCODERS[codec], "w")
    context.width, context.height = size
    context.pix_fmt, context.time_base, context.framerate = "yuv420p", Fraction(1, FPS), Fraction(FPS)
    context.options = {"preset": "veryfast", "x265-params": "log-level=none", "threads": "1"} | options
    noise = np.random.default_rng(3).integers(0, 255, (size[1], size[0]), np.uint8)
    encoded = []
    for index in range(frames):
        planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
        planes[: size[1]] = np.roll(noise, 3 * index, axis=1) // 2 + 40
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        encoded += context.encode(frame)
    encoded += context.encode(None)
    pictures = tuple((int(packet.pts or 0) * TICKS, units_of(bytes(packet))) for packet in encoded)
    return Clip(codec, pictures, _decoded(codec, pictures))


def _decoded(codec: Codec, pictures: Iterable[tuple[int, tuple[bytes, ...]]]) -> dict[int, NDArray[np.uint8]]:
    context = av.CodecContext.create(codec, "r")
    lumas = {}
    for pts, units in pictures:
        packet = av.Packet(START_CODE + START_CODE.join(units))
        packet.pts = pts
        lumas |= {frame.pts: luma(frame) for frame in context.decode(packet)}
    return lumas | {frame.pts: luma(frame) for frame in context.decode(None)}


def luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:, : plane.width].copy()


def rtp(
    payload: bytes,
    sequence: int,
    timestamp: int,
    *,
    marker: bool = False,
    ssrc: int = 7,
    payload_type: int = PAYLOAD_TYPE,
    sources: int = 0,
    extension: bytes | None = None,
    padding: int = 0,
) -> bytes:
    """RFC 3550, 5.1."""
    first = 0x80 | sources | (16 if extension is not None else 0) | (32 if padding else 0)
    head = bytes([first, payload_type | (128 if marker else 0)]) + (sequence & 0xFFFF).to_bytes(2)
    head += (timestamp & 0xFFFFFFFF).to_bytes(4) + ssrc.to_bytes(4) + b"\1\2\3\4" * sources
    if extension is not None:
        head += b"\xbe\xde" + (len(extension) // 4).to_bytes(2) + extension
    return head + payload + (bytes(padding - 1) + bytes([padding]) if padding else b"")


def aggregate(codec: Codec, units: Iterable[bytes]) -> bytes:
    """A STAP-A, or an AP."""
    return (b"\x18" if codec == "h264" else b"\x60\x01") + b"".join(len(unit).to_bytes(2) + unit for unit in units)


def fragments(codec: Codec, unit: bytes, size: int) -> list[bytes]:
    """FU-As, or FUs."""
    if codec == "h264":
        head, kind, rest = bytes([unit[0] & 0xE0 | 28]), unit[0] & 31, unit[1:]
    else:
        head, kind, rest = bytes([unit[0] & 0x81 | 49 << 1, unit[1]]), unit[0] >> 1 & 63, unit[2:]
    parts = [rest[at : at + size] for at in range(0, len(rest), size)]
    last = len(parts) - 1
    flags = [kind | (128 if number == 0 else 0) | (64 if number == last else 0) for number in range(last + 1)]
    return [head + bytes([flag]) + part for flag, part in zip(flags, parts, strict=True)]


def payloads(codec: Codec, units: Iterable[bytes], mtu: int, *, aggregates: bool) -> list[bytes]:
    """A picture's, as ffmpeg (`aggregates`) or GStreamer makes them."""
    made: list[bytes] = []
    small: list[bytes] = []

    def let_go() -> None:
        if small:
            made.append(small[0] if len(small) == 1 else aggregate(codec, small))
            small.clear()

    for unit in units:
        if len(unit) > mtu:
            let_go()
            made += fragments(codec, unit, mtu)
        else:
            if not aggregates or sum(len(other) + 2 for other in small) + len(unit) > mtu:
                let_go()
            small.append(unit)
    let_go()
    return made


def packetise(
    clip: Clip,
    *,
    mtu: int = 400,
    aggregates: bool = True,
    sequence: int = 65_500,
    timestamp: int = 2**32 - 40_000,
    ssrc: int = 7,
) -> Iterator[tuple[bytes, Instant]]:
    """Packets at the clip's pace; numbers and timestamps wrap within the first pictures."""
    for number, (pts, units) in enumerate(clip.pictures):
        parts = payloads(clip.codec, units, mtu, aggregates=aggregates)
        for part in parts:
            at_s = number / FPS
            yield rtp(part, sequence, timestamp + pts, marker=part is parts[-1], ssrc=ssrc), Instant(1e9 + at_s, at_s)
            sequence += 1


def lossy(
    packets: Iterable[tuple[bytes, Instant]], *, loss: float = 0.0, swaps: float = 0.0, seed: int = 1
) -> Iterator[tuple[bytes, Instant]]:
    """A relay that loses a share of them, and lets a share of them be overtaken by the next one to three."""
    dice = random.Random(seed)
    held: list[tuple[int, bytes]] = []  # how many more go first, packet
    for packet, at in packets:
        if dice.random() < loss:
            continue
        if dice.random() < swaps:
            held.append((dice.randint(1, 3), packet))
            continue
        yield packet, at
        held = [(more - 1, one) for more, one in held]
        yield from ((one, at) for more, one in held if more == 0)
        held = [(more, one) for more, one in held if more]
    yield from ((one, at) for _, one in held)
