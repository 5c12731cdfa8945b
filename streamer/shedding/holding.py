"""For how long frames have been shed without a pause, and whether those of cameras with faces were. Any thread."""

import threading

_PAUSE_S = 5.0  # without a shed frame, before it is over: as far as a queue's load looks back
_FACES_S = 2.0


class Holding:
    """Times on one clock that only grows, s."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first_s = self._last_s = self._faces_s = float("-inf")

    def strained(self, now_s: float) -> None:
        """A goal is missed all the same: there is nothing left to shed."""
        with self._lock:
            self._holds(now_s)

    def shed(self, now_s: float, *, has_faces: bool) -> None:
        """A frame was shed just now; has_faces: of a camera on which somebody is seen."""
        with self._lock:
            self._holds(now_s)
            if has_faces:
                self._faces_s = max(self._faces_s, now_s)

    def _holds(self, now_s: float) -> None:
        if now_s - self._last_s > _PAUSE_S:
            self._first_s = now_s
        self._last_s = max(self._last_s, now_s)

    def held_s(self, now_s: float) -> float:
        """0 where nothing is shed."""
        with self._lock:
            return max(0.0, now_s - self._first_s) if now_s - self._last_s <= _PAUSE_S else 0.0

    def reaches_faces(self, now_s: float) -> bool:
        """Whether even cameras on which somebody is seen lose frames."""
        with self._lock:
            return now_s - self._faces_s <= _FACES_S
