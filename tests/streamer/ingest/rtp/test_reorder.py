import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.ingest.packet_reader import Instant
from streamer.ingest.rtp.packet import RtpPacket
from streamer.ingest.rtp.reorder import MOST_WAITING, WINDOW_S, Ordered, PacketCounts, ReorderBuffer


def packet(number: int) -> RtpPacket:
    return RtpPacket(96, False, number & 0xFFFF, 0, 7, bytes([number % 256]))


def at(seconds: float) -> Instant:
    return Instant(1e9 + seconds, seconds)


def numbers(ordered: list[Ordered]) -> list[tuple[int, bool]]:
    return [(one.packet.sequence, one.is_after_gap) for one in ordered]


def play(window_s: float, *came: tuple[float, int]) -> tuple[list[tuple[int, bool]], PacketCounts]:
    """(when, number) of each -> those that came out, to the end, each with its gap."""
    counts = PacketCounts()
    buffer = ReorderBuffer(counts, window_s)
    out = [one for seconds, number in came for one in buffer.push(number, packet(number), at(seconds))]
    return numbers(out + buffer.flush()), counts


@pytest.mark.parametrize(
    "order", [[10, 11, 12, 13], [11, 10, 12, 13], [13, 12, 11, 10], [12, 10, 13, 11], [10, 12, 13, 11]]
)
def test_what_was_overtaken_takes_its_place_also_the_first(order):
    out, counts = play(WINDOW_S, *((0.001 * n, number) for n, number in enumerate(order)))
    assert out == [(10, False), (11, False), (12, False), (13, False)]
    assert (counts.lost, counts.late, counts.duplicate) == (0, 0, 0)


@pytest.mark.parametrize("missing", [[11], [11, 12], [12, 15]])
def test_what_does_not_come_in_time_is_a_gap(missing):
    came = [number for number in range(10, 20) if number not in missing]
    out, counts = play(WINDOW_S, *((0.03 * n, number) for n, number in enumerate(came)))
    assert out == [(number, number - 1 in missing) for number in came]
    assert counts.lost == len(missing)


def test_a_first_packet_waits_one_window_and_no_longer():
    buffer = ReorderBuffer(PacketCounts(), WINDOW_S)
    assert buffer.push(5, packet(5), at(1.0)) == []
    assert buffer.tick(1.0 + WINDOW_S * 0.9) == []
    assert numbers(buffer.tick(1.0 + WINDOW_S * 1.1)) == [(5, False)]
    assert numbers(buffer.push(6, packet(6), at(1.06))) == [(6, False)]


def test_no_more_wait_than_may():
    buffer = ReorderBuffer(PacketCounts(), math.inf)
    assert numbers(buffer.push(1, packet(1), at(0.0)) + buffer.tick(1e9)) == []
    out = []
    for number in range(3, 2 + MOST_WAITING):
        out += buffer.push(number, packet(number), at(0.0))
    assert numbers(out) == [(1, False)]  # 2 is waited for
    out = buffer.push(2 + MOST_WAITING, packet(2 + MOST_WAITING), at(0.0))
    assert numbers(out)[:2] == [(3, True), (4, False)]


def test_without_a_window_everything_goes_out_at_once():
    counts = PacketCounts()
    buffer = ReorderBuffer(counts, 0.0)
    seen = [numbers(buffer.push(number, packet(number), at(0.0))) for number in (1, 2, 5, 6)]
    assert seen == [[(1, False)], [(2, False)], [(5, True)], [(6, False)]]
    assert counts.lost == 2


def test_late_and_duplicate_packets_are_told_apart():
    out, counts = play(0.0, (0, 1), (0, 2), (0, 5), (0, 3), (0, 3), (0, 2), (0, 6))
    assert [number for number, _ in out] == [1, 2, 5, 6]
    assert (counts.lost, counts.late, counts.duplicate) == (2, 1, 2)
    _, counts = play(WINDOW_S, (0, 1), (0, 3), (0, 3), (0, 2))
    assert (counts.lost, counts.late, counts.duplicate) == (0, 0, 1)


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 0.03)), max_size=200))
def test_what_comes_out_rises_and_every_gap_is_told(came):
    counts = PacketCounts()
    buffer = ReorderBuffer(counts, WINDOW_S)
    now_s, out = 0.0, []
    for number, passed_s in came:
        now_s += passed_s
        out += buffer.push(number, packet(number), at(now_s))
        assert len(buffer._waiting) <= MOST_WAITING
        assert len(buffer._given_up) <= 1024
    out += buffer.flush()
    seen = [one.packet.sequence for one in out]
    assert seen == sorted(set(seen))
    assert len(out) + counts.late + counts.duplicate == len(came)
    for before, one in itertools.pairwise(out):
        assert one.is_after_gap == (one.packet.sequence != before.packet.sequence + 1)
