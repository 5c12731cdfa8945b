"""MicroBatcher: single items of many callers in, batches to the runners, each caller's own answers out.

submit() is called on the event loop; one thread per runner takes batches straight from the queue, so that a
runner never waits for the loop, and wakes the loop once per batch.
"""

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recognition.errors import CodedError, Overloaded, RunnerDead
from recognition.models.runner import ModelRunner

F32 = NDArray[np.float32]
Outputs = list[F32]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How batches are cut.

    `buckets`: the batch sizes that may be run, rising, 1 first. `pad`: fill up to the next bucket (GPUs,
    where a new size costs memory) instead of running the next smaller one (CPUs, where an empty place costs
    as much as a full one). `max_wait_ms`: how long the oldest item may wait for company. `queue_limit`: items
    that may wait.
    """

    buckets: tuple[int, ...] = (1,)
    pad: bool = False
    max_wait_ms: float = 0.0
    queue_limit: int = 64

    @property
    def max_batch(self) -> int:
        return self.buckets[-1]


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """The outputs of each item of one submit, in its order; seconds that it queued and ran.

    An item's outputs have the network's batch axis taken away, or left at length 1 where batches are of one.
    """

    outputs: list[Outputs]
    queue_s: float
    run_s: float


@dataclass(slots=True, eq=False)
class _Job:
    """One submit. `gone` is set on the loop when the caller has left, and read by the runners' threads."""

    future: asyncio.Future[Served]
    outputs: list[Outputs]
    left: int
    arrived_s: float
    started_s: float = 0.0
    gone: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    job: _Job
    place: int
    tensor: F32


@dataclass(slots=True, eq=False)
class _Queue:
    """Items by lane, taken round robin: a lane with much work can't starve the others."""

    lanes: OrderedDict[str, deque[_Item]] = field(default_factory=OrderedDict)
    size: int = 0

    def put(self, lane: str, items: Sequence[_Item]) -> None:
        self.lanes.setdefault(lane, deque()).extend(items)
        self.size += len(items)

    def take(self) -> _Item:
        lane, items = self.lanes.popitem(last=False)
        item = items.popleft()
        if items:
            self.lanes[lane] = items
        self.size -= 1
        return item

    def oldest_s(self) -> float:
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


