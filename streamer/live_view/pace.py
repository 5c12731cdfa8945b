"""Which of a camera's pictures somebody is sent who wants so many a second at most. Pure, but for its state."""

# Pictures come unevenly, and one that is a little early is as good.
_EARLY_S = 0.03
_EARLY = 0.25  # of a period, at most


class Pace:
    """fps: at most, in the long run, in even steps; None: all of them."""

    def __init__(self, fps: float | None) -> None:
        self._period_s = 0.0 if fps is None else 1 / fps
        self._early_s = min(_EARLY_S, _EARLY * self._period_s)
        self._next_s = self._last_s = -float("inf")

    def takes(self, at_s: float) -> bool:
        """Whether the picture of this moment is one of them; each is asked about once, in their order.

        A moment before the last one is that of a camera whose times began anew.
        """
        period_s = self._period_s
        if self._last_s <= at_s < self._next_s - self._early_s:
            return False
        is_anew = at_s < self._last_s or self._next_s < at_s - period_s
        # On the grid of before, so that pictures at 8 a second come 5 times a second, and not every other one.
        self._next_s = at_s + period_s if is_anew else self._next_s + period_s
        self._last_s = at_s
        return True
