"""ModelManager: a model's name in, a lease on a loaded and tested model out; one load for however many ask at once.

get() and open() block for the reads, the network's start and the tests of every load (up to seconds): call them off
the loop. Any thread may. Models that nobody uses stay loaded until their memory is needed.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar, cast

import psutil

from recognition.errors import CodedError, ModelNotFound, UnsupportedEngine
from recognition.models.device_memory import JoinedReader, MemoryReader, NvmlReader, RamReader
from recognition.models.devices import Device
from recognition.models.ledger import Ledger, Reservation
from recognition.models.model_runner import Availability, ModelRunner, signature_of
from recognition.models.offline import keep_offline, no_network
from recognition.models.providers import LoadContext, ModelProvider, TritonServer, default_providers
from recognition.models.spaces import check_space
from recognition.models.spec import DetectorSpec, EmbedderSpec, SpecProfile, find_spec, load_specs

log = logging.getLogger(__name__)

AnySpec = DetectorSpec | EmbedderSpec
AnyRunner = ModelRunner[DetectorSpec] | ModelRunner[EmbedderSpec]
S = TypeVar("S", DetectorSpec, EmbedderSpec)
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Key:
    """What makes two loads one. `preset`: what is done to pixels before, see spec.preprocessing_signature."""

    name: str
    device: str
    precision: str
    runtime: str
    preset: str


@dataclass(slots=True, eq=False)
class _Loaded:
    """A model in memory. `members`: leases of an ensemble's members, given back when it is closed."""

    key: Key
    runner: AnyRunner
    reservation: Reservation
    members: ExitStack = field(default_factory=ExitStack)
    warm_to: int | None = None