class MicroBatcher:
    """Gathers work for one model. Served while serve() runs; that ends with stop() or a dead runner."""

    def __init__(
        self,
        name: str,
        runners: Sequence[ModelRunner],
        limits: BatchLimits,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        """`runners` has one entry per thread; a runner that may be called from several may stand there twice.

        `on_batch` is called on the loop with the number of items of each batch that was run.
        """
        self.name = name
        self.limits = limits
        self._runners = tuple(runners)
        self._on_batch = on_batch
        self._queue = _Queue()
        self._wake = threading.Condition()
        self._jobs: set[_Job] = set()
        self._closed: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def depth(self) -> int:
        """Items that wait for a runner."""
        return self._queue.size

    async def submit(self, items: Sequence[F32], lane: str) -> Served:
        """Run each item, a (3, h, w) float32 tensor; all items of a model have one shape.

        Raises Overloaded at once where the queue has no room (a submit larger than the whole limit is taken
        when nothing waits), RunnerDead where a runner failed before or during it, or serve() has ended, and what a
        runner raised that may pass (a retryable CodedError), which ends nothing but this submit.
        """
        if not items:
            return Served([], 0.0, 0.0)
        if self._closed is not None:
            raise RunnerDead(self._closed)
        waiting = self._queue.size
        if waiting and waiting + len(items) > self.limits.queue_limit:
            limit = self.limits.queue_limit
            raise Overloaded(f"{self.name}: {waiting} items wait already, the limit is {limit}")
        now = time.perf_counter()
        job = _Job(asyncio.get_running_loop().create_future(), [[] for _ in items], len(items), now)
        self._jobs.add(job)
        with self._wake:
            self._queue.put(lane, [_Item(job, place, tensor) for place, tensor in enumerate(items)])
            self._wake.notify(min(len(items), len(self._runners)))
        try:
            return await job.future
        finally:
            self._jobs.discard(job)
            if job.left:
                job.gone = True
                with self._wake:
                    self._queue.drop_gone()

    async def serve(self) -> None:
        """Drive the runners until stop(). Raises RunnerDead when one fails, after failing every waiter."""
        self._loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(len(self._runners), thread_name_prefix=f"run-{self.name}")
        try:
            threads = [self._loop.run_in_executor(pool, self._work, runner) for runner in self._runners]
            try:
                await asyncio.wait(threads, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                self._close(f"{self.name}: the model was closed")
                # A running thread can't be cancelled: wait, so that no run outlives its session.
                await asyncio.wait(threads)
        finally:
            pool.shutdown()
        for thread in threads:
            error = thread.exception()
            if error is not None:
                raise RunnerDead(self._closed) from error

    def stop(self) -> None:
        """End serve(); whoever still waits gets RunnerDead."""
        self._close(f"{self.name}: the model was closed")

    def _close(self, reason: str) -> None:
        with self._wake:
            self._closed = self._closed or reason
            self._wake.notify_all()
        for job in self._jobs:
            if not job.future.done():
                job.future.set_exception(RunnerDead(self._closed))

    # On the runners' threads.

    def _work(self, runner: ModelRunner) -> None:
        while (batch := self._take()) is not None:
            started_s = time.perf_counter()
            try:
                outputs = self._run(runner, [item.tensor for item in batch])
            except CodedError as error:
                if not error.retryable:
                    self._call_loop(self._close, f"{self.name}: {error}")
                    raise
                self._call_loop(self._refuse, batch, error.with_traceback(None))
                continue
            except Exception as error:
                reason = f"{self.name}: its runner failed ({type(error).__name__}); restart the service"
                self._call_loop(self._close, reason)
                raise
            self._call_loop(self._deliver, batch, outputs, started_s, time.perf_counter())

    def _take(self) -> list[_Item] | None:
        """The next batch, or None once closed. Waits until there is work and it is due."""
        with self._wake:
            while self._closed is None:
                wait_s = self._due_in_s()
                if wait_s == 0.0:
                    return [self._queue.take() for _ in range(self._batch_size())]
                self._wake.wait(wait_s)
            return None

    def _due_in_s(self) -> float | None:
        """0 when a batch is due, the seconds until it will be, or None when nothing waits."""
        if not self._queue.size:
            return None
        if self._queue.size >= self.limits.max_batch or not self.limits.max_wait_ms:
            return 0.0
        return max(0.0, self._queue.oldest_s() + self.limits.max_wait_ms / 1000 - time.perf_counter())

    def _batch_size(self) -> int:
        """An even share for each runner, so that the faces of one frame are spread over all cores."""
        share = min(-(-self._queue.size // len(self._runners)), self.limits.max_batch)
        if self.limits.pad:
            return share
        return max(bucket for bucket in self.limits.buckets if bucket <= share)

    def _run(self, runner: ModelRunner, tensors: list[F32]) -> list[Outputs]:
        """Run the tensors as one batch, padded with zeros to a bucket; the outputs of each."""
        if self.limits.max_batch == 1:
            return [runner.run(tensors[0][None])]
        if len(tensors) == 1:
            return [[output[0] for output in runner.run(tensors[0][None])]]
        bucket = min(size for size in self.limits.buckets if size >= len(tensors))
        batch = np.zeros((bucket, *tensors[0].shape), np.float32)
        for place, tensor in enumerate(tensors):
            batch[place] = tensor
        outputs = runner.run(batch)
        return [[output[place] for output in outputs] for place in range(len(tensors))]

    def _call_loop(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(callback, *args)

    # On the loop again.

    def _refuse(self, batch: list[_Item], error: CodedError) -> None:
        """This batch could not be run, others may be: its callers are told, each by an error of its own."""
        for item in batch:
            if not item.job.future.done():
                item.job.future.set_exception(type(error)(str(error)))

    def _deliver(self, batch: list[_Item], outputs: list[Outputs], started_s: float, ended_s: float) -> None:
        for item, output in zip(batch, outputs, strict=True):
            job = item.job
            job.outputs[item.place] = output
            job.left -= 1
            job.started_s = min(job.started_s or started_s, started_s)
            if not job.left and not job.future.done():
                job.future.set_result(Served(job.outputs, job.started_s - job.arrived_s, ended_s - job.started_s))
        if self._on_batch is not None:
            self._on_batch(len(batch))
