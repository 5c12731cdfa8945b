"""What goes in as packets comes out as the same pictures, to the pixel; strangers, losses, noise."""

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.publication import EncodedPicture
from streamer.ingest.rtp.receiver import SILENT_S, TrackReceiver
from tests.streamer.ingest.rtp.packetiser import FPS, TICKS, Clip, make_clip, packetise, rtp, units_of

SENDER_REPORT = struct.pack("!BBHIQIII", 0x80, 200, 6, 7, 0xE1234567_89ABCDEF, 0, 0, 0)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip("h264", 30, (160, 96), bf="2", g="10", slices="2")


class Received:
    def __init__(self, clip: Clip, *, reorders: bool = False) -> None:
        self.pictures: list[EncodedPicture] = []
        self.receiver = TrackReceiver(clip.track(), self.pictures.append, reorders=reorders)

    def take(self, packets) -> "Received":
        for packet, at in packets:
            self.receiver.rtp(packet, at)
        return self

    def marked(self) -> list[int]:
        return [n for n, picture in enumerate(self.pictures) if picture.is_after_gap or picture.is_damaged]


def assert_same(clip: Clip, pictures: list[EncodedPicture]) -> None:
    assert [units_of(picture.data) for picture in pictures] == [units for _, units in clip.pictures]
    first = clip.pictures[0][0]
    assert [picture.pts - pictures[0].pts for picture in pictures] == [pts - first for pts, _ in clip.pictures]


@pytest.mark.parametrize("aggregates", [True, False])
@pytest.mark.parametrize("mtu", [60, 500, 1400])
@pytest.mark.parametrize("reorders", [True, False])
def test_pictures_come_out_as_they_went_in_while_everything_wraps(clip, mtu, aggregates, reorders):
    received = Received(clip, reorders=reorders).take(packetise(clip, mtu=mtu, aggregates=aggregates))
    received.receiver.close()
    assert_same(clip, received.pictures)
    assert received.marked() == []
    assert max(picture.pts for picture in received.pictures) > 2**32
    assert [picture.is_keyframe for picture in received.pictures].count(True) == 3


def test_over_tcp_a_picture_is_there_with_its_last_packet(clip):
    received = Received(clip)
    for number, (packet, at) in enumerate(packetise(clip, mtu=300)):
        received.receiver.rtp(packet, at)
        if packet[1] & 128:
            assert received.pictures[-1].at == at, number
    assert len(received.pictures) == len(clip.pictures)


def test_over_udp_ticks_let_go_what_waits(clip):
    received = Received(clip, reorders=True)
    packets = list(packetise(clip, mtu=300, aggregates=False))
    ends = [number for number, (packet, _) in enumerate(packets) if packet[1] & 128]
    received.take(packets[: ends[0] + 1])
    assert received.pictures == []  # the first may have been overtaken
    received.receiver.tick(0.06)
    assert len(received.pictures) == 1
    received.take(packets[ends[0] + 2 : ends[1] + 1])  # all but one of the second
    assert len(received.pictures) == 1
    received.receiver.tick(0.04 + 0.06)
    assert [picture.is_damaged for picture in received.pictures] == [False, True]
    assert received.receiver.counts.lost == 1


def test_of_two_sources_the_first_is_heard_until_it_is_silent(clip):
    packets = list(packetise(clip, mtu=300))
    strangers = list(packetise(clip, mtu=300, ssrc=9, sequence=3, timestamp=77))
    mixed = [one for pair in zip(packets, strangers, strict=True) for one in pair]
    received = Received(clip).take(mixed)
    assert_same(clip, received.pictures)
    assert received.receiver.counts.refused == len(strangers)


@pytest.mark.parametrize("burst", [2, 5, 40])
@pytest.mark.parametrize("stranger_size", [(160, 96), (64, 48)])
@pytest.mark.parametrize("reorders", [True, False])
def test_bursts_of_another_source_change_nothing(clip, burst, stranger_size, reorders):
    """Anybody may send to the port; several packets in a row are no right to it."""
    other = make_clip("h264", 200, stranger_size, bf="2", g="10", slices="2")
    strangers = [packet for packet, _ in packetise(other, mtu=300, ssrc=9, sequence=3, timestamp=77)]
    mixed, sent = [], 0
    for number, (packet, at) in enumerate(packetise(clip, mtu=300)):
        mixed.append((packet, at))
        if number % 4 == 0:
            taken = strangers[sent : sent + burst]
            mixed += [(one, at) for one in taken]
            sent += len(taken)
    assert sent >= 4 * burst
    received = Received(clip, reorders=reorders).take(mixed)
    received.receiver.close()
    assert_same(clip, received.pictures)
    assert received.marked() == []
    assert received.receiver.counts.refused == sent


