"""ServedModel: a loaded model with the queue and the threads that serve it; what a switch exchanges for another.

Made on the event loop, which it belongs to; its runs happen on its own threads.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from recognition.errors import CodedError, NoModelServes, RunnerDead
from recognition.models.manager import Lease, ModelManager
from recognition.models.model_runner import ModelRunner
from recognition.reason import Reason
from recognition.selection.candidates import Placement
from recognition.serving.batch_limits import BatchLimits
from recognition.serving.batcher import MicroBatcher
from recognition.serving.cores import Cores
from recognition.specs.devices import usable_cores
from recognition.specs.spec import EmbedderSpec, S

T = TypeVar("T")

# Calls to a server are under way side by side, so that it never waits for the next one to be sent.
_TRITON_CALLS = 4


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What the configuration asks of every model's queue; `runners` 0: one per usable core on the CPU.

    `max_wait_ms` None: it adapts, see batch_limits.wait_ms(). `cores`: see MicroBatcher, on the CPU alone: there
    the system's scheduler does what on a GPU only the order of a queue can.
    """

    runners: int = 0
    max_batch: int = 8
    max_wait_ms: float | None = 0.0
    queue_limit: int = 64
    latency_goal_ms: float | None = None
    cores: Cores | None = None

    def threads_for(self, device: str) -> int:
        """How many batches run side by side on this device."""
        if self.runners:
            return self.runners
        return {"cpu": usable_cores(), "triton": _TRITON_CALLS}.get(device, 1)


class ServedModel(Generic[S]):
    """One model while it serves. `place`: what it was asked to be; the device is the one that it really runs on."""

    def __init__(
        self,
        lease: Lease[S],
        plan: BatchPlan,
        place: Placement | None = None,
        on_batch: Callable[[str, int], None] | None = None,
    ) -> None:
        """`place` None: batches as large as plan and model have it. `on_batch` gets the name and a batch's size."""
        runner = lease.runner
        most = min(plan.max_batch, place.bucket if place else plan.max_batch)
        limits = BatchLimits(
            buckets=tuple(size for size in runner.buckets if size <= most),
            pad=not runner.on_cpu,
            max_wait_ms=plan.max_wait_ms,
            queue_limit=plan.queue_limit,
            latency_goal_ms=plan.latency_goal_ms,
        )
        self.runner: ModelRunner[S] = runner
        self.threads = plan.threads_for(runner.device)
        hook = None if on_batch is None else lambda size: on_batch(runner.name, size)
        cores = plan.cores if runner.on_cpu else None
        self.batcher = MicroBatcher(runner.name, [runner] * self.threads, limits, hook, cores=cores)
        # The bucket is as it was asked for, whatever the model makes of it: who asked knows it by that.
        self.place = Placement(runner.name, runner.device, place.bucket if place else limits.max_batch)
        self._lease: Lease[S] = lease
        self._left_for: CodedError | None = None
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @property
    def spec(self) -> S:
        return self.runner.spec

    @property
    def name(self) -> str:
        return self.runner.name

    @property
    def device(self) -> str:
        return self.runner.device

    @property
    def notes(self) -> tuple[str, ...]:
        return self.runner.notes

    @property
    def fallback(self) -> Reason | None:
        return self.runner.fallback

    @property
    def max_batch(self) -> int:
        return self.batcher.limits.max_batch

    @property
    def fault(self) -> CodedError | None:
        """Why it can serve no more, though nothing took its place: what its runner met, or a switch that failed."""
        return self.batcher.fault or self._left_for

    def left_for(self, failed: CodedError) -> None:
        """It had to go for another, which could not be had."""
        self._left_for = failed

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Somebody's items are on their way through it: it is not stopped before they are out."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def serve(self) -> None:
        """Until stop(), or until the world makes an end of its runner, see `fault`. Raises RunnerDead for our bugs."""
        try:
            await self.batcher.serve()
        except RunnerDead:
            if self.batcher.fault is None:
                raise

    async def unused(self) -> None:
        """Return once nobody's items are on their way through it; no new ones may come meanwhile."""
        await self._unused.wait()

    def stop(self) -> None:
        """End serve() at once."""
        self.batcher.stop()

    def release(self, *, unload: bool = False) -> None:
        """Give the model back; blocks. serve() must have ended. `unload`: close it, if nobody else uses it."""
        self._lease.release(unload=unload)


