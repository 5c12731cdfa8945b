"""Pictures whose parameter sets are repeated before each of their slices: every picture is what its encoder made it.

Written by ffmpeg and by hand here; sent by GStreamer's payloader in tests/live/test_rtsp.py.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.packet import Packet

from streamer.ingest.packet_reader import Instant
from streamer.ingest.picture_joiner import PictureJoiner
from tests.streamer.ingest.clips import play
from tests.streamer.ingest.writers import by_ffmpeg

FPS, FRAMES, GOP = 25, 24, 8
_TEXTURE = cv2.resize(
    np.random.default_rng(3).integers(0, 255, (12, 20, 3), np.uint8), (320, 192), interpolation=cv2.INTER_CUBIC
)
MOVING = [np.roll(_TEXTURE, 4 * index, axis=1) for index in range(FRAMES)]
SLICED = {
    "h264": ("-c:v", "libx264", "-x264-params", f"slices=4:keyint={GOP}:scenecut=0:bframes=0"),
    "h264 with b": ("-c:v", "libx264", "-x264-params", f"slices=3:keyint={GOP}:scenecut=0:bframes=2"),
    "hevc": ("-c:v", "libx265", "-x265-params", f"log-level=none:slices=3:keyint={GOP}:scenecut=0:bframes=0"),
}


def units(stream: bytes) -> Iterator[bytes]:
    """The NAL units of a byte stream, each with its start code."""
    starts = [0]
    while (at := stream.find(b"\x00\x00\x01", starts[-1] + 4)) >= 0:
        starts.append(at - (stream[at - 1] == 0))
    for start, end in zip(starts, [*starts[1:], len(stream)], strict=True):
        yield stream[start:end]


def kind(unit: bytes, codec: str) -> int:
    header = unit[unit.index(b"\x01") + 1]
    return header >> 1 & 63 if codec == "hevc" else header & 31


def with_repeats(
    stream: bytes, codec: str, *, everywhere: bool = False, found: dict[int, bytes] | None = None
) -> bytes:
    """Its parameter sets before every slice of a keyframe, as GStreamer has it; `everywhere`: of every picture."""
    sets = {32, 33, 34} if codec == "hevc" else {7, 8}
    keys = {19, 20, 21} if codec == "hevc" else {5}
    slices = set(range(32)) if codec == "hevc" else {1, 5}
    found = {} if found is None else found
    written = []
    for unit in units(stream):
        this = kind(unit, codec)
        if this in sets:
            found[this] = unit
        elif this in (slices if everywhere else keys):
            written += found.values()
        written.append(unit)
    return b"".join(written)


def luma(clip: Path) -> list[np.ndarray]:
    with av.open(str(clip)) as container:
        return [frame.to_ndarray()[: frame.height] for frame in container.decode(video=0)]


def as_transport_stream(path: Path, pictures: list[bytes], codec: str) -> Path:
    """Each picture with its own time, muxed by libav."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        for number, data in enumerate(pictures):
            made = Packet(data)
            made.stream, made.time_base = stream, Fraction(1, FPS)
            made.pts = made.dts = number
            made.is_keyframe = number % GOP == 0
            container.mux(made)
    return path


def pictures_of(clip: Path) -> list[bytes]:
    with av.open(str(clip)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


# Without B-pictures a transport stream's times rise as its packets do.
@pytest.mark.parametrize(("how", "form"), [*((how, "raw") for how in SLICED), ("h264", "ts"), ("hevc", "ts")])
async def test_every_picture_is_whole(how, form, tmp_path):
    codec = "hevc" if how == "hevc" else "h264"
    plain = by_ffmpeg(tmp_path / f"plain.{codec}", MOVING, FPS, *SLICED[how], "-f", codec)
    right = luma(plain)
    if form == "raw":
        repeating = tmp_path / f"repeating.{codec}"
        repeating.write_bytes(with_repeats(plain.read_bytes(), codec))
    else:
        sets: dict[int, bytes] = {}
        pictures = [with_repeats(picture, codec, found=sets) for picture in pictures_of(plain)]
        repeating = as_transport_stream(tmp_path / "repeating.ts", pictures, codec)
    cut_up = luma(repeating)
    played = await play(repeating)
    assert not played.counts
    shown = [frame.image.luma() for frame in played.frames]
    assert len(shown) == len(right)
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(shown, right, strict=True)) == 0
    wrong = sum(not any((a == b).all() for b in right) for a in cut_up)
    assert wrong > FRAMES / 2, "libav alone takes the pieces for pictures"