@pytest.mark.parametrize("reorders", [True, False])
@pytest.mark.parametrize("pause_s", [0.0, 0.4, 0.9])
def test_another_source_is_heard_a_second_after_ours_fell_silent(clip, pause_s, reorders):
    """An encoder that began anew within its session, while its first second is still held to be a stranger's."""
    received = Received(clip, reorders=reorders).take(packetise(clip, mtu=300))
    packets = list(packetise(clip, mtu=300))
    silent_from_s = packets[-1][1].monotonic_s
    again = []
    for turn in range(3):
        start_s = silent_from_s + pause_s + turn * len(clip.pictures) / FPS
        series = packetise(
            clip, mtu=300, ssrc=9, sequence=100 + turn * len(packets), timestamp=turn * len(clip.pictures) * TICKS
        )
        again += [(one, Instant(start_s + at.monotonic_s, start_s + at.monotonic_s)) for one, at in series]
    received.take(again)
    received.receiver.close()
    count = len(clip.pictures)
    assert_same(clip, received.pictures[:count])
    heard = received.pictures[count:]
    assert heard[0].is_after_gap
    assert heard[0].at.monotonic_s >= silent_from_s + SILENT_S
    assert len(heard) >= 3 * count - SILENT_S * FPS - 2
    assert [picture.is_damaged for picture in heard[1:]] == [False] * (len(heard) - 1)


@pytest.mark.parametrize(
    ("ssrc", "sequence", "timestamp"), [(9, 100, 5), (9, 65_500, 2**32 - 40_000), (7, 20_000, 9_999)]
)
@pytest.mark.parametrize("reorders", [True, False])
def test_another_series_goes_on_where_the_first_ended(clip, ssrc, sequence, timestamp, reorders):
    """Another SSRC, or the same with other numbers: an encoder that began anew."""
    received = Received(clip, reorders=reorders).take(packetise(clip, mtu=300))
    later = [
        (packet, Instant(at.unix_s + 5, at.monotonic_s + 5))
        for packet, at in packetise(clip, mtu=300, ssrc=ssrc, sequence=sequence, timestamp=timestamp)
    ]
    received.take(later)
    received.receiver.close()
    count = len(clip.pictures)
    assert_same(clip, received.pictures[:count])
    assert_same(clip, received.pictures[count:])
    assert received.marked() == [count]
    assert received.pictures[count].is_keyframe
    assert not received.pictures[count].is_damaged
    assert 0 < received.pictures[count].pts - received.pictures[count - 1].pts <= 6 * 90_000


@pytest.mark.parametrize("far", [4_000, 20_000, 60_000])
def test_one_packet_from_far_away_changes_nothing(clip, far):
    packets = list(packetise(clip, mtu=300))
    stray = rtp(b"\x41\x9ax", 65_500 + far, 5), packets[5][1]
    received = Received(clip).take([*packets[:9], stray, *packets[9:]])
    assert_same(clip, received.pictures)
    assert received.receiver.counts.refused == 1


@pytest.mark.parametrize("payload_type", [0, 97, 127])
def test_other_payload_types_are_passed_over(clip, payload_type):
    """Of the same source they take numbers, as redundancy does; of another they are nobody's."""
    received = Received(clip)
    number = 65_500
    for packet, at in packetise(clip, mtu=300):
        renumbered = packet[:2] + (number % 65_536).to_bytes(2) + packet[4:]
        other = rtp(b"other", number + 1, 5, payload_type=payload_type, marker=True)
        alien = rtp(b"alien", 5, 5, payload_type=payload_type, ssrc=1)
        received.take([(renumbered, at), (other, at), (alien, at)])
        number += 2
    assert_same(clip, received.pictures)
    assert received.marked() == []


