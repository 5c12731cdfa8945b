"""Whether the machine does the frames that its cameras ask for. Counts and a time go in, a sentence comes out; pure."""

LOOK_EVERY_S = 10.0
# So many looks one after another: a burst, or the start of the service, is no overload.
LOOKS = 3
_OVERLOADED, _FINE = 0.5, 0.9  # the share of frames that is done


class Overload:
    """`reason`: what to do about it, while most frames are dropped."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._last: tuple[float, int, int] | None = None
        self._bad = 0

    def look(self, now_s: float, asked: int, dropped: int, cameras: int) -> None:
        """Totals of all cameras: frames asked for, and dropped of them since nobody had time; how many cameras run."""
        if self._last is None:
            self._last = (now_s, asked, dropped)
        since_s = now_s - self._last[0]
        if since_s < LOOK_EVERY_S:
            return
        wanted, lost = asked - self._last[1], dropped - self._last[2]
        self._last = (now_s, asked, dropped)
        done_share = 1 - lost / wanted if wanted > 0 else 1.0
        self._bad = self._bad + 1 if done_share < _OVERLOADED else 0
        if self._bad >= LOOKS:
            does = (wanted - lost) / since_s
            fits = max(1, int(does / max(1, cameras)))
            asks = f"cameras ask for {wanted / since_s:.0f} frames a second, this machine does {does:.0f}"
            self.reason = f"{asks}: fps {fits} would fit"
        elif done_share >= _FINE:
            self.reason = None
