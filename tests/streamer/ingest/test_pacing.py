"""A clip's time line and its schedule, without a clip and without waiting."""

import pytest

from streamer.ingest.pacing import ClipTime, Schedule
from tests.streamer.ingest.clips import SimulatedTime


def line(*times: float | None) -> list[float]:
    clip = ClipTime()
    return [round(clip.place(at), 6) for at in times]


@pytest.mark.parametrize(
    ("file_times", "want"),
    [
        ((5.0, 5.04, 5.08), [0, 0.04, 0.08]),
        ((None, 0.04, 0.08), [0, 0.04, 0.08]),
        ((None, None, None), [0, 0.04, 0.08]),
        ((0.0, 0.5, 0.54), [0, 0.5, 0.54]),
        ((7200.0, 0.0, 0.04), [0, 0.04, 0.08]),
        ((0.0, 90_000.0, 90_000.04), [0, 0.04, 0.08]),
        ((0.0, 0.0, 0.04), [0, 0.04, 0.08]),
    ],
    ids=["offset", "first has none", "none at all", "uneven", "jump back", "jump ahead", "twice the same"],
)
def test_time_rises_steadily_whatever_the_timestamps_do(file_times, want):
    assert line(*file_times) == want


def test_laps_follow_each_other():
    clip = ClipTime()
    first = [clip.place(at) for at in (1.0, 1.04, 1.08)]
    clip.next_lap()
    assert [*first, *(clip.place(at) for at in (1.0, 1.04))] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])


def test_a_packet_is_due_on_the_same_line():
    clip = ClipTime()
    assert clip.of_packet(4.96) is None
    clip.place(5.0)
    assert clip.of_packet(5.04) == pytest.approx(0.04)
    assert clip.of_packet(None) is None
    assert clip.of_packet(90_000.0) is None


def test_the_schedule_starts_with_its_first_frame():
    time = SimulatedTime()
    schedule = Schedule(time.clock)
    assert schedule.due_s(0.0) == 1000.0
    assert schedule.due_s(2.5) == 1002.5
    assert schedule.planned(2.5) == (1e9 + 1002.5, 1002.5)


def test_a_machine_that_lags_a_little_keeps_the_schedule_and_one_that_lags_a_lot_shifts_it():
    time = SimulatedTime()
    schedule = Schedule(time.clock)
    schedule.due_s(0.0)
    time.now_s += 0.9
    assert schedule.due_s(0.04) == pytest.approx(1000.04)
    time.now_s += 5
    assert schedule.due_s(0.08) == pytest.approx(1005.9)
    assert schedule.planned(0.12)[0] == pytest.approx(1e9 + 1005.94)
