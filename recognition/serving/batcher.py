"""MicroBatcher: single items of many callers in, batches to the runners, each caller's own answers out.

submit() is called on the event loop; one thread per runner takes batches straight from the queue, so that a
runner never waits for the loop, and wakes the loop once per batch.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from recognition.arrays import F32
from recognition.errors import CodedError, Overloaded, RunnerDead
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.serving.batch_limits import BatchLimits, mean_run_ms, wait_ms
from recognition.serving.batch_queue import Crew, Item, Job, LaneQueue, Outputs, Served
from recognition.serving.cores import Cores
from recognition.serving.lanes import PatientLane, step_back
from recognition.serving.queue_load import LoadMeter, QueueLoad

__all__ = ["BatchLimits", "MicroBatcher", "QueueLoad", "Served"]


@dataclass(slots=True, eq=False)
class _Batch:
    """What a runner took, and when."""

    items: list[Item]
    taken_s: float


class _Tray:
    """One thread's room for its batches, used again for each: fresh memory would cost as much as the copying."""

    def __init__(self) -> None:
        self._room = np.empty((0, 0), np.float32)

    def laid(self, items: Sequence[Item], bucket: int) -> F32:
        """The items as one batch, padded with zeros; until the next call."""
        shape = items[0].tensor.shape
        if len(self._room) < bucket or self._room.shape[1:] != shape:
            self._room = np.empty((bucket, *shape), np.float32)
        for place, item in enumerate(items):
            self._room[place] = item.tensor
        self._room[len(items) : bucket] = 0.0
        return self._room[:bucket]


