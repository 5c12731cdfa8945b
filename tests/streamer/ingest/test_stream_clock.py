"""A live stream's time, by scripted timestamps and arrivals: bursts are spread, lag is caught up, faults are passed."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest

from streamer.ingest.sampling import Sampler
from streamer.ingest.stream_clock import LONGEST_HOLD_S, NO_HOLD_S, StreamClock

STEP_S = 0.04


def play(
    frames: Iterable[tuple[float | None, float]], fps: float = 10.0, longest_late_s: float = math.inf
) -> list[tuple[float, float, float]]:
    """(timestamp, arrival) of each frame -> (timestamp or nan, when it is handed out, how late) of those sampled."""
    clock, sampler, taken, free_s = StreamClock(longest_late_s=longest_late_s), Sampler(fps), [], 0.0
    for stream_s, arrived_s in frames:
        now_s = max(arrived_s, free_s)
        placed = clock.place(stream_s, arrived_s, now_s)
        if sampler.wants(placed.at_s):
            free_s = now_s + placed.hold_s
            taken.append((float("nan") if stream_s is None else stream_s, free_s, placed.late_s))
    return taken


def bursts(seconds: float, count: int, first_s: float = 1e5) -> list[tuple[float, float]]:
    """Pieces of so many seconds that come whole, each when it is complete."""
    frames = round(seconds / STEP_S)
    return [(first_s + n * STEP_S, (n // frames + 1) * seconds + 1e-4 * (n % frames)) for n in range(count * frames)]


def gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def test_a_steady_stream_is_handed_out_as_it_comes():
    taken = play([(n * STEP_S, 50 + n * STEP_S + 0.02 * (n % 3)) for n in range(500)])
    assert len(taken) == pytest.approx(200, abs=2)
    assert all(handed_s - 50 - stream_s <= 0.041 for stream_s, handed_s, _ in taken)
    assert max(late_s for *_, late_s in taken) < 0.05


def test_when_the_next_of_a_burst_is_due_is_known_before_it_is_made_a_picture():
    clock = StreamClock()
    assert clock.due_s(1e5) is None, "of the first one nobody can say"
    for number, (stream_s, arrived_s) in enumerate(bursts(6, 3)):
        due_s = clock.due_s(stream_s)
        placed = clock.place(stream_s, arrived_s, arrived_s)
        if number % 150 > 75:  # in a burst, and not as it begins
            assert due_s == pytest.approx(arrived_s + placed.hold_s, abs=0.01)
            assert due_s > arrived_s + 1
    assert clock.due_s(None) is None
    assert StreamClock(is_told=False).due_s(1e5) is None


@pytest.mark.parametrize("seconds", [2, 4, 6, 10])
def test_bursts_are_spread_by_their_own_timestamps(seconds):
    taken = play(bursts(seconds, 5))
    assert len(taken) == pytest.approx(50 * seconds, abs=3)
    handed = [handed_s for _, handed_s, _ in taken[10:]]
    assert max(gaps(handed)) < 0.2 + 0.1 * seconds, "what is caught up between two pieces is waited for before the next"
    assert sum(gap < 0.02 for gap in gaps(handed)) < 0.2 * len(handed)
    assert taken[-1][2] == pytest.approx(seconds, abs=0.2 * seconds + NO_HOLD_S)


@pytest.mark.parametrize("longest_s", [0.5, 1.0, 2.0])
def test_what_came_too_late_holds_up_nothing(longest_s):
    """All of four seconds comes at once; what is later than may be is for the caller to drop."""
    taken = play(
        [(n * STEP_S, max(n * STEP_S, 24.0) if n * STEP_S > 20 else n * STEP_S) for n in range(1500)],
        longest_late_s=longest_s,
    )
    lag = {stream_s: handed_s - stream_s for stream_s, handed_s, _ in taken}
    assert all(seconds <= longest_s + 0.05 for stream_s, seconds in lag.items() if stream_s > 24 - longest_s + 0.1)
    assert all(handed_s < 24.05 for stream_s, handed_s, _ in taken if stream_s < 24 - longest_s - 0.1)
    assert all(seconds < NO_HOLD_S for stream_s, seconds in lag.items() if stream_s > 24 + 12 * longest_s)


def test_after_one_gap_it_is_on_time_again_and_nobody_was_left_out():
    """Wi-Fi is away for four seconds; what was sent meanwhile comes at once."""
    taken = play([(n * STEP_S, max(n * STEP_S, 24.0) if n * STEP_S > 20 else n * STEP_S) for n in range(2500)])
    assert len(taken) == pytest.approx(1000, abs=3)
    lag = {stream_s: handed_s - stream_s for stream_s, handed_s, _ in taken}
    assert max(lag.values()) < 4.1
    assert all(seconds < NO_HOLD_S for stream_s, seconds in lag.items() if stream_s > 65)


FAULTS = {
    "none at all": lambda n: None,
    "they stand still": lambda n: 7.0,
    "they jump ahead": lambda n: n * STEP_S + (1000.0 if n > 100 else 0.0),
    "they wrap": lambda n: (n * STEP_S + 95_440.0) % 95_443.7,
    "they go back now and again": lambda n: n * STEP_S - (3.0 if n % 50 == 0 else 0.0),
    "they run twice as fast": lambda n: n * 2 * STEP_S,
    "they run half as fast": lambda n: n * STEP_S / 2,
    "of another clock each minute": lambda n: n * STEP_S + 500.0 * (n // 150),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_timestamps_that_are_wrong_hold_nothing_up_for_long(fault):
    taken = play([(FAULTS[fault](n), n * STEP_S) for n in range(1500)])
    handed = [handed_s for _, handed_s, _ in taken]
    assert handed == sorted(handed)
    settled = [at_s for at_s in handed if at_s > 30]
    assert len(settled) >= 145, "fps a second; half of it where the stream's seconds last two"
    if "fast" not in fault:  # there all that waited comes when they are no longer believed
        assert len(settled) <= 310
    assert max(gaps(settled)) < 1.5
    assert max(gaps(handed)) < LONGEST_HOLD_S + 1


def test_a_machine_that_reads_too_slowly_makes_no_stream_a_late_one():
    """Packets lie there when they are asked for, later and later; then it keeps up again."""
    clock, late_s, held = StreamClock(), 0.0, []
    for number in range(500):
        stream_s = number / 25
        late_s = late_s + 0.01 if number < 250 else max(0.0, late_s - 0.05)
        arrived_s = stream_s + late_s
        held.append(clock.place(stream_s, arrived_s, arrived_s, 0.0 if late_s else 0.04).hold_s)
    assert max(held) == 0.0
