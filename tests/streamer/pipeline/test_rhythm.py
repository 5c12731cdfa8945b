"""From when on a silence is a stall: by how the frames of a stream come, on tables of silences."""

from collections.abc import Sequence

import pytest

from streamer.pipeline.rhythm import SLACK_S, UNKNOWN_LIMIT_S, Rhythm


class Stream:
    """Frames after so long each, on a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.rhythm = Rhythm(lambda: self.now_s)

    def play(self, silences_s: Sequence[float], hold_s: float = 0.0) -> float:
        """hold_s: how long the frames are handed out for, each time, without any silence. Returns the limit."""
        for silent_s in silences_s:
            self.now_s += silent_s + hold_s
            self.rhythm.heard(silent_s)
        return round(self.rhythm.stalled_after_s, 3)


@pytest.mark.parametrize("fps", [120, 25, 10, 5, 1, 0.2])
def test_steady_streams_are_stalled_after_two_intervals_and_less_than_two_seconds(fps):
    limit_s = Stream().play([1 / fps] * 40)
    assert 2 / fps + 1.5 <= limit_s <= 2 / fps + 2.0 - 0.25, "and a look every quarter of a second"


@pytest.mark.parametrize("silences", [[], [0.04], [0.04] * 4, [30.0] * 2])
def test_nobody_knows_before_a_few_frames_have_come(silences):
    assert Stream().play(silences) == UNKNOWN_LIMIT_S


@pytest.mark.parametrize(
    ("gap_s", "frames", "want"),
    [
        (2.0, 49, 3.0 + SLACK_S),  # pieces of 2 s at 25 frames a second
        (6.0, 100, 9.0 + SLACK_S),
        (0.4, 10, SLACK_S),  # shorter than the slack anyway
    ],
)
def test_bursts_lengthen_it_once_they_recur(gap_s, frames, want):
    stream = Stream()
    limits = [stream.play([gap_s, *[0.0] * frames]) for _ in range(4)]
    assert limits[-1] == pytest.approx(want)
    assert limits[1] == pytest.approx(SLACK_S), "twice is no habit"


def test_a_stall_or_two_lengthen_nothing():
    stream = Stream()
    stream.play([0.04] * 100)
    assert stream.play([9.0, *[0.04] * 100, 9.0, *[0.04] * 100]) == pytest.approx(0.08 + SLACK_S)


def test_bursts_that_have_ended_are_forgotten():
    stream = Stream()
    assert stream.play([2.0, *[0.0] * 20] * 5) == pytest.approx(3.0 + SLACK_S)
    assert stream.play([0.04] * 1400) == pytest.approx(3.0 + SLACK_S), "56 s later it may still be so"
    assert stream.play([0.04] * 200) == pytest.approx(0.08 + SLACK_S)


def test_a_rate_that_falls_is_followed():
    stream = Stream()
    stream.play([0.04] * 50)
    assert stream.play([1.0] * 15) == pytest.approx(2.0 + SLACK_S)


def test_pictures_that_come_two_at_once_are_of_one_rate():
    assert Stream().play([0.0, 0.08] * 20) <= round(0.16 + SLACK_S, 3)
