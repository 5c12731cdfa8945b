"""Cores: how many networks run at once on this machine's processors, whatever model they are of. Any thread.

Runs of plain lanes always begin. Those of patient lanes begin where a core is left, or once they have waited for long,
since they might wait for ever; and their threads step back for what else wants the core.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cores:
    """`niceness`: by how much patient lanes' threads step back."""

    def __init__(self, count: int, niceness: int, patience_s: float = 0.25) -> None:
        self.niceness = niceness
        self._count = count
        self._patience_s = patience_s
        self._change = threading.Condition()
        self._busy = 0

    @contextmanager
    def place(self, *, is_patient: bool) -> Iterator[None]:
        """For one run. Blocks for `patience_s` at most, and only who is patient."""
        with self._change:
            if is_patient:
                self._change.wait_for(lambda: self._busy < self._count, self._patience_s)
            self._busy += 1
        try:
            yield
        finally:
            with self._change:
                self._busy -= 1
                self._change.notify()
