"""A clip's time: its frames on one unbroken line over all laps, and when each is due. On the camera's thread.

Timestamps of the file go in; seconds since the clip's start, and moments of the wall clock, come out.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

DEFAULT_FRAME_S = 0.04
# A longer gap is a fault in the clip's timestamps, not a scene to wait for.
_LONGEST_GAP_S = 10.0
# A machine that can't keep up plays the clip slower: its frames are never later than this.
_LONGEST_LAG_S = 1.0


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks that a camera's thread reads and waits by; a test passes its own."""

    unix_s: Callable[[], float] = time.time
    monotonic_s: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait


class ClipTime:
    """Seconds since the first frame of the first lap, steadily rising whatever the timestamps do."""

    def __init__(self) -> None:
        self.frame_s = DEFAULT_FRAME_S
        self._offset_s: float | None = None
        self._last_s: float | None = None
        self.jumped = False  # in this lap: how long it is can't be told by its timestamps

    def place(self, file_s: float | None) -> float:
        """The time of the decoder's next frame, whose own timestamp is file_s (None: it has none)."""
        expected_s = 0.0 if self._last_s is None else self._last_s + self.frame_s
        at_s = expected_s
        if file_s is not None:
            if self._offset_s is None:
                self._offset_s = expected_s - file_s
            at_s = file_s + self._offset_s
            if self._last_s is not None and not self._last_s < at_s <= self._last_s + _LONGEST_GAP_S:
                self._offset_s, at_s = expected_s - file_s, expected_s
                self.jumped = True
        self._last_s = at_s
        return at_s

    def of_packet(self, file_s: float | None) -> float | None:
        """When a packet with this decoding timestamp is due; None where that can't be known: timestamps jump, too."""
        if file_s is None or self._offset_s is None or self._last_s is None:
            return None
        at_s = file_s + self._offset_s
        return at_s if at_s <= self._last_s + _LONGEST_GAP_S else None

    def next_lap(self) -> None:
        """The clip begins again: its first frame follows the last one."""
        self._offset_s, self.jumped = None, False


class Schedule:
    """Clip time -> the wall clock. It starts with the first frame asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start_s: float | None = None

    @property
    def started_at(self) -> float | None:
        """Unix time of the clip's start, as it stands now; None before the first frame."""
        return None if self._start_s is None else self._unix_s(self._start_s)

    def due_s(self, clip_s: float) -> float:
        """The moment on the monotonic clock; the whole schedule shifts where that is too long ago."""
        now_s = self._clock.monotonic_s()
        if self._start_s is None:
            self._start_s = now_s - clip_s
        late_s = now_s - (self._start_s + clip_s)
        if late_s > _LONGEST_LAG_S:
            self._start_s += late_s
        return self._start_s + clip_s

    def planned(self, clip_s: float) -> tuple[float, float]:
        """(Unix time, monotonic time) of a moment of the clip, both in s, whenever it is really played."""
        if self._start_s is None:
            self.due_s(clip_s)
        moment_s = (self._start_s or 0.0) + clip_s
        return self._unix_s(moment_s), moment_s

    def _unix_s(self, moment_s: float) -> float:
        return self._clock.unix_s() - (self._clock.monotonic_s() - moment_s)
