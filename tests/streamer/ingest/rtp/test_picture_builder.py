"""Packets that are in order -> access units: where they end, what they say of gaps, the parameter sets in front."""

import pytest

from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.publication import EncodedPicture
from streamer.ingest.rtp.description import START_CODE, TrackDescription
from streamer.ingest.rtp.packet import RtpPacket
from streamer.ingest.rtp.picture_builder import MOST_PICTURE_BYTES, PictureBuilder, Timeline
from streamer.ingest.rtp.reorder import Ordered
from tests.streamer.ingest.rtp.packetiser import aggregate, fragments, units_of

SPS, PPS, NEW_SPS = b"\x67\x42\xc0\x1e", b"\x68\xce\x3c", b"\x67\x4d\x40\x28"
IDR, IDR_SECOND = b"\x65\x88idr", b"\x65\x09idr, second slice"
SLICE, SECOND = b"\x41\x9aslice", b"\x41\x09second"
AUD, SEI = b"\x09\xf0", b"\x06\x05\x01x\x80"


class Builder:
    """Its packets come 10 ms apart."""

    def __init__(self, sets: tuple[bytes, ...] = (), clock_rate: int = 90_000) -> None:
        extradata = b"".join(START_CODE + unit for unit in sets)
        self.builder = PictureBuilder(TrackDescription("h264", 96, clock_rate, "", 0, extradata))
        self.now_s = 0.0
        self.out: list[EncodedPicture] = []

    def send(self, timestamp: int, *payloads: bytes, marker: bool = True, gap: bool = False) -> "Builder":
        """A picture's packets; gap: before the first of them."""
        for number, payload in enumerate(payloads):
            self.now_s = round(self.now_s + 0.01, 2)
            is_last = marker and number == len(payloads) - 1
            packet = RtpPacket(96, is_last, 0, timestamp, 7, payload)
            at = Instant(1e9 + self.now_s, self.now_s)
            self.out += self.builder.push(Ordered(packet, at, gap and number == 0))
        return self

    def seen(self) -> list[tuple[tuple[bytes, ...], str]]:
        """Each picture's units and marks: Keyframe, after a Gap, Damaged."""
        marks = [
            ("K" if p.is_keyframe else "") + ("G" if p.is_after_gap else "") + ("D" if p.is_damaged else "")
            for p in self.out
        ]
        return [(units_of(picture.data), mark) for picture, mark in zip(self.out, marks, strict=True)]


@pytest.mark.parametrize(
    "payloads",
    [
        (SPS, PPS, IDR, IDR_SECOND),
        (aggregate("h264", [SPS, PPS]), IDR, *fragments("h264", IDR_SECOND, 5)),
        (aggregate("h264", [SPS, PPS, IDR, IDR_SECOND]),),
    ],
)
def test_a_picture_ends_at_its_marker_and_is_of_its_last_packets_moment(payloads):
    built = Builder().send(1000, *payloads).send(4600, SLICE, SECOND)
    assert built.seen() == [((SPS, PPS, IDR, IDR_SECOND), "K"), ((SLICE, SECOND), "")]
    first, second = built.out
    assert first.at.monotonic_s == pytest.approx(0.01 * len(payloads))
    assert first.data.startswith(START_CODE)
    assert (first.pts, second.pts) == (1000, 4600)


def test_without_markers_it_ends_with_the_next_timestamp():
    built = Builder().send(1, SPS, PPS, IDR, marker=False).send(2, SLICE, SECOND, marker=False)
    assert built.seen() == [((SPS, PPS, IDR), "K")]
    built.send(3, SLICE, marker=False)
    assert built.seen()[1:] == [((SLICE, SECOND), "")]


def test_where_each_slice_has_a_marker_it_ends_with_the_next_timestamp_from_then_on():
    built = Builder((SPS, PPS)).send(1, IDR).send(1, IDR_SECOND)
    for timestamp in (2, 3, 4):
        built.send(timestamp, SLICE).send(timestamp, SECOND)
    built.send(5, IDR).send(5, IDR_SECOND).send(6, SLICE)
    whole = [((SLICE, SECOND), "")] * 3 + [((SPS, PPS, IDR, IDR_SECOND), "K")]
    assert built.seen() == [((SPS, PPS, IDR), "K"), ((SPS, PPS, IDR_SECOND), "KD"), *whole]


def test_a_first_slice_that_was_lost_is_no_reason_to_distrust_markers():
    built = Builder((SPS, PPS)).send(1, IDR).send(2, SECOND, gap=True).send(3, SECOND).send(4, SLICE, SECOND)
    assert [mark for _, mark in built.seen()] == ["K", "GD", "D", ""]
    assert built.seen()[-1] == ((SLICE, SECOND), "")


def test_markers_at_parameter_sets_end_nothing():
    built = Builder().send(1, SPS).send(1, PPS).send(1, SEI).send(1, IDR).send(2, SLICE)
    assert built.seen() == [((SPS, PPS, SEI, IDR), "K"), ((SLICE,), "")]
    built = Builder().send(1, SPS).send(1, PPS).send(2, IDR)
    assert built.seen() == [((SPS, PPS, IDR), "K")]


