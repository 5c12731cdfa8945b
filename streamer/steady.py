"""The clock that ages go by: the wall clock may be set while we run, by years where a board has no clock of its own.

Steady seconds in, Unix seconds out, and how far the wall clock was set in between.
"""

import time
from pathlib import Path

# A clock that says less was never set: nothing of this project is older.
UNSET_BEFORE = 1_577_836_800.0  # 2020-01-01
STEP_S = 1.0  # less is what a clock that is set well drifts
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def steady_s() -> float:
    """Seconds since this machine was started, those in which it slept among them; the same for every process."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Which start of this machine steady_s() counts from; empty where nobody knows."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class WallClock:
    """Notices when the wall clock was set."""

    def __init__(self, unix_s: float, steady_s: float) -> None:
        self._offset_s = unix_s - steady_s

    def step(self, unix_s: float, steady_s: float) -> float:
        """By how many seconds the clock was set since the last call; 0 where it was not."""
        step_s = unix_s - steady_s - self._offset_s
        if abs(step_s) < STEP_S:
            return 0.0
        self._offset_s += step_s
        return step_s
