"""ModelSlot: one role's model as its callers meet it, whichever serves now; who comes while it is exchanged waits.

On the event loop; a caller's own preparation runs on the pool of CPU threads, networks on the batcher's.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

from recognition.arrays import F32
from recognition.errors import CodedError, GpuFailed, InsufficientMemory, NoModelServes, RunnerDead
from recognition.selection.candidates import Placement
from recognition.serving.batcher import Served
from recognition.serving.queue_load import QueueLoad
from recognition.serving.served_model import ServedModel, Serving
from recognition.specs.spec import S

T = TypeVar("T")


class Answer(NamedTuple, Generic[S, T]):
    """Which model answered, what preparing gave beside the tensors, and the raw outputs."""

    model: ServedModel[S]
    prepared: T
    served: Served


class ModelSlot(Generic[S]):
    """`model` serves. `on_trouble` is told of a run that failed there, and says whether there is another place now."""

    def __init__(
        self, role: type[S], model: ServedModel[S], serving: Serving, pool_of: Callable[[str], ThreadPoolExecutor]
    ) -> None:
        """`pool_of` says where a lane's preparation is done."""
        self.model: ServedModel[S] = model
        self.on_trouble: Callable[[Placement, CodedError], Coroutine[Any, Any, bool]] | None = None
        self._role: type[S] = role
        self._serving = serving
        self._pool_of = pool_of
        # Set but while a model had to go before its successor is loaded.
        self._open = asyncio.Event()
        self._open.set()

    @property
    def place(self) -> Placement:
        return self.model.place

    def load(self) -> QueueLoad:
        """What is asked of the model's queue."""
        return self.model.batcher.load()

    async def submit(self, prepare: Callable[[ServedModel[S]], tuple[list[F32], T]], lane: str) -> Answer[S, T]:
        """Prepare tensors for the model that serves, on the pool, and run them; again where another takes its place.

        Raises Overloaded, RunnerDead and what may pass: TritonUnavailable, and, where no other place could be found,
        InsufficientMemory, GpuFailed and NoModelServes.
        """
        loop = asyncio.get_running_loop()
        while True:
            while not self._open.is_set():
                await self._open.wait()
            model = self.model
            with model.in_use():
                tensors, prepared = await loop.run_in_executor(self._pool_of(lane), prepare, model)
                try:
                    return Answer(model, prepared, await model.batcher.submit(tensors, lane))
                except CodedError as error:
                    trouble = error.with_traceback(None)  # it would hold the picture
            if model is self.model:  # else another serves by now
                await self._elsewhere(model, trouble)

    async def _elsewhere(self, model: ServedModel[S], trouble: CodedError) -> None:
        """A run failed here: return once there is another place for it. Raises the trouble where that is no reason
        to look for one, or nobody knows one; NoModelServes where that was the end of a model, too.
        """
        fault = model.fault if isinstance(trouble, RunnerDead) else None
        reason = fault or trouble
        if fault is None and not isinstance(trouble, InsufficientMemory | GpuFailed):
            raise trouble
        if self.on_trouble is None:
            raise type(reason)(str(reason))
        # Whoever asks for this frame may be cancelled; the switch is for everybody.
        search = self._serving.unhindered(self.on_trouble(model.place, reason), f"trouble-{model.name}")
        if await search:
            return
        if fault is not None:
            raise NoModelServes(f"model {model.name}: can serve no more, and no other can ({fault})")
        raise trouble

    async def switch(self, place: Placement, *, need_mib: float | None = None, room_first: bool = False) -> None:
        """Serve by this model on this device, in batches of up to that bucket, from the next call on.

        It is loaded and warmed while the old one serves; what is on its way through that one comes out of it, then
        it is unloaded. `room_first`: the old one goes first, as its memory is needed, and calls wait meanwhile.
        Raises what ModelManager.lease raises. Then nothing has changed; but after `room_first` nothing serves, and
        calls raise that too until another switch has worked.
        """
        async with self._serving.switching:
            spec = self._serving.manager.spec_of(place.model, self._role)
            self.model = await self._serving.exchange(self.model, spec, place, need_mib, self._open, room_first)
