"""How many frames are worked on at once: fewer where they are late, more where there is room, and no more than that."""

import pytest

from streamer.shedding.window import Done, Goals, Window


class Machine:
    """Does `per_s` frames a second however many are under way, as many as it is let; `age_s` old when taken.

    `least_s`: a frame takes that at least, so that fewer under way are fewer done.
    """

    def __init__(
        self, window: Window, per_s: float, age_s: float = 0.05, faces_share: float = 0.5, least_s: float = 0.0
    ) -> None:
        self.window, self.per_s, self.age_s, self.faces_share = window, per_s, age_s, faces_share
        self.least_s = least_s
        self.now_s = 100.0
        self.sizes: list[tuple[float, int]] = []

    def run(self, seconds: float, *, is_full: bool = True, used: int | None = None) -> int:
        ends_s = self.now_s + seconds
        while self.now_s < ends_s - 1e-9:
            beside = self.window.size if used is None else min(used, self.window.size)
            work_s = max(beside / self.per_s, self.least_s)
            self.now_s += work_s / beside
            self.sizes.append((work_s / beside, beside))
            self.window.used(self.now_s, beside, is_full=is_full)
            taken_s = self.now_s - work_s
            done = Done(taken_s - self.age_s, taken_s, self.now_s, beside, True, work_s * self.faces_share)
            self.window.finished(done)
        return self.window.size

    @property
    def latency_s(self) -> float:
        return self.age_s + self.window.size / self.per_s


@pytest.mark.parametrize("per_s", [8.0, 12.0, 25.0, 50.0, 400.0])
@pytest.mark.parametrize("fill", [2, 24])
def test_a_full_machine_comes_to_what_the_goal_allows_and_stays_there(per_s, fill):
    machine = Machine(Window(Goals(0.4), least=2, fill=fill), per_s)
    machine.run(5.0)
    settled = machine.window.size
    assert machine.run(20.0) == settled
    assert machine.latency_s <= 0.4 * 0.8 + 1e-9
    assert (settled + 1) / per_s + machine.age_s > 0.4 * 0.7, "no fewer than there is time for"


def test_it_acts_within_a_second():
    machine = Machine(Window(Goals(0.4), least=2, fill=24), 25.0)
    machine.run(1.5)  # the first of 24 is done after one second, as it was let in
    assert machine.latency_s < 0.4


def test_fewer_than_keep_the_runners_busy_are_never_let_in_and_that_is_told():
    machine = Machine(Window(Goals(0.4), least=2, fill=8), 2.0)
    machine.run(4.0)
    machine.sizes.clear()
    machine.run(600.0)
    assert min(beside for _, beside in machine.sizes) == 2
    assert machine.window.is_strained
    assert sum(lasts_s for lasts_s, beside in machine.sizes if beside > 2) < 0.1 * 600, "more are tried, and no use"
    machine.per_s = 20.0
    machine.run(3.0)
    assert not machine.window.is_strained


def test_where_fewer_are_no_more_prompt_as_many_are_let_in_as_do_most():
    machine = Machine(Window(Goals(0.4), least=2, fill=4), 8.0, least_s=1.0)
    machine.run(120.0)
    machine.sizes.clear()
    machine.run(600.0)
    done = len(machine.sizes)
    assert done > 0.9 * 8.0 * 600, "two at once would do 2 a second"
    assert max(beside for _, beside in machine.sizes) <= 16
    machine.least_s = 0.0
    machine.per_s = 12.0
    machine.run(300.0)
    assert machine.latency_s < 0.4, "it looks again whether fewer would do"


def test_where_nobody_waits_it_does_not_grow():
    machine = Machine(Window(Goals(0.4), least=2, fill=4), 25.0)
    assert machine.run(10.0, is_full=False, used=1) == 4


def test_what_is_not_used_is_given_back():
    window = Window(Goals(0.4), least=1, fill=4)
    machine = Machine(window, 400.0)
    assert machine.run(3.0) > 60
    machine.run(4.0, is_full=False, used=3)
    assert window.size == 6
    machine.run(4.0, is_full=False, used=1)
    assert window.size == 4, "what it began with"


def test_the_goal_of_faces_counts_too():
    machine = Machine(Window(Goals(0.4, faces_s=0.1), least=1, fill=4), 25.0, faces_share=0.9)
    machine.run(10.0)
    assert machine.window.size * 0.9 / 25.0 <= 0.1
    free = Machine(Window(Goals(0.4, faces_s=0.3), least=1, fill=4), 25.0, faces_share=0.9)
    assert free.run(10.0) > machine.window.size


def test_a_stream_that_comes_late_takes_nothing_from_the_others():
    machine = Machine(Window(Goals(0.4), least=1, fill=2), 50.0, age_s=3.0)
    assert machine.run(5.0) >= 5, "what is left of the goal is still for the work on it"


def test_frames_without_faces_do_not_hide_that_those_with_faces_are_late():
    window = Window(Goals(0.4), least=1, fill=8)
    now_s = 10.0
    for step in range(100):
        now_s += 0.02
        is_whole = step % 5 == 0
        work_s = 0.6 if is_whole else 0.02
        window.finished(Done(now_s - work_s - 0.05, now_s - work_s, now_s, 8, is_whole))
    assert window.size < 8


def test_one_slow_frame_is_no_reason():
    window = Window(Goals(0.4), least=1, fill=8)
    for step in range(60):
        now_s = 10.0 + step * 0.05
        work_s = 3.0 if step == 30 else 0.1
        window.finished(Done(now_s - work_s - 0.05, now_s - work_s, now_s, 4, True))
    assert window.size == 8