@pytest.mark.parametrize("extra", [{"padding": 4}, {"sources": 2}, {"extension": b"abcd"}, {"padding": 255}])
def test_empty_and_dressed_up_packets_are_no_fault(clip, extra):
    received = Received(clip)
    number = 65_500
    for packet, at in packetise(clip, mtu=300):
        marker, timestamp = bool(packet[1] & 128), int.from_bytes(packet[4:8])
        received.take([(rtp(packet[12:], number, timestamp, marker=marker, **extra), at)])
        received.take([(rtp(b"", number + 1, timestamp, **extra), at)])
        number += 2
    assert_same(clip, received.pictures)
    assert all(picture.data for picture in received.pictures)


@pytest.mark.parametrize("payload", [b"\x19\0\0\0\x02\x65\x88", b"\x1d\x85\0\0ab", b"\0\0"])
def test_what_was_not_agreed_on_is_counted_and_marks_its_picture(clip, payload):
    packets = list(packetise(clip, mtu=300))
    packets[9] = rtp(payload, 65_509, int.from_bytes(packets[9][0][4:8])), packets[9][1]
    received = Received(clip).take(packets)
    assert received.receiver.counts.refused == 1
    assert len(received.marked()) >= 1


@pytest.mark.parametrize("reorders", [True, False])
def test_a_packet_that_comes_twice_is_taken_once(clip, reorders):
    twice = [one for one in packetise(clip, mtu=300) for _ in range(2)]
    received = Received(clip, reorders=reorders).take(twice)
    received.receiver.close()
    assert_same(clip, received.pictures)
    assert received.receiver.counts.duplicate == len(twice) // 2


def test_a_report_answers_the_senders(clip):
    received = Received(clip)
    receiver = received.receiver
    assert receiver.receiver_report(0.0) is None
    receiver.rtcp(SENDER_REPORT, Instant(0.0, 0.0))  # ffmpeg sends it before the first packet
    packets = list(packetise(clip, mtu=300))
    del packets[3:5]
    received.take(packets)
    receiver.rtcp(SENDER_REPORT, Instant(1e9, 2.0))
    report = receiver.receiver_report(3.0)
    assert report is not None
    assert int.from_bytes(report[8:12]) == 7
    assert int.from_bytes(report[13:16]) == 2
    assert report[24:28] == bytes.fromhex("456789ab")
    assert int.from_bytes(report[28:32]) == 65_536
    receiver.rtcp(SENDER_REPORT.replace(b"\0\0\0\x07", b"\0\0\0\x08"), Instant(1e9, 4.0))  # another's
    again = receiver.receiver_report(5.0)
    assert again is not None
    assert int.from_bytes(again[28:32]) == 3 * 65_536


def test_the_clip_has_b_frames(clip):
    pts = [pts for pts, _ in clip.pictures]
    assert pts != sorted(pts)
    assert max(pts) - min(pts) == (len(pts) - 1) * TICKS
    assert TICKS * FPS == 90_000


PACKET = st.one_of(
    st.binary(max_size=60),
    st.builds(
        rtp,
        st.one_of(st.binary(max_size=60), st.sampled_from([b"\x7c\x85a", b"\x7c\x05b", b"\x7c\x45c", b"\x18\0\x01x"])),
        st.integers(0, 65_535) | st.integers(0, 20),
        st.integers(0, 2**32 - 1) | st.integers(0, 3),
        marker=st.booleans(),
        ssrc=st.integers(0, 2),
        payload_type=st.sampled_from([96, 96, 96, 0]),
        padding=st.integers(0, 3),
    ),
)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("reorders", [True, False])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(packets=st.lists(st.tuples(PACKET, st.floats(0, 0.1)), max_size=80))
def test_whatever_comes_nothing_raises_nothing_empty_comes_out_and_nothing_grows(codec, reorders, packets):
    pictures: list[EncodedPicture] = []
    receiver = TrackReceiver(Clip(codec, (), {}).track(), pictures.append, reorders=reorders)
    now_s, size = 0.0, 0
    for packet, passed_s in packets:
        now_s += passed_s
        size += len(packet)
        receiver.rtp(packet, Instant(1e9 + now_s, now_s))
        receiver.rtcp(packet, Instant(1e9 + now_s, now_s))
        receiver.tick(now_s)
        receiver.receiver_report(now_s)
    receiver.close()
    assert sum(len(picture.data) for picture in pictures) <= 4 * size
    assert all(len(picture.data) > 5 for picture in pictures)
