"""When pictures were sent and when they came in; whether they come later and later out.

Pure. aiortc's decoder has a queue without a limit before it: what can't be decoded in time waits there, ever longer.
"""

LATE_S = 3.0
HOPELESS_S = 5.0  # of pictures that are late, one after the other: a network that was away catches up sooner
DRIFT = 1e-3  # s a second: two clocks differ by less than a tenth of it


class Lateness:
    def __init__(self) -> None:
        self._least: tuple[float, float] | None = None  # the shortest way so far (s), and when that was looked at
        self._late_since_s: float | None = None

    def is_hopeless(self, sent_s: float | None, came_s: float) -> bool:
        """sent_s: by its sender's clock, from any zero; None where nobody knows. came_s: monotonic."""
        if sent_s is None:
            return False
        way_s = came_s - sent_s
        if self._least is None:
            self._least = (way_s, came_s)
        least_s, then_s = self._least
        least_s = min(least_s + DRIFT * (came_s - then_s), way_s)
        self._least = (least_s, came_s)
        if way_s - least_s < LATE_S:
            self._late_since_s = None
            return False
        if self._late_since_s is None:
            self._late_since_s = came_s
        return came_s - self._late_since_s >= HOPELESS_S
