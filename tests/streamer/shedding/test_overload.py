"""When most frames are dropped it is said, with the figures; a moment of it is not, and it ends when it is over."""

import pytest

from streamer.shedding.overload import Overload

ASKED_PER_S, CAMERAS = 40, 4


class Machine:
    """Does so many frames a second of those that are asked for."""

    def __init__(self) -> None:
        self.overload = Overload()
        self.now_s, self.asked, self.dropped = 100.0, 0, 0

    def run(self, seconds: float, does_per_s: float) -> str | None:
        for _ in range(round(seconds * 4)):
            self.overload.look(self.now_s, self.asked, round(self.dropped), CAMERAS)
            self.now_s += 0.25
            self.asked += ASKED_PER_S // 4
            self.dropped += max(0.0, ASKED_PER_S - does_per_s) / 4
        return self.overload.reason


def test_most_frames_dropped_for_half_a_minute_is_told_with_what_would_fit():
    machine = Machine()
    assert machine.run(25, does_per_s=17) is None
    said = "cameras ask for 40 frames a second, this machine does 17: fps 4 would fit"
    assert machine.run(10, does_per_s=17) == said


@pytest.mark.parametrize("does_per_s", [40, 30, 21])
def test_some_frames_dropped_is_no_overload(does_per_s):
    assert Machine().run(120, does_per_s) is None


def test_a_burst_is_no_overload():
    machine = Machine()
    for _ in range(5):
        assert machine.run(15, does_per_s=5) is None
        assert machine.run(15, does_per_s=40) is None


def test_it_is_over_when_nearly_all_are_done_and_not_before():
    machine = Machine()
    assert machine.run(40, does_per_s=10)
    assert machine.run(40, does_per_s=30), "still a quarter is dropped"
    assert machine.run(25, does_per_s=39) is None


def test_no_camera_asks_for_anything():
    overload = Overload()
    for second in range(60):
        overload.look(second, 0, 0, 0)
    assert overload.reason is None
