"""How long a stream is silent while all is well with it, and from when on its silence is a stall.

Silences that a frame ended go in, on the camera's thread, a limit in s comes out, on any. Pure.
"""

from collections import deque
from collections.abc import Callable
from statistics import median
from time import monotonic

# Told within 2 frame intervals + 2 s; looks (every 0.25 s) and the message to the broker need a part of that.
SLACK_S = 1.7
INTERVALS = 2.0
# Of streams that come in bursts: a silence as long as the longest that recurs, and half as much again.
BURSTS = 1.5
# A silence that came so often lately is the stream's own; one or two may have been stalls.
REGULAR = 3
LATELY_S, LATELY_TIMES = 60.0, 4.0
# Until so many frames have come nobody knows how they come.
UNKNOWN_FRAMES, UNKNOWN_LIMIT_S = 5, 10.0
_FRAMES, _LONG = 15, 16
_LONG_S = 0.5  # shorter ones make no limit longer


class Rhythm:
    """Of one opening of a stream."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._silences: deque[float] = deque(maxlen=_FRAMES)
        self._long: deque[tuple[float, float]] = deque(maxlen=_LONG)  # when, and how long

    def heard(self, silent_s: float) -> None:
        """A frame, after so long without one."""
        self._silences.append(silent_s)
        if silent_s >= _LONG_S:
            self._long.append((self._clock(), silent_s))

    @property
    def stalled_after_s(self) -> float:
        """The least silence that is a stall."""
        silences = tuple(self._silences)
        if len(silences) < UNKNOWN_FRAMES:
            return UNKNOWN_LIMIT_S
        now_s = self._clock()
        lately = sorted(
            (silent_s for at_s, silent_s in tuple(self._long) if now_s - at_s < max(LATELY_S, LATELY_TIMES * silent_s)),
            reverse=True,
        )
        regular_s = lately[REGULAR - 1] if len(lately) >= REGULAR else 0.0
        return max(INTERVALS * median(silences), BURSTS * regular_s) + SLACK_S
