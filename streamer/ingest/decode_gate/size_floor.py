"""Packet sizes against their own noise floor: what quiet pictures of one kind weigh, and when they weigh more.

Sizes in bytes go in, on a camera's thread; pure.
"""

from collections import deque

# So many quiet sizes are remembered: about ten seconds.
_WINDOW = 256
_LEAST, _EVERY = 25, 25
# Of five packets so many have to be heavy: a burned-in clock's step, or one loss that the encoder mends, is one.
_LAST, _HEAVY = 5, 3
# Over the floor by so much: of what nine in ten stay under, and some bytes where that is next to nothing.
_FACTOR, _BYTES = 1.5, 32


class SizeFloor:
    """Of the pictures of one kind: those that others are made from, or those that nothing is."""

    def __init__(self) -> None:
        self._quiet: deque[int] = deque(maxlen=_WINDOW)
        self._new = 0
        self._heavy = 0  # the last few, a bit each
        self._median: int | None = None
        self._level: float | None = None

    def learn(self, size: int) -> None:
        """A picture in which nothing moved."""
        self._quiet.append(size)
        self._new += 1
        if self._new >= _EVERY and len(self._quiet) >= _LEAST:
            self._new = 0
            ordered = sorted(self._quiet)
            self._median = ordered[len(ordered) // 2]
            self._level = ordered[len(ordered) * 9 // 10] * _FACTOR + _BYTES

    def is_raised(self, size: int) -> bool:
        """Whether the last ones, with this, say that something moves. Never before the floor is known."""
        self._heavy = (self._heavy << 1 | (self._level is not None and size > self._level)) & (1 << _LAST) - 1
        return self._heavy.bit_count() >= _HEAVY

    @property
    def lift(self) -> float | None:
        """How many bytes movement has to add to be seen; None: the floor is not known yet."""
        return None if self._level is None or self._median is None else self._level - self._median
