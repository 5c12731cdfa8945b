"""The clock that ages go by, and who notices that the wall clock was set."""

import subprocess
import sys
import time

import pytest

from streamer.steady import UNSET_BEFORE, WallClock, boot_id, steady_s

YEARS_S = 50 * 365.25 * 86400.0


def test_every_process_reads_the_same_clock():
    before_s = steady_s()
    other = subprocess.run(
        [sys.executable, "-c", "from streamer.steady import *; print(steady_s(), boot_id())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert before_s <= float(other[0]) <= steady_s()
    assert other[1] == boot_id()
    assert before_s >= time.monotonic() - 1.0


@pytest.mark.parametrize("set_by_s", [YEARS_S, -YEARS_S, 8 * 86400.0, -3600.0, 1.5])
def test_a_clock_that_is_set_is_noticed_once(set_by_s):
    clock = WallClock(UNSET_BEFORE, 10.0)
    assert clock.step(UNSET_BEFORE + 0.25, 10.25) == 0.0
    assert clock.step(UNSET_BEFORE + 0.5 + set_by_s, 10.5) == pytest.approx(set_by_s)
    assert clock.step(UNSET_BEFORE + 0.75 + set_by_s, 10.75) == 0.0
    assert clock.step(UNSET_BEFORE + 1.0, 11.0) == pytest.approx(-set_by_s)


def test_a_clock_that_drifts_was_not_set():
    clock = WallClock(0.0, 0.0)
    assert all(clock.step(number * 1.0005, float(number)) == 0.0 for number in range(1000))
