"""Loader: a spec and its provider in, a loaded, tested and warm model out, with an account of the memory that it takes.

Blocks for the load (up to seconds); any thread. One model at a time: what memory falls by meanwhile is that model's.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TypeAlias, TypeVar

import psutil

from recognition.checks.portraits import check_portraits
from recognition.checks.spaces import check_space
from recognition.errors import EmbeddingSpaceMismatch, InsufficientGpuMemory, InsufficientMemory, SelfTestFailed
from recognition.models.device_memory import MIB, MemoryReader
from recognition.models.ledger import Ledger
from recognition.models.model_cache import Key, Loaded, ModelCache
from recognition.models.model_runner import ModelRunner
from recognition.models.offline import no_network
from recognition.specs.spec import DetectorSpec, EmbedderSpec, S

T = TypeVar("T")
Provided: TypeAlias = Callable[[], ModelRunner[S]]


class Loader:
    """What is loaded comes in use by the caller, so that nobody evicts it before it is used for the first time."""

    def __init__(
        self,
        weights_folders: Sequence[Path],
        spaces: Path | None,
        reader: MemoryReader,
        ledger: Ledger,
        cache: ModelCache,
        *,
        portraits: bool,
    ) -> None:
        """`portraits`: each model is held to the bundled portraits, too."""
        self._folders = weights_folders
        self._spaces = spaces
        self._reader = reader
        self._ledger = ledger
        self._cache = cache
        self._portraits = portraits
        self._alone = threading.Lock()

    def load(
        self, key: Key, spec: S, provided: Provided[S], bucket: int | None, need_mib: float | None
    ) -> tuple[Loaded, ExitStack]:
        """`provided`: its provider's part. `bucket`: the largest batch that it has to be ready for, None: any.

        `need_mib` None: nobody knows. Models that nobody uses are closed where memory is short. Raises what
        ModelManager.lease raises.
        """
        if is_elsewhere(spec):
            device, _ = self.make_room(spec.name, key.device, None)
            return self._loaded(key, spec, provided, bucket, device, None)
        with self._alone:
            device, need_mib = self.make_room(spec.name, key.device, need_mib)
            return self._with_room(device, lambda: self._loaded(key, spec, provided, bucket, device, need_mib))

    def make_room(self, name: str, asked: str, need_mib: float | None) -> tuple[str, float | None]:
        """Where a model is to go, and what is to be promised there; models that nobody uses go if it is too little.

        Where nobody reads the device, nothing can be promised: loading will say whether it is there. Raises
        InsufficientGpuMemory, InsufficientMemory.
        """
        rooms = self._ledger.room_mib()
        device = asked if asked != "auto" else "cuda:0" if "cuda:0" in rooms else "cpu"
        if device not in rooms:
            return "cpu", None
        if need_mib is not None:
            self._cache.make_room(f"model {name}", device, need_mib)
        return device, need_mib

    def grow(self, loaded: Loaded, bucket: int | None, need_mib: float | None) -> None:
        """Make it ready for batches of up to `bucket` too; the caller uses it. Raises InsufficientMemory and others.

        `need_mib`: what it will take in all.
        """
        if loaded.wanted_warm(bucket) <= loaded.warm_to:
            return
        for member in loaded.members:
            self.grow(member.loaded, bucket, None)
        with nullcontext() if is_elsewhere(loaded.runner.spec) else self._alone:
            if loaded.wanted_warm(bucket) <= loaded.warm_to:
                return
            reservation = loaded.reservation
            held_mib = reservation.holding().held_mib
            more_mib = max(0.0, (need_mib or 0.0) - held_mib)
            if more_mib:
                self._cache.make_room(f"model {loaded.key.name}", reservation.device, more_mib)
            with reservation.grow(held_mib + more_mib):
                self._with_room(reservation.device, lambda: self._grown(loaded, bucket))

    def _grown(self, loaded: Loaded, bucket: int | None) -> None:
        reservation, before = loaded.reservation, self._taken_mib()
        held_mib = reservation.holding().held_mib
        try:
            loaded.runner.check_spec(bucket)
            loaded.runner.warmup(bucket)
        finally:  # what an allocator took for a run that failed, it keeps
            if not is_elsewhere(loaded.runner.spec) and not loaded.gone:
                reservation.settle(held_mib + self._more_mib(before, reservation.device))
        loaded.warm_to = loaded.wanted_warm(bucket)

    def _loaded(
        self, key: Key, spec: S, provided: Provided[S], bucket: int | None, device: str, need_mib: float | None
    ) -> tuple[Loaded, ExitStack]:
        before = self._taken_mib()
        with ExitStack() as promises, ExitStack() as failed:
            reservation = promises.enter_context(self._ledger.reserve(spec.name, device, need_mib))
            with no_network(f"model {spec.name}"):  # which may raise on leaving, too
                runner = provided()
                failed.callback(runner.close)
                try:
                    self._prove(spec, runner, bucket)
                except (SelfTestFailed, EmbeddingSpaceMismatch) as error:
                    # Right weights can fail by the kernels of a processor that nobody tried; the surest form decides.
                    if not runner.run_unfused(str(error)):
                        raise
                    self._prove(spec, runner, bucket)
            if runner.device != device and runner.device in before:
                reservation = promises.enter_context(self._ledger.reserve(spec.name, runner.device, None))
            use = ExitStack()
            use.enter_context(reservation.in_use())
            reservation.settle(0.0 if is_elsewhere(spec) else self._more_mib(before, reservation.device))
            loaded = Loaded(key, runner, reservation, warm_to=1)
            loaded.warm_to = loaded.wanted_warm(bucket)
            failed.pop_all()
        return loaded, use

    def _prove(self, spec: S, runner: ModelRunner[S], bucket: int | None) -> None:
        """Hold it to its spec, space and portraits, and warm it. What an ensemble's members are, they were held to."""
        runner.check_spec(bucket)
        runner.warmup(bucket)
        if isinstance(spec, EmbedderSpec) and not spec.members:
            check_space(spec, runner, self._spaces, self._folders)
        if self._portraits and getattr(spec, "merge", None) != "agree":  # there each member judges by itself
            check_portraits(spec, runner)

    def _with_room(self, device: str, attempt: Callable[[], T]) -> T:
        """Where memory runs out, the models that nobody uses go one by one, until it is enough or none is left."""
        while True:
            try:
                return attempt()
            except InsufficientMemory as error:
                short = device if isinstance(error, InsufficientGpuMemory) else "cpu"
                if not self._cache.drop_oldest(short):
                    raise

    def _taken_mib(self) -> dict[str, float]:
        """By device what is taken: of RAM by this process, of a GPU by anybody but the models that are accounted for.

        Those may be unloaded while another one loads. Of RAM they leave some behind, which the next ones use.
        """
        taken = {device: memory.total_mib - memory.free_mib for device, memory in self._reader.read().items()}
        for holding in self._ledger.holdings():
            if holding.device in taken:
                taken[holding.device] -= holding.held_mib
        taken["cpu"] = psutil.Process().memory_info().rss / MIB
        return taken

    def _more_mib(self, before: dict[str, float], device: str) -> float:
        """0 where the device is gone by now."""
        now = self._taken_mib()
        return max(0.0, now[device] - before[device]) if device in now and device in before else 0.0


def is_elsewhere(spec: DetectorSpec | EmbedderSpec) -> bool:
    """Whether its memory is not this process's (a server's), or is accounted for already (an ensemble's members')."""
    return spec.runtime == "triton" or (isinstance(spec, EmbedderSpec) and bool(spec.members))
