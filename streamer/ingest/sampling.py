"""Which frames of a stream are used, so that a target rate is met without drift. Pure, on a camera's thread.

Times in s go in, yes or no comes out.
"""

_TIE_S = 1e-6
_SMOOTHING = 0.1


class Sampler:
    """Takes the frame nearest to each tick of a fixed grid: 10 of 25 fps gives 10, every third gives 8.3.

    Of a source no faster than `fps` every frame is taken; where that is known before (`source_fps`, a clip),
    even frames that lie unevenly. After a gap the grid starts anew: nothing is caught up on.
    """

    def __init__(self, fps: float, source_fps: float | None = None) -> None:
        self._interval_s = 1 / fps
        self._takes_all = source_fps is not None and source_fps <= fps * 1.001
        self._due_s: float | None = None
        self._last_s = 0.0
        self._period_s = 0.0

    def wants(self, at_s: float) -> bool:
        """Whether the frame of this time is used. Times rise."""
        if self._takes_all:
            return True
        if self._due_s is None:
            self._due_s, self._last_s = at_s + self._interval_s, at_s
            return True
        step_s = min(max(at_s - self._last_s, 0.0), self._interval_s)
        self._last_s = at_s
        self._period_s += (step_s - self._period_s) * (_SMOOTHING if self._period_s else 1)
        if at_s + self._period_s / 2 + _TIE_S < self._due_s:
            return False
        self._due_s += self._interval_s
        if self._due_s <= at_s:
            self._due_s = at_s + self._interval_s
        return True