class Lease(Generic[S]):
    """A loaded model that nobody closes while the lease lasts. Made by ModelManager.get() alone."""

    def __init__(self, runner: ModelRunner[S], close: Callable[[bool], None]) -> None:
        self.runner: ModelRunner[S] = runner
        self._close = close
        self._over = False

    @property
    def spec(self) -> S:
        return self.runner.spec

    def release(self, *, unload: bool = False) -> None:
        """Give it back; a second call does nothing. `unload`: close the model too, if nobody else uses it."""
        if not self._over:
            self._over = True
            self._close(unload)

    def __enter__(self) -> ModelRunner[S]:
        return self.runner

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class ModelManager:
    """Finds, verifies, loads and tests models, and keeps account of their memory."""

    def __init__(
        self,
        weights_folders: Sequence[Path],
        *,
        device: Device = "auto",
        specs: Mapping[str, AnySpec] | None = None,
        spaces: Path | None = None,
        profiles: Mapping[str, SpecProfile] | None = None,
        providers: Sequence[ModelProvider] | None = None,
        triton: TritonServer | None = None,
        reader: MemoryReader | None = None,
    ) -> None:
        """`specs` and `spaces` None: the bundled ones and those beside the weights; `reader` None: this machine's.

        `profiles`: what the configuration says otherwise, by model. Raises SpecInvalid, ModelNotFound (a profile's).
        """
        self._folders = tuple(weights_folders)
        keep_offline(self._folders[0] if self._folders else None)
        self._device = device
        self._spaces = spaces
        self._providers = tuple(default_providers() if providers is None else providers)
        self._triton = triton
        self.reader = reader or JoinedReader(RamReader(), NvmlReader())
        self.ledger = Ledger(self.reader)
        self.specs = _resolve(load_specs(beside=self._folders) if specs is None else specs, profiles or {})
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._entries: dict[Key, Future[_Loaded]] = {}

    # What is known.

    def spec(self, name: str) -> AnySpec:
        """The spec of this name or alias, as the configuration's profile has it. Raises ModelNotFound."""
        return find_spec(name, self.specs)

    def spec_of(self, name: str, kind: type[S]) -> S:
        """As spec(); ModelNotFound too where it is of another role."""
        spec = self.spec(name)
        if not isinstance(spec, kind):
            kind_of = "an embedder" if isinstance(spec, EmbedderSpec) else "a detector"
            others = ", ".join(sorted(n for n, other in self.specs.items() if isinstance(other, kind)))
            raise ModelNotFound(f"model {name}: is {kind_of}; what is wanted is one of {others}")
        return spec

    def availability(self, name: str) -> Availability:
        """Whether a load could be tried: a provider, its software and the files are there. Reads no weights."""
        try:
            spec = self.spec(name)
            self._provider_of(spec).validate_local_artifacts(spec, self._folders)
            for member in getattr(spec, "members", ()):
                member_is = self.availability(member)
                if not member_is.ok:
                    return member_is
        except CodedError as error:
            return Availability(False, error.code, str(error))
        return Availability(True)

    def loaded(self) -> list[AnyRunner]:
        """The models in memory."""
        return [loaded.runner for loaded in self._loaded()]

    # Loading.

    def get(self, name: str, device: Device | None = None) -> Lease[EmbedderSpec]:
        """A lease on an embedder; see lease()."""
        return self.lease(self.spec_of(name, EmbedderSpec), device)

    def open(self, name: str) -> AnyRunner:
        """Load whatever has this name, and keep it until close(). Raises what lease() raises, and ModelNotFound."""
        spec = self.spec(name)
        if isinstance(spec, DetectorSpec):
            return self.lease(spec).runner
        return self.lease(spec).runner

    def open_detector(self, name: str) -> ModelRunner[DetectorSpec]:
        """As open(); ModelNotFound too where the name is an embedder's."""
        return self.lease(self.spec_of(name, DetectorSpec)).runner

    def open_embedder(self, name: str) -> ModelRunner[EmbedderSpec]:
        """As open(); ModelNotFound too where the name is a detector's."""
        return self.get(name).runner

    def lease(
        self, spec: S, device: Device | None = None, *, bucket: int | None = None, need_mib: float | None = None
    ) -> Lease[S]:
        """A loaded, warm and tested model, which stays loaded at least until the lease is given back.

        `device` None: the manager's own; a spec's device policy that is not auto comes before either. `bucket`: the
        largest batch that it is to be warm for, None: all. `need_mib`: what it will take then, where that is known:
        idle models go first where there is too little.

        Raises WeightsMissing, WeightsDigestMismatch, WeightsUnreadable, UnsupportedRuntime, UnsupportedEngine,
        InsufficientMemory, NetworkForbidden, SelfTestFailed, EmbeddingSpaceMismatch, TritonUnavailable and others.
        """
        wanted = self._device if device is None else device
        wanted = spec.device_policy if spec.device_policy != "auto" else wanted
        wanted = "cuda:0" if wanted == "cuda" else wanted
        key = Key(spec.name, wanted, spec.precision, spec.runtime, spec.preprocessing_signature)
        while True:
            with self._lock:
                entry = self._entries.get(key)
                mine = entry is None
                if entry is None:
                    entry = self._entries[key] = Future()
            if mine:
                self._fill(entry, key, spec, bucket, need_mib)
            loaded = _result(entry)
            use = loaded.reservation.in_use()
            try:
                use.__enter__()
            except RuntimeError:
                continue  # evicted between the two lines: load it again
            try:
                self._warm(loaded, bucket)
            except BaseException:
                use.__exit__(None, None, None)
                raise
            return Lease(cast(ModelRunner[S], loaded.runner), partial(self._give_back, loaded, use))

    def unload_idle(self, *names: str) -> list[str]:
        """Close those of these models that nobody uses; their names."""
        return [loaded.key.name for loaded in self._loaded() if loaded.key.name in names and self._drop(loaded)]

    def close(self) -> None:
        """Close every model, used or not."""
        everything = self._loaded()
        with self._lock:
            self._entries.clear()
        for loaded in everything:
            _close(loaded)

    def _loaded(self) -> list[_Loaded]:
        with self._lock:
            done = [entry for entry in self._entries.values() if entry.done() and entry.exception() is None]
        return [entry.result() for entry in done]

    def _fill(self, entry: "Future[_Loaded]", key: Key, spec: S, bucket: int | None, need_mib: float | None) -> None:
        """Load for everybody who waits for this entry; a load that failed is not remembered."""
        try:
            entry.set_result(self._load(key, spec, bucket, need_mib))
        except BaseException as error:
            with self._lock:
                self._entries.pop(key, None)
            entry.set_exception(error)
            if not isinstance(error, Exception):
                raise

    def _load(self, key: Key, spec: S, bucket: int | None, need_mib: float | None) -> _Loaded:
        provider = self._provider_of(spec)
        members = ExitStack()
        leases: dict[str, Lease[EmbedderSpec]] = {}
        try:
            # Before the lock: another thread may be loading a member, and wait for it.
            for name in getattr(spec, "members", ()):
                leases[name] = self.get(name, key.device)
                members.callback(leases[name].release)
            context = LoadContext(self._folders, key.device, self._triton, lambda name: leases[name].runner)
            with self._loading, no_network(f"model {spec.name}"):
                loaded = self._load_alone(key, spec, provider, context, bucket, need_mib)
                loaded.members = members
                return loaded
        except BaseException:
            members.close()
            raise

    def _load_alone(
        self,
        key: Key,
        spec: S,
        provider: ModelProvider,
        context: LoadContext,
        bucket: int | None,
        need_mib: float | None,
    ) -> _Loaded:
        """One load at a time: what the memory falls by is this model's."""
        rooms = self.ledger.room_mib()
        device = ("cuda:0" if "cuda:0" in rooms else "cpu") if key.device == "auto" else key.device
        device = device if device in rooms else "cpu"  # no reader of it, or no such device: loading will say so
        if need_mib is not None and need_mib > rooms[device]:
            self._evict(device, need_mib)
        before = self._taken_mib()
        with ExitStack() as stack:
            reservation = stack.enter_context(self.ledger.reserve(spec.name, device, need_mib))
            runner = provider.load(spec, context)
            try:
                runner.hold_to_spec()
                runner.warmup(bucket)
                if isinstance(spec, EmbedderSpec) and not spec.members:
                    check_space(spec, runner, self._spaces, self._folders)
            except BaseException:
                runner.close()
                raise
            if runner.device != device and runner.device in rooms:
                reservation = stack.enter_context(self.ledger.reserve(spec.name, runner.device, None))
            taken = self._taken_mib()
            where = reservation.device
            reservation.settle(max(0.0, taken[where] - before.get(where, taken[where])))
        return _Loaded(key, runner, reservation, warm_to=bucket)

    def _warm(self, loaded: _Loaded, bucket: int | None) -> None:
        """Make a model that was loaded for smaller batches ready for these, and account for what that takes."""
        if loaded.warm_to is None or (bucket is not None and bucket <= loaded.warm_to):
            return
        with self._loading:
            where = loaded.reservation.device
            before = self._taken_mib()[where]
            loaded.runner.warmup(bucket)
            more = max(0.0, self._taken_mib()[where] - before)
            loaded.reservation.settle(loaded.reservation.holding().held_mib + more)
            loaded.warm_to = bucket

    def _taken_mib(self) -> dict[str, float]:
        """By device what is taken: of RAM by this process, of a GPU by anybody."""
        taken = {device: memory.total_mib - memory.free_mib for device, memory in self.reader.read().items()}
        taken["cpu"] = psutil.Process().memory_info().rss / MIB
        return taken

    def _evict(self, device: str, need_mib: float) -> None:
        """Close models that nobody uses, the least recently used first. Raises InsufficientMemory."""
        for reservation in self.ledger.to_evict(device, need_mib):
            for loaded in self._loaded():
                if loaded.reservation is reservation:
                    self._drop(loaded)

    def _drop(self, loaded: _Loaded) -> bool:
        """Close it, unless somebody uses it."""
        with self._lock:
            if not loaded.reservation.retire():
                return False
            self._entries.pop(loaded.key, None)
        _close(loaded)
        log.info("model %s on %s: unloaded", loaded.key.name, loaded.runner.device)
        return True

    def _give_back(self, loaded: _Loaded, use: AbstractContextManager[None], unload: bool) -> None:
        use.__exit__(None, None, None)
        if unload:
            self._drop(loaded)

    def _provider_of(self, spec: AnySpec) -> ModelProvider:
        for provider in self._providers:
            if provider.supports(spec):
                return provider
        raise UnsupportedEngine(
            f"model {spec.name}: nothing here runs engine {spec.engine} with runtime {spec.runtime}; mend the spec"
        )


def _resolve(specs: Mapping[str, AnySpec], profiles: Mapping[str, SpecProfile]) -> dict[str, AnySpec]:
    """The specs as the profiles want them; an ensemble's digest is made of its members'."""
    resolved = dict(specs)
    for name, profile in profiles.items():
        spec = find_spec(name, resolved)
        resolved[spec.name] = spec.with_profile(profile)
    for spec in list(resolved.values()):
        if isinstance(spec, EmbedderSpec) and spec.members:
            members = [signature_of(find_spec(name, resolved)) for name in spec.members]
            digest = hashlib.sha256("|".join(members).encode()).hexdigest()
            resolved[spec.name] = spec.model_copy(update={"weights_digest": digest})
    return resolved


def _result(entry: "Future[_Loaded]") -> _Loaded:
    """What was loaded; an error is each caller's own, since tracebacks grow on a shared one."""
    error = entry.exception()
    if isinstance(error, CodedError):
        raise type(error)(str(error)) from None
    return entry.result()


def _close(loaded: _Loaded) -> None:
    loaded.runner.close()
    loaded.members.close()