@pytest.mark.parametrize(
    ("told", "sent", "first", "later"),
    [
        ((SPS, PPS), (IDR,), (SPS, PPS, IDR), (SPS, PPS, IDR)),
        ((SPS, PPS), (AUD, IDR), (SPS, PPS, AUD, IDR), (SPS, PPS, IDR)),
        ((SPS, PPS), (NEW_SPS, IDR), (PPS, NEW_SPS, IDR), (NEW_SPS, PPS, IDR)),
        ((), (SPS, PPS, IDR), (SPS, PPS, IDR), (SPS, PPS, IDR)),
        ((), (IDR,), (IDR,), (IDR,)),
        ((SPS, PPS, b"\x41junk"), (IDR,), (SPS, PPS, IDR), (SPS, PPS, IDR)),
    ],
)
def test_a_keyframe_has_the_sdps_parameter_sets_or_those_that_came_since(told, sent, first, later):
    built = Builder(told).send(1, *sent).send(2, SLICE).send(3, IDR)
    assert [units for units, _ in built.seen()] == [first, (SLICE,), later]


@pytest.mark.parametrize(
    ("gap_at", "marks"),
    [
        ((2, 0), ["K", "GD", ""]),  # its first slice, or a picture before it as well
        ((2, 1), ["K", "D", ""]),  # its second
        ((3, 0), ["K", "", "G"]),  # a whole picture between
    ],
)
def test_a_gap_is_told_of_the_picture_that_it_is_in_or_before(gap_at, marks):
    built = Builder((SPS, PPS)).send(1, IDR)
    picture, place = gap_at
    if (picture, place) == (2, 0):
        built.send(2, SECOND, gap=True)
    elif place == 1:
        built.send(2, SLICE, marker=False).send(2, SECOND, gap=True)
    else:
        built.send(2, SLICE, SECOND)
    built.send(3, SLICE, gap=picture == 3)
    assert [mark for _, mark in built.seen()] == marks


def test_a_gap_over_the_end_of_one_and_the_start_of_the_next_marks_both():
    built = Builder((SPS, PPS)).send(1, IDR).send(2, SLICE, marker=False).send(3, SECOND, gap=True).send(4, SLICE)
    assert [mark for _, mark in built.seen()] == ["K", "D", "GD", ""]
    built = Builder((SPS, PPS)).send(1, IDR, marker=False).send(2, SLICE, gap=True)
    assert [mark for _, mark in built.seen()] == ["KD", "G"]
    parts = fragments("h264", IDR, 2)
    built = Builder((SPS, PPS)).send(1, *parts[:-1], marker=False).send(2, SLICE).send(3, SLICE, gap=True)
    assert built.seen() == [((SLICE,), ""), ((SLICE,), "G")] or built.out[0].is_after_gap


def test_a_picture_of_which_nothing_came_leaves_its_mark_on_the_next():
    parts = fragments("h264", SLICE, 2)
    built = Builder((SPS, PPS)).send(1, IDR).send(2, *parts[1:]).send(3, SLICE).send(4, SLICE)
    assert [mark for _, mark in built.seen()] == ["K", "G", ""]


def test_a_whole_keyframe_after_a_gap_is_not_damaged_unless_its_own_sets_may_be_what_is_missing():
    out_of_band = Builder((SPS, PPS)).send(1, IDR).send(2, IDR, IDR_SECOND, gap=True)
    assert [mark for _, mark in out_of_band.seen()] == ["K", "KG"]
    with_sets = Builder().send(1, SPS, PPS, IDR).send(2, SPS, PPS, IDR, gap=True)
    assert [mark for _, mark in with_sets.seen()] == ["K", "KG"]
    sets_lost = Builder().send(1, SPS, PPS, IDR).send(2, IDR, gap=True)
    assert [mark for _, mark in sets_lost.seen()] == ["K", "KGD"]
    between = Builder().send(1, SPS, PPS, IDR).send(2, SPS, PPS, marker=False).send(2, IDR, gap=True)
    assert [mark for _, mark in between.seen()] == ["K", "KG"]


def test_an_unending_picture_is_bounded_and_nothing_empty_comes_of_it():
    big = b"\x41\x9a" + bytes(1 << 20)
    built = Builder((SPS, PPS))
    for _ in range(3):
        for _ in range(MOST_PICTURE_BYTES // len(big) + 3):
            built.send(1, big, marker=False)
        assert built.builder._bytes < 2 * MOST_PICTURE_BYTES + len(big) * 3
        built.send(1, SECOND)
        built.send(2, b"")
    assert all(picture.is_damaged for picture in built.out)
    assert all(len(picture.data) > 4 for picture in built.out)


@pytest.mark.parametrize("rate", [90_000, 45_000, 1_000])
@pytest.mark.parametrize("first", [0, 2**31 - 5, 2**32 - 7200])
def test_timestamps_go_on_over_their_wrap_and_back_for_b_frames(rate, first):
    line, at = Timeline(rate), Instant(0.0, 0.0)
    steps = [0, 3, 1, 2, 6, 4, 5]  # frames of 40 ms in decoding order
    pts = [line.pts((first + step * rate // 25) % 2**32, at) for step in steps]
    assert [(one - pts[0]) / 3600 for one in pts] == steps


def test_another_series_of_timestamps_goes_by_arrival():
    line = Timeline(90_000)
    before = line.pts(5, Instant(0.0, 10.0))
    line.restart()
    after = line.pts(4_000_000_000, Instant(0.0, 10.5))
    assert after - before == 45_000
    assert line.pts(4_000_003_600, Instant(0.0, 10.6)) - after == 3600
    line.restart()
    assert line.pts(1, Instant(0.0, 5000.0)) - after < 11 * 90_000
