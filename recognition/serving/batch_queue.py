"""The batcher's queue: items of many lanes in, batches that serve the lanes by turns out.

Not for two threads at once: the batcher's lock guards it.
"""

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count as counted

from recognition.arrays import F32
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.serving.cores import Cores

Outputs = list[F32]

_PATIENCE = 8  # batches; in the last of so many a place is kept for who waits behind others


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """The outputs of each item of one submit, in its order; seconds that it queued and ran.

    An item's outputs have the network's batch axis taken away, or left at length 1 where batches are of one.
    """

    outputs: list[Outputs]
    queue_s: float
    run_s: float


@dataclass(slots=True, eq=False)
class Job:
    """One submit. `gone` is set under the batcher's lock: its caller has left, or will be told that it failed."""

    future: asyncio.Future[Served]
    outputs: list[Outputs]
    left: int
    arrived_s: float
    started_s: float = 0.0
    gone: bool = False
    is_patient: bool = False


@dataclass(slots=True, eq=False)
class Item:
    """Not frozen: one is made for every face, and freezing it makes that three times as slow."""

    job: Job
    place: int
    tensor: F32


@dataclass(slots=True, eq=False)
class LaneQueue:
    """Items by lane, taken round robin: a lane with much work can't starve the others."""

    lanes: OrderedDict[str, deque[Item]] = field(default_factory=OrderedDict)
    size: int = 0

    def put(self, lane: str, items: Sequence[Item]) -> None:
        self.lanes.setdefault(lane, deque()).extend(items)
        self.size += len(items)

    def take(self, count: int) -> list[Item]:
        """The next `count` items, of as many lanes as wait; raises KeyError where there are fewer items."""
        self.size -= count
        taken: list[Item] = []
        while len(taken) < count:
            lane, items = self.lanes.popitem(last=False)
            # A lane that waits alone has nobody to take turns with.
            turns = 1 if self.lanes else min(len(items), count - len(taken))
            taken += [items.popleft() for _ in range(turns)]
            if items:
                self.lanes[lane] = items
        return taken

    def oldest_s(self) -> float:
        """When the item that waits for longest came; raises ValueError where none waits."""
        return min(items[0].job.arrived_s for items in self.lanes.values())

    def drop_gone(self) -> None:
        """Forget the items of callers that have left."""
        for lane, items in list(self.lanes.items()):
            kept = deque(item for item in items if not item.job.gone)
            self.size -= len(items) - len(kept)
            if kept:
                self.lanes[lane] = kept
            else:
                del self.lanes[lane]


@dataclass(frozen=True, slots=True, eq=False)
class Crew:
    """Runners' threads that take from the same queues: of the first as long as that has items, then of the next.

    In every eighth batch one place is the last queue's: whoever is behind waits for long, but not for ever.
    `wake`: what they wait at, on the batcher's lock. `cores`: where each run has to have a place, `is_patient`: as one
    that waits for it.
    """

    runners: tuple[TensorRunner, ...]
    queues: tuple[LaneQueue, ...]
    wake: threading.Condition
    cores: Cores | None = None
    is_patient: bool = False
    turns: Iterator[int] = field(default_factory=lambda: counted(1))

    def place(self) -> AbstractContextManager[None]:
        """For one run."""
        return nullcontext() if self.cores is None else self.cores.place(is_patient=self.is_patient)

    @property
    def waiting(self) -> int:
        return sum(queue.size for queue in self.queues)

    def take(self, count: int) -> list[Item]:
        """The next `count` items; raises KeyError where there are fewer."""
        last = self.queues[-1]
        kept = min(count, last.size, 1) if next(self.turns) % _PATIENCE == 0 else 0
        taken = last.take(kept)
        for queue in self.queues:
            taken += queue.take(min(queue.size, count - len(taken)))
        if len(taken) < count:
            raise KeyError(count)
        return taken

    def oldest_s(self) -> float:
        """When the item that waits for longest came; raises ValueError where none waits."""
        return min(queue.oldest_s() for queue in self.queues if queue.size)
