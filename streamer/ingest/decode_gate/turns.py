"""As many cameras' threads decode and look at once as there are cores; whoever has waited longest is next.

Sixty threads that all want to work would leave the loop and the detector a sixtieth each, and hand the interpreter on
at every array that NumPy adds up: measured in docs/decisions.md. Where somebody is followed nobody waits: there every
frame counts, and such cameras are few. For any thread; blocks.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from recognition.specs.devices import usable_cores


class Turns:
    """Around work that waits for nothing."""

    def __init__(self, most: int) -> None:
        """most: threads at once, beside those that don't wait."""
        self._lock = threading.Lock()
        self._free = most
        self._waiting: deque[threading.Lock] = deque()
        self._has_one = threading.local()

    @contextmanager
    def turn(self, *, waits: bool = True) -> Iterator[None]:
        """One of them; within another one it is the same. waits: it takes its turn, where there are more of them."""
        if not waits or getattr(self._has_one, "now", False):
            yield
            return
        self._take()
        self._has_one.now = True
        try:
            yield
        finally:
            self._has_one.now = False
            self._give_back()

    def _take(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def _give_back(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


# Of the process: its cameras share its cores and its interpreter.
TURNS = Turns(usable_cores())