class Serving:
    """What starts models and ends them: from the manager, by the plan, on a group of tasks."""

    def __init__(
        self,
        manager: ModelManager,
        plan: BatchPlan,
        tasks: asyncio.TaskGroup,
        on_batch: Callable[[str, int], None] | None = None,
    ) -> None:
        self.manager = manager
        self.switching = asyncio.Lock()  # one switch at a time, of whatever role: each goes by the memory that is free
        self._plan = plan
        self._on_batch = on_batch
        self._tasks = tasks
        self._live: dict[ServedModel[Any], asyncio.Task[None]] = {}
        self._leases: list[Lease[EmbedderSpec]] = []
        self._errands: set[asyncio.Task[Any]] = set()
        self._stopped = False

    async def start(self, spec: S, place: Placement | None, need_mib: float | None = None) -> ServedModel[S]:
        """Load it off the loop and serve it; `place` None: where the manager has it, in any batches."""
        device, bucket = (place.device, place.bucket) if place else (None, None)
        load = partial(self.manager.lease, spec, device, bucket=bucket, need_mib=need_mib)
        lease = await asyncio.to_thread(load)
        if self._stopped:
            await asyncio.to_thread(lease.release)
            raise RunnerDead(f"model {spec.name}: everything ended while it was loaded")
        served = ServedModel(lease, self._plan, place, self._on_batch)
        self._live[served] = self._tasks.create_task(served.serve(), name=f"serve-{served.name}")
        return served

    async def unhindered(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Await it on a task of its own: who is cancelled meanwhile leaves it to come to its end. Ends with stop()."""
        if self._stopped:
            work.close()
            raise RunnerDead(f"{name}: everything has ended")
        errand = self._tasks.create_task(work, name=name)
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)
        return await asyncio.shield(errand)

    async def exchange(
        self,
        old: ServedModel[S],
        spec: S,
        place: Placement,
        need_mib: float | None,
        is_open: asyncio.Event,
        room_first: bool,
    ) -> ServedModel[S]:
        """The successor, which serves; `is_open` is clear while it is not told yet whether there is one."""
        if not room_first:
            fresh = await self.start(spec, place, need_mib)
            # Calls go to it as soon as the caller has put it in the old one's place: nothing awaits between.
            self._tasks.create_task(self._end(old, unload=old.runner is not fresh.runner), name=f"end-{old.name}")
            return fresh
        is_open.clear()
        try:
            await self._end(old, unload=True)
            return await self.start(spec, place, need_mib)
        except BaseException as error:
            stopped = NoModelServes(f"model {old.name}: had to go for {spec.name}, whose load was interrupted")
            old.left_for(error if isinstance(error, CodedError) else stopped)
            raise
        finally:
            is_open.set()

    async def _end(self, served: ServedModel[S], *, unload: bool) -> None:
        """Let what is on its way through it come out, stop it and give it back; `unload`: close it, too.

        Again where that was interrupted, or has failed.
        """
        serving = self._live.get(served)
        if serving is None:
            return
        await served.unused()
        served.stop()
        await asyncio.wait([serving])  # whoever is cancelled here does not cancel it, what it raises is the group's
        await asyncio.to_thread(served.release, unload=unload)
        self._live.pop(served, None)

    async def lease(self, name: str) -> Lease[EmbedderSpec]:
        """An embedder that is asked directly, without a queue."""
        lease = await asyncio.to_thread(self.manager.get, name)
        self._leases.append(lease)
        return lease

    def stop(self) -> None:
        """End everything at once."""
        self._stopped = True
        for errand in self._errands:
            errand.cancel()
        for served in self._live:
            served.stop()

    def release(self) -> None:
        """Give every model back; blocks. Their tasks must have ended."""
        for served in self._live:
            served.release()
        for lease in self._leases:
            lease.release()
