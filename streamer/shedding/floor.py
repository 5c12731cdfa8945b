"""Of how few frames at once it is no use to go below: frames that are done in, a number out. Pure: times in s.

Where a goal is missed although only so many are let in as there are runners, fewer were no use; but more may be: where
other programs take the processor, a frame waits for its turn there rather than for other frames, and twice as many
under way are done as promptly. So twice as many are tried, and kept where that much more is done.
"""

_GAIN = 1.25  # as many times more frames are done by twice as many, else it is not worth their being later
_LEAST_S, _LEAST_FRAMES = 2.0, 6  # of a rate
_REST_S, _LONGEST_REST_S = 15.0, 240.0  # between two attempts


class Floor:
    """`size`: frames at once. least: as many as there are runners; most: no more are tried."""

    def __init__(self, least: int, most: int) -> None:
        self.size = least
        self._least, self._most = least, max(least, most)
        self._tries: int | None = None  # what it was before, while another number is tried
        self._goes_up = True
        self._rate_before = 0.0
        self._known: float | None = None  # how many a second this number does, where that was just tried
        self._rests_until_s, self._rest_s = float("-inf"), _REST_S
        self._begun_s = float("-inf")
        self._first_s: float | None = None
        self._last_s, self._frames = 0.0, 0

    @property
    def is_trying(self) -> bool:
        return self._tries is not None

    def bounds(self, least: int, most: int) -> None:
        """Another model serves: what is known of the one before is nothing now."""
        if (least, max(least, most)) != (self._least, self._most):
            self._least, self._most = least, max(least, most)
            self._reset()

    def finished(self, taken_s: float, now_s: float) -> None:
        """A frame is done."""
        if taken_s >= self._begun_s:
            self._first_s = now_s if self._first_s is None else self._first_s
            self._last_s, self._frames = now_s, self._frames + 1

    def look(self, now_s: float, *, is_missed: bool, is_kept: bool) -> None:
        """is_missed: with so few frames a goal is missed; is_kept: there is time left for more."""
        if self._tries is None:
            if is_kept and self.size > self._least:
                self._reset()
            elif not is_missed:
                self._known = None
                self._begin(now_s)  # what was done while the goal was kept says nothing
            elif now_s >= self._rests_until_s:
                self._try(now_s)
        elif (rate := self._rate()) is not None:
            self._judge(now_s, rate)

    def _try(self, now_s: float) -> None:
        rate = self._rate() if self._known is None else self._known
        other = min(2 * self.size, self._most) if self._goes_up else max(self.size // 2, self._least)
        if other == self.size:
            self._goes_up = not self._goes_up
        elif rate is not None:
            self._rate_before, self._tries, self.size = rate, self.size, other
            self._begin(now_s)

    def _judge(self, now_s: float, rate: float) -> None:
        """Keep the larger number where it does that much more, else the smaller one."""
        assert self._tries is not None
        before, self._tries = self._tries, None
        more, fewer = (rate, self._rate_before) if self.size > before else (self._rate_before, rate)
        best = max(self.size, before) if more >= _GAIN * fewer else min(self.size, before)
        self._known = None
        if best == self.size:
            self._rest_s, self._known = _REST_S, rate
        else:
            self.size = best
            self._goes_up = not self._goes_up
            self._rests_until_s = now_s + self._rest_s
            self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)
        self._begin(now_s)

    def _rate(self) -> float | None:
        """Frames a second with this number; None: too few are done yet."""
        if self._first_s is None or self._frames < _LEAST_FRAMES:
            return None
        lasted_s = self._last_s - self._first_s
        return (self._frames - 1) / lasted_s if lasted_s >= _LEAST_S else None

    def _begin(self, now_s: float) -> None:
        self._begun_s, self._first_s, self._frames = now_s, None, 0

    def _reset(self) -> None:
        self.size, self._tries, self._known, self._goes_up = self._least, None, None, True
        self._rests_until_s, self._rest_s = float("-inf"), _REST_S
        self._begin(self._last_s)
