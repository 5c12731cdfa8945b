"""The arrays that go from room to room, by what they hold; and a pool of those that every picture needs anew.

Any thread. Memory that is fetched from the system for each picture and given back after it costs as much as half of the
picture's preparation.
"""

import math
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recognition.specs.devices import usable_cores

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

# Kept is what was asked for twice within this time, of so many sizes at once.
RARELY_S = 1.0
_MOST_SIZES = 16


@dataclass(slots=True)
class _Size:
    """`spare`: what lies there unused."""

    asked_s: float = -math.inf
    is_rare: bool = True
    spare: list[memoryview] = field(default_factory=list)


class ArrayPool:
    """A shape in, an array with anything in it out, which is used again once nobody refers to it, or to a view of it.

    `most_spare`: how many of one size lie there unused at most; of a size that is asked for rarely none. `clock`: s.
    """

    def __init__(self, most_spare: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_spare = most_spare
        self._clock = clock
        self._lock = threading.RLock()  # an array may die, and come back, while this thread holds it
        self._sizes: dict[int, _Size] = {}

    @property
    def spare_bytes(self) -> int:
        """How much lies there unused."""
        with self._lock:
            return sum(len(memory) for size in self._sizes.values() for memory in size.spare)

    def f32(self, shape: tuple[int, ...]) -> F32:
        return self._taken(4 * math.prod(shape)).view(np.float32).reshape(shape)

    def u8(self, shape: tuple[int, ...]) -> U8:
        return self._taken(math.prod(shape)).reshape(shape)

    def _taken(self, size: int) -> U8:
        with self._lock:
            memory = self._spare(size)
        if memory is None:
            memory = np.empty(size, np.uint8).data
        # It lies on what is no array, so that views of it refer to it, and not to an array below it.
        array: U8 = np.frombuffer(memory, np.uint8)
        weakref.finalize(array, self._back, size, memory).atexit = False
        return array

    def let_go(self) -> None:
        """Of sizes that nobody asked for for RARELY_S. Who asks does so, too."""
        with self._lock:
            now_s = self._clock()
            for size, known in list(self._sizes.items()):
                if now_s - known.asked_s >= RARELY_S or len(self._sizes) > _MOST_SIZES:
                    self._sizes.pop(size, None)  # an array that died meanwhile may have asked, too

    def _spare(self, size: int) -> memoryview | None:
        self.let_go()
        known = self._sizes.pop(size, _Size())
        self._sizes[size] = known  # the last one asked for stands last
        known.is_rare, known.asked_s = known.asked_s == -math.inf, self._clock()
        return known.spare.pop() if known.spare else None

    def _back(self, size: int, memory: memoryview) -> None:
        with self._lock:
            known = self._sizes.get(size)
            if known is not None and not known.is_rare and len(known.spare) < self._most_spare:
                known.spare.append(memory)


# As many of a size as are filled at once.
PICTURES = ArrayPool(usable_cores())
