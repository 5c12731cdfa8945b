"""A switch under load: what is told of the frames that it met, by hand and with a real one."""

import pytest

from recognition.recogniser import RecogniserConfig
from streamer.bench.switches import DETECTOR, EMBEDDER, Frame, Switch, run_switches, told


def frames(*answers: tuple[float, float, int, str]) -> list[Frame]:
    return [Frame(answered_s - wait_s, answered_s, faces, model, 0.1) for answered_s, wait_s, faces, model in answers]


STEADY = [*((at / 10, 0.1, 1, "old") for at in range(1, 10)), *((2 + at / 10, 0.1, 1, "new") for at in range(1, 10))]
SWITCH = Switch("old", "new", room_first=False, called_s=1.0, returned_s=2.0)


def test_a_switch_that_nobody_notices():
    (row,) = told([SWITCH], frames(*STEADY[:9], *((1 + at / 10, 0.1, 2, "old") for at in range(11)), *STEADY[9:]))
    assert (row.old, row.new, row.room_first, row.seconds) == ("old", "new", False, 1.0)
    assert (row.delayed, row.lost) == (0, 0)
    assert row.faces == 11 * 2 + 1, "and one that was asked for as it returned"
    assert row.batch_ms == pytest.approx(100)
    assert row.longest_gap_ms == pytest.approx(100)
    assert row.steady_gap_ms == pytest.approx(100)


def test_who_waits_a_batch_longer_than_the_median_is_delayed():
    (row,) = told([SWITCH], frames(*STEADY[:9], (1.5, 0.19, 1, "old"), (1.6, 0.21, 3, "old"), *STEADY[9:]))
    assert row.delayed == 3


def test_the_longest_gap_is_of_the_switch_alone():
    early = frames((0.1, 0.1, 1, "old"), (0.9, 0.1, 1, "old"), (1.3, 0.1, 1, "old"), (2.1, 0.1, 1, "new"))
    (row,) = told([SWITCH], [*early, *frames((2.2, 0.05, 1, "new"), (2.3, 0.1, 1, "new"))])
    assert row.longest_gap_ms == pytest.approx(800)
    assert row.steady_gap_ms == pytest.approx(800)  # before it, from .1 to .9


def test_what_is_lost_counts_for_the_switch_before():
    second = Switch("new", "old", room_first=True, called_s=3.0, returned_s=4.0)
    rows = told([SWITCH, second], frames(*STEADY, (4.5, 0.1, 1, "old")), [(0.5, 1), (1.5, 2), (2.9, 4), (3.1, 8)])
    assert [row.lost for row in rows] == [7, 8]


@pytest.mark.shared
async def test_real_switches_lose_nothing(shared):
    config = RecogniserConfig(DETECTOR, EMBEDDER, (shared / "models",), device="cpu", queue_limit=1000)
    rows = await run_switches(config, "mobileface_v2", 0.3, lambda _: None)
    assert [(row.old, row.new, row.room_first) for row in rows] == [
        (EMBEDDER, "mobileface_v2", False),
        ("mobileface_v2", EMBEDDER, False),
        (EMBEDDER, "mobileface_v2", True),
        ("mobileface_v2", EMBEDDER, True),
    ]
    assert all(row.lost == 0 and row.faces > 0 and row.seconds > 0 for row in rows)