class MicroBatcher:
    """Gathers work for one model. Served while serve() runs; that ends with stop() or a dead runner."""

    def __init__(
        self,
        name: str,
        runners: Sequence[TensorRunner],
        limits: BatchLimits,
        on_batch: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        *,
        cores: Cores | None = None,
    ) -> None:
        """`runners` has one entry per thread; a runner that may be called from several may stand there twice.

        Items of patient lanes fill up what plain ones leave of a batch. `cores`: instead, as many threads again serve
        them alone, where a core is left; plain ones then need not wait for a batch of theirs.
        `on_batch` is called on the loop with the number of items of each batch that was run. `clock`: seconds.
        """
        self.name = name
        self._runners = tuple(runners)
        self._on_batch = on_batch
        self._clock = clock
        # Guarded by the lock: runners' threads take what the loop puts there.
        self._lock = threading.RLock()
        self._plain, self._patient = LaneQueue(), LaneQueue()
        wake = threading.Condition(self._lock)
        if cores is not None:
            apart = threading.Condition(self._lock)
            self._crew = Crew(self._runners, (self._plain,), wake, cores)
            self._patient_crew = Crew(self._runners, (self._patient,), apart, cores, is_patient=True)
        else:
            self._crew = self._patient_crew = Crew(self._runners, (self._plain, self._patient), wake)
        self.limits = limits
        self._meter = LoadMeter()
        self._closed: str | None = None
        self._fault: CodedError | None = None
        # The loop's own; run_ms is read by the threads.
        self._run_ms: float | None = None
        self._jobs: set[Job] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def fault(self) -> CodedError | None:
        """What the world did to the runner that failed; None where none failed, or by a bug of ours."""
        return self._fault

    @property
    def depth(self) -> int:
        """Items that wait for a runner."""
        return self._plain.size + self._patient.size

    def load(self, now_s: float | None = None) -> QueueLoad:
        """What plain lanes ask of this batcher: whether a model is fast enough goes by them. `now_s` None: now."""
        with self._lock:
            now_s = self._clock() if now_s is None else now_s
            oldest_s = self._plain.oldest_s() if self._plain.size else now_s
            return self._meter.load(now_s, now_s - oldest_s)

    async def submit(self, items: Sequence[F32], lane: str) -> Served:
        """Run each item, a (3, h, w) float32 tensor; all items of a model have one shape.

        Raises Overloaded at once where its kind of lane has no room (a submit larger than the whole limit is taken when
        nothing of that kind waits), RunnerDead where a runner failed before or during it, or serve() has ended, and
        what a runner raised that may pass (a retryable CodedError), which ends nothing but this submit.
        """
        if not items:
            return Served([], 0.0, 0.0)
        if self._closed is not None:
            raise RunnerDead(self._closed)
        now_s = self._clock()
        is_patient = isinstance(lane, PatientLane)
        queue, crew = (self._patient, self._patient_crew) if is_patient else (self._plain, self._crew)
        limit = self.limits.patient_limit if is_patient else self.limits.queue_limit
        with self._lock:
            if not is_patient:
                self._meter.arrived(now_s, len(items))
            if queue.size and queue.size + len(items) > limit:
                raise Overloaded(f"{self.name}: {queue.size} items wait already, the limit is {limit}")
            future = asyncio.get_running_loop().create_future()
            job = Job(future, [[] for _ in items], len(items), now_s, is_patient=is_patient)
            self._jobs.add(job)
            queue.put(lane, [Item(job, place, tensor) for place, tensor in enumerate(items)])
            crew.wake.notify(min(len(items), len(crew.runners)))
        try:
            return await job.future
        finally:
            self._jobs.discard(job)
            if job.left:
                self._forget([job])

    async def serve(self) -> None:
        """Drive the runners until stop(). Raises RunnerDead when one fails, after failing every waiter."""
        self._loop = asyncio.get_running_loop()
        crews = {id(crew): crew for crew in (self._crew, self._patient_crew)}.values()
        places = [(runner, crew) for crew in crews for runner in crew.runners]
        pool = ThreadPoolExecutor(len(places), thread_name_prefix=f"run-{self.name}")
        try:
            threads = [self._loop.run_in_executor(pool, self._work, *place) for place in places]
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

    def _close(self, reason: str, fault: CodedError | None = None) -> None:
        with self._lock:
            if self._closed is None:
                self._closed, self._fault = reason, fault
            for crew in (self._crew, self._patient_crew):
                crew.wake.notify_all()
        for job in self._jobs:
            if not job.future.done():
                job.future.set_exception(RunnerDead(self._closed))

    def _forget(self, jobs: Iterable[Job]) -> None:
        """Whatever of these jobs still waits is not run any more. Called on the loop and on the runners' threads."""
        with self._lock:
            for job in jobs:
                job.gone = True
            self._plain.drop_gone()
            self._patient.drop_gone()

    # On the runners' threads.

    def _work(self, runner: TensorRunner, crew: Crew) -> None:
        if crew.cores is not None and crew.is_patient:
            step_back(crew.cores.niceness)
        tray = _Tray()
        while self._wait(crew):
            with crew.place():
                batch = self._take(crew)
                if batch is not None:
                    self._serve(runner, batch, tray)

    def _serve(self, runner: TensorRunner, batch: _Batch, tray: _Tray) -> None:
        """Run it, and tell its callers on the loop. Raises what ends the runner."""
        try:
            outputs = self._run(runner, batch, tray)
        except CodedError as error:
            if not error.retryable:
                self._call_loop(self._close, f"{self.name}: {error}", error)
                raise
            # Here and not on the loop, else a runner would take more of what is lost before the loop is awake.
            self._forget(item.job for item in batch.items)
            self._call_loop(self._refuse, batch, error.with_traceback(None))
        except Exception as error:
            reason = f"{self.name}: its runner failed ({type(error).__name__}); restart the service"
            self._call_loop(self._close, reason)
            raise
        else:
            self._call_loop(self._deliver, batch, outputs, self._clock())

    def _wait(self, crew: Crew) -> bool:
        """True as soon as there is work and it is due, False once closed."""
        with self._lock:
            while self._closed is None:
                wait_s = self._due_in_s(crew, self._clock())
                if wait_s == 0.0:
                    return True
                crew.wake.wait(wait_s)
            return False

    def _take(self, crew: Crew) -> _Batch | None:
        """The next batch; None where another thread was quicker, or all was closed."""
        with self._lock:
            now_s = self._clock()
            if self._closed is not None or self._due_in_s(crew, now_s) != 0.0:
                return None
            items = crew.take(self._batch_size(crew))
            self._meter.taken(now_s, [item.job.arrived_s for item in items if not item.job.is_patient])
            return _Batch(items, now_s)

    def _due_in_s(self, crew: Crew, now_s: float) -> float | None:
        """0 when a batch is due, the seconds until it will be, or None when nothing waits."""
        if not crew.waiting:
            return None
        if crew.waiting >= self.limits.max_batch:
            return 0.0
        longest_ms = wait_ms(self.limits, self._run_ms)
        if not longest_ms:
            return 0.0
        return max(0.0, crew.oldest_s() + longest_ms / 1000 - now_s)

    def _batch_size(self, crew: Crew) -> int:
        """An even share for each runner, so that the faces of one frame are spread over all cores."""
        share = min(-(-crew.waiting // len(crew.runners)), self.limits.max_batch)
        if self.limits.pad:
            return share
        return max(bucket for bucket in self.limits.buckets if bucket <= share)

    def _run(self, runner: TensorRunner, batch: _Batch, tray: _Tray) -> list[Outputs]:
        """Run the items as one batch, padded to a bucket; the outputs of each."""
        first = batch.items[0].tensor
        if self.limits.max_batch == 1:
            return [runner.run(first[None])]
        count = len(batch.items)
        if count == 1:
            return [[output[0] for output in runner.run(first[None])]]
        bucket = min(size for size in self.limits.buckets if size >= count)
        outputs = runner.run(tray.laid(batch.items, bucket))
        return [[output[place] for output in outputs] for place in range(count)]

    def _call_loop(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(callback, *args)

    # On the loop again.

    def _refuse(self, batch: _Batch, error: CodedError) -> None:
        """This batch could not be run, others may be: its callers are told, each by an error of its own."""
        for item in batch.items:
            if not item.job.future.done():
                item.job.future.set_exception(type(error)(str(error)))

    def _deliver(self, batch: _Batch, outputs: list[Outputs], ended_s: float) -> None:
        taken_s = batch.taken_s
        for item, output in zip(batch.items, outputs, strict=True):
            job = item.job
            job.outputs[item.place] = output
            job.left -= 1
            if not job.started_s or taken_s < job.started_s:
                job.started_s = taken_s
            if not job.left and not job.future.done():
                job.future.set_result(Served(job.outputs, job.started_s - job.arrived_s, ended_s - job.started_s))
        self._run_ms = mean_run_ms(self._run_ms, (ended_s - taken_s) * 1000)
        if self._on_batch is not None:
            self._on_batch(len(batch.items))