async def test_repeats_in_every_picture_cost_one_picture(tmp_path):
    """Nobody is known to do it; it is noticed at the first picture that is no keyframe, which was decoded by then."""
    plain = by_ffmpeg(tmp_path / "plain.h264", MOVING, FPS, *SLICED["h264"], "-f", "h264")
    right = luma(plain)
    repeating = tmp_path / "repeating.h264"
    repeating.write_bytes(with_repeats(plain.read_bytes(), "h264", everywhere=True))
    played = await play(repeating)
    after = [frame.image.luma() for frame in played.frames][-(FRAMES - GOP) :]
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(after, right[GOP:], strict=True)) == 0


def packet(data: bytes, pts: int | None, *, key: bool = False) -> Packet:
    made = Packet(data)
    made.pts, made.is_keyframe = pts, key
    return made


def h264_context() -> av.VideoCodecContext:
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, av.VideoCodecContext)
    return context


SETS, IDR, MORE_IDR, P, MORE_P = (
    b"\x00\x00\x00\x01\x67\x42\x00\x00\x01\x68\xce",
    b"\x00\x00\x01\x65\x88\x84\x11",
    b"\x00\x00\x01\x65\x10\x22\x33",
    b"\x00\x00\x01\x41\x9a\x01\x44",
    b"\x00\x00\x01\x41\x20\x55\x66",
)
AT = Instant(1.0, 1.0)


def test_a_whole_picture_waits_for_nothing_but_the_first_keyframe():
    joiner = PictureJoiner(h264_context())
    stream = [packet(SETS + IDR, 0, key=True), packet(P, 1), packet(SETS + IDR, 2, key=True), packet(P, 3)]
    assert [len(joiner.push(each, AT)) for each in stream] == [0, 2, 1, 1]
    assert not any(each.is_corrupt for each in stream)


def test_pieces_are_joined_without_their_repeats_and_held_until_the_next_picture():
    joiner = PictureJoiner(h264_context())
    pieces = [packet(SETS + IDR, None, key=True), *(packet(SETS + MORE_IDR, 0, key=True) for _ in range(2))]
    assert [joiner.push(each, Instant(at, at)) for at, each in enumerate(pieces)] == [[], [], []]
    del pieces
    joined, following = joiner.push(packet(P, 1), AT)
    assert bytes(joined) == SETS + IDR + MORE_IDR + MORE_IDR
    assert (joined.pts, joined.is_keyframe, joined.opaque) == (0, True, Instant(2, 2))
    assert bytes(following) == P
    # From now on every keyframe is waited for.
    assert joiner.push(packet(SETS + IDR, 2, key=True), AT) == []
    assert len(joiner.push(Packet(), AT)) == 2, "the end lets it go"


def test_filler_behind_the_last_slice_is_no_picture():
    """Encoders of constant bit rate send it."""
    filler, end = b"\x00\x00\x01\x0c\xff\xff\x80", b"\x00\x00\x01\x0a"
    joiner = PictureJoiner(h264_context())
    for piece in (SETS + IDR, SETS + MORE_IDR + filler, SETS + MORE_IDR + filler + end):
        assert joiner.push(packet(piece, 0, key=True), AT) == []
    joined, following = joiner.push(packet(P, 1), AT)
    assert bytes(joined) == SETS + IDR + MORE_IDR + MORE_IDR
    assert bytes(following) == P
    assert not joined.is_corrupt


def test_one_join_is_not_for_ever():
    joiner = PictureJoiner(h264_context())
    for piece in (SETS + IDR, SETS + MORE_IDR):
        joiner.push(packet(piece, 0, key=True), AT)
    waits = [len(joiner.push(packet(SETS + IDR, number, key=True), AT)) for number in range(1, 40)]
    assert waits[0] == 1
    assert waits == [1] * 25 + [2] + [1] * 13, "held back until 25 were whole"


def test_a_picture_that_lacks_its_start_is_damaged():
    joiner = PictureJoiner(h264_context())
    joiner.push(packet(SETS + IDR, 0, key=True), AT)
    joiner.push(packet(P, 1), AT)
    headless = packet(MORE_P, 2)
    assert joiner.push(headless, AT) == [headless]
    assert headless.is_corrupt


def test_what_has_no_start_codes_passes():
    context = h264_context()
    context.extradata = b"\x01\x42\x00\x1e\xff\xe1\x00\x00\x00"
    for made in (PictureJoiner(context), PictureJoiner(av.CodecContext.create("mjpeg", "r"))):
        assert len(made.push(packet(b"\x00\x00\x01\x65\x10\x22\x33" * 40, 0, key=True), AT)) == 1
