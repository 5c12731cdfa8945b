"""Leases: who uses which loaded model, and the cache (LRU) of the loaded ones until their memory is needed.

Any thread may call. Nothing here blocks for a load but waited(), which waits for another thread's.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Generic, TypeAlias, cast

from recognition.errors import CodedError, InsufficientMemory
from recognition.models.ledger import Ledger, Reservation
from recognition.models.model_runner import ModelRunner
from recognition.specs.spec import DetectorSpec, EmbedderSpec, S

log = logging.getLogger(__name__)

AnyRunner = ModelRunner[DetectorSpec] | ModelRunner[EmbedderSpec]


@dataclass(frozen=True, slots=True)
class Key:
    """What makes two loads one. `preset`: what is done to pixels before, see spec.preprocessing_signature."""

    name: str
    device: str
    precision: str
    runtime: str
    preset: str


@dataclass(slots=True, eq=False)
class Loaded:
    """A model in memory. `warm_to`: the largest batch that it is ready for. `gone`: closed while somebody used it."""

    key: Key
    runner: AnyRunner
    reservation: Reservation
    warm_to: int
    members: "tuple[Lease[EmbedderSpec], ...]" = ()
    gone: bool = False

    def wanted_warm(self, bucket: int | None) -> int:
        """The largest batch that is run where batches of up to `bucket` are asked for; None: any."""
        return max(size for size in self.runner.buckets if bucket is None or size <= max(1, bucket))

    def close(self, *, unload: bool) -> None:
        """`unload`: the members of an ensemble go too, where nobody else uses them."""
        self.runner.close()
        for member in self.members:
            member.release(unload=unload)


Entry: TypeAlias = "Future[Loaded]"


class Lease(Generic[S]):
    """A loaded model that nobody closes while the lease lasts. Made by ModelManager.lease() alone.

    A lease that nobody refers to any more is given back: its asker may have been cancelled while a thread loaded.
    """

    def __init__(self, loaded: Loaded, give_back: Callable[[bool], None]) -> None:
        self.loaded = loaded
        self.runner: ModelRunner[S] = cast(ModelRunner[S], loaded.runner)
        self._give_back = give_back
        self._over = threading.Lock()

    @property
    def spec(self) -> S:
        return self.runner.spec

    def release(self, *, unload: bool = False) -> None:
        """Give it back; a second call does nothing. `unload`: close the model too, if nobody else uses it."""
        if self._over.acquire(blocking=False):
            self._give_back(unload)

    def __enter__(self) -> ModelRunner[S]:
        return self.runner

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class ModelCache:
    """The loaded models by key, and those that are being loaded. An entry that is done holds a loaded model."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._entries: dict[Key, Entry] = {}

    def claim(self, key: Key) -> tuple[Entry, bool]:
        """The entry of this key; True where it is new: then the caller loads, and put()s it or gives it up."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None and key.device == "auto":
                entry = self._entries.get(replace(key, device="cuda:0"))  # where auto would go first
                entry = entry if entry is not None and entry.done() else None
            if entry is not None:
                return entry, False
            entry = self._entries[key] = Future()
            return entry, True

    def put(self, entry: Entry, loaded: Loaded) -> bool:
        """It is there, for all who wait. False, and nothing changes, where everything was closed meanwhile."""
        key = loaded.key
        with self._lock:
            if self._entries.get(key) is not entry:
                return False
            if key.device == "auto" and not loaded.members:  # who asks for the place by its name finds it too
                self._entries.setdefault(replace(key, device=loaded.runner.device), entry)
            entry.set_result(loaded)
            return True

    def give_up(self, key: Key, entry: Entry, error: BaseException) -> None:
        """The load failed, and is not remembered: who waits is told. After an interruption they load themselves."""
        with self._lock:
            if self._entries.get(key) is entry:
                del self._entries[key]
        if isinstance(error, Exception):
            entry.set_exception(_own(error))
        else:
            entry.cancel()

    def has(self, key: Key, entry: Entry) -> bool:
        """Whether nobody has closed everything since the entry was claimed."""
        with self._lock:
            return self._entries.get(key) is entry

    def use(self, loaded: Loaded) -> ExitStack | None:
        """Nobody closes it until this is closed, or forgotten; None where it is gone already."""
        with self._lock:
            use = ExitStack()
            try:
                use.enter_context(loaded.reservation.in_use())
            except RuntimeError:
                return None
            if loaded.gone:
                use.close()
                return None
            return use

    def give_back(self, loaded: Loaded, use: ExitStack, unload: bool) -> None:
        """`use` is over."""
        use.close()
        if loaded.gone:
            loaded.reservation.retire()
        elif unload:
            self.drop(loaded, unload_members=True)

    def loaded(self) -> list[Loaded]:
        """What is in memory."""
        with self._lock:
            return self._done()

    def drop(self, loaded: Loaded, *, unload_members: bool = False) -> bool:
        """Close it, unless somebody uses it."""
        with self._lock:
            if not loaded.reservation.retire():
                return False
            for key in [key for key, entry in self._entries.items() if entry.done() and entry.result() is loaded]:
                del self._entries[key]
        loaded.close(unload=unload_members)
        log.info("model %s on %s: unloaded", loaded.key.name, loaded.runner.device)
        return True

    def make_room(self, owner: str, device: str, need_mib: float) -> None:
        """Close models that nobody uses, the least recently used first, until there is as much.

        Raises InsufficientGpuMemory, InsufficientMemory where all of them are too little: then they stay.
        """
        while True:
            try:
                going = self._ledger.to_evict(device, need_mib, owner)
                break
            except InsufficientMemory:
                if not self._drop_idle_ensemble():
                    raise
        for loaded in filter(None, map(self._of, going)):
            self.drop(loaded)

    def drop_oldest(self, device: str) -> bool:
        """Close the least recently used of the models there that nobody uses; False where there is none."""
        while True:
            idle = (self._of(reservation) for reservation in self._ledger.idle(device))
            if any(self.drop(loaded) for loaded in idle if loaded is not None and not loaded.members):
                return True
            if not self._drop_idle_ensemble():
                return False

    def clear(self) -> None:
        """Close everything, used or not; what is being loaded is not taken any more."""
        with self._lock:
            everything = self._done()
            self._entries.clear()
            for loaded in everything:
                if not loaded.reservation.retire():
                    loaded.gone = True
                    loaded.reservation.settle(0.0)
        # Ensembles first: they run their members.
        for loaded in sorted(everything, key=lambda loaded: not loaded.members):
            loaded.close(unload=False)

    def _done(self) -> list[Loaded]:
        return list(dict.fromkeys(entry.result() for entry in self._entries.values() if entry.done()))

    def _of(self, reservation: Reservation) -> Loaded | None:
        return next((loaded for loaded in self.loaded() if loaded.reservation is reservation), None)

    def _drop_idle_ensemble(self) -> bool:
        """It holds no memory of its own, but while it is there its members are in use."""
        return any(self.drop(loaded) for loaded in self.loaded() if loaded.members)


def waited(entry: Entry) -> Loaded | None:
    """What another thread has loaded; None where that was interrupted. Raises what its load raised."""
    try:
        return entry.result()
    except CancelledError:
        return None
    except CodedError as error:
        raise _own(error) from None


def _own(error: Exception) -> Exception:
    """An error like this one: a shared one would gather the tracebacks of everybody who raises it."""
    return type(error)(str(error)) if isinstance(error, CodedError) else error
