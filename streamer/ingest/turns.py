"""As many cameras' threads decode and look at once as there are cores; whoever has waited longest is next.

Sixty threads that all want to work would leave the loop and the detector a sixtieth each, and hand the interpreter on
at every array that NumPy adds up: measured in docs/decisions.md. For any thread; blocks.
"""

import threading
from collections import deque
from types import TracebackType

from recognition.specs.devices import usable_cores


class Turns:
    """`with turns:` around work that waits for nothing; within another one it is the same turn."""

    def __init__(self, most: int) -> None:
        """most: threads at once."""
        self._lock = threading.Lock()
        self._free = most
        self._waiting: deque[threading.Lock] = deque()
        self._held = threading.local()  # how deep

    def __enter__(self) -> None:
        self._held.depth = depth = getattr(self._held, "depth", 0) + 1
        if depth > 1:
            return
        with self._lock:
            if self._free:
                self._free -= 1
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.depth -= 1
        if self._held.depth:
            return
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


# Of the process: its cameras share its cores and its interpreter.
TURNS = Turns(usable_cores())
