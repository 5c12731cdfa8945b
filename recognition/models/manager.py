"""ModelManager: a model's name in, a lease on a loaded and tested model out; one load for however many ask at once.

lease(), get() and open() block for the reads, the network's start and the tests of every load (up to seconds): call
them off the loop. Any thread may. Models that nobody uses stay loaded until their memory is needed.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from recognition.errors import CodedError, ModelNotFound, RunnerDead, UnsupportedEngine
from recognition.models.device_memory import JoinedReader, MemoryReader, NvmlReader, RamReader
from recognition.models.ensemble import check_members
from recognition.models.ledger import Ledger
from recognition.models.loading import Loader
from recognition.models.model_cache import AnyRunner, Entry, Key, Lease, Loaded, ModelCache, waited
from recognition.models.model_runner import ModelRunner
from recognition.models.offline import keep_offline
from recognition.models.providers import LoadContext, ModelProvider, TritonServer, default_providers
from recognition.reason import Reason
from recognition.runtimes.int8_forms import planned_form
from recognition.specs.devices import Device, wanted_device
from recognition.specs.files import find_spec, load_specs
from recognition.specs.profile import SpecProfile
from recognition.specs.spec import AnySpec, DetectorSpec, EmbedderSpec, S, signature_of
from recognition.specs.weights import read_weights

__all__ = ["AnyRunner", "AnySpec", "Lease", "ModelManager", "resolved"]


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
        portraits: bool = False,
    ) -> None:
        """`specs` and `spaces` None: the bundled ones and those beside the weights; `reader` None: this machine's.

        `profiles`: what the configuration says otherwise, by model. `providers` None: all, Triton's with `triton` as
        its server. `portraits`: no model is given out that fails on the bundled portraits, as weights do that name one
        stranger for another. Raises SpecInvalid, ModelNotFound (a profile's).
        """
        self._folders = tuple(weights_folders)
        keep_offline(self._folders[0] if self._folders else None)
        self._device = device
        self._providers = tuple(default_providers(triton) if providers is None else providers)
        self.reader = reader or JoinedReader(RamReader(), NvmlReader(os.environ.get("CUDA_VISIBLE_DEVICES")))
        self.ledger = Ledger(self.reader)
        self.specs = resolved(load_specs(beside=self._folders) if specs is None else specs, profiles or {})
        self._cache = ModelCache(self.ledger)
        self._loader = Loader(self._folders, spaces, self.reader, self.ledger, self._cache, portraits=portraits)
        self._kept: list[Lease[DetectorSpec] | Lease[EmbedderSpec]] = []

    # What is known.

    def spec(self, name: str) -> AnySpec:
        """The spec of this name or alias, as the configuration's profile has it. Raises ModelNotFound."""
        return find_spec(name, self.specs)

    def spec_of(self, name: str, kind: type[S]) -> S:
        """As spec(); ModelNotFound too where it is of another role."""
        spec = find_spec(name, self.specs, kind)
        if not isinstance(spec, kind):
            kind_of = "an embedder" if isinstance(spec, EmbedderSpec) else "a detector"
            others = ", ".join(sorted(n for n, other in self.specs.items() if isinstance(other, kind)))
            raise ModelNotFound(f"model {name}: is {kind_of}; what is wanted is one of {others}")
        return spec

    def need(self, name: str) -> None:
        """Raises what speaks against trying to load it: no such model, no provider, its software or its files missing.

        Reads no weights.
        """
        spec = self.spec(name)
        self._provider_of(spec).validate_local_artifacts(spec, self._folders)
        for member in self._members_of(spec):
            self.need(member.name)

    def why_not(self, name: str) -> Reason | None:
        """What need() has against a load; None where one could be tried."""
        try:
            self.need(name)
        except CodedError as error:
            return Reason.of(error)
        return None

    def planned_form(self, name: str, device: str) -> str | None:
        """Which form of an int8 network would run on this device, where it is not the file's; reads that file.

        Raises what find_weights() raises, and UnsupportedRuntime where this processor can't compute it rightly.
        """
        spec = self.spec(name)
        if spec.precision != "int8" or spec.engine != "onnx" or spec.runtime != "inprocess" or device != "cpu":
            return None
        return planned_form(read_weights(spec, self._folders), f"model {spec.name}")

    def loaded(self) -> list[AnyRunner]:
        """The models in memory."""
        return [loaded.runner for loaded in self._cache.loaded()]

    # Loading.

    def get(self, name: str, device: Device | None = None) -> Lease[EmbedderSpec]:
        """A lease on an embedder; see lease()."""
        return self.lease(self.spec_of(name, EmbedderSpec), device)

    def open(self, name: str) -> AnyRunner:
        """Load whatever has this name, and keep it until close(). Raises what lease() raises, and ModelNotFound."""
        spec = self.spec(name)
        return self.open_detector(name) if isinstance(spec, DetectorSpec) else self.open_embedder(name)

    def open_detector(self, name: str) -> ModelRunner[DetectorSpec]:
        """As open(); ModelNotFound too where the name is an embedder's."""
        lease = self.lease(self.spec_of(name, DetectorSpec))
        self._kept.append(lease)
        return lease.runner

    def open_embedder(self, name: str) -> ModelRunner[EmbedderSpec]:
        """As open(); ModelNotFound too where the name is a detector's."""
        lease = self.get(name)
        self._kept.append(lease)
        return lease.runner

    def lease(
        self, spec: S, device: Device | None = None, *, bucket: int | None = None, need_mib: float | None = None
    ) -> Lease[S]:
        """A loaded, warm and tested model, which stays loaded at least until the lease is given back.

        `device` None: the manager's own; a spec's device policy that is not auto comes before either. `bucket`: the
        largest batch that it is to be warm for, None: all. `need_mib`: what it will take then, where that is known:
        idle models go first where there is too little, and where they are too little it is not tried.

        Raises ModelNotFound (an ensemble's member), WeightsMissing, WeightsDigestMismatch, WeightsUnreadable,
        CheckpointInvalid, UnsupportedRuntime, UnsupportedEngine, InsufficientMemory, InsufficientGpuMemory,
        NetworkForbidden, SelfTestFailed, EmbeddingSpaceMismatch, SpecInvalid (its space's file, its members),
        TritonUnavailable, TritonModelMismatch; RunnerDead where close() came meanwhile.
        """
        key = self._key(spec, device)
        while True:
            entry, mine = self._cache.claim(key)
            if mine:
                loaded, use = self._load(entry, key, spec, bucket, need_mib)
            else:
                found = waited(entry)
                in_use = None if found is None else self._cache.use(found)
                if found is None or in_use is None:
                    continue  # its loader was interrupted, or it was evicted before we came: ask again
                loaded, use = found, in_use
            lease: Lease[S] = Lease(loaded, partial(self._cache.give_back, loaded, use))
            try:
                self._loader.grow(loaded, bucket, need_mib)
            except BaseException as error:
                lease.release()
                if loaded.gone and isinstance(error, Exception):
                    raise _closed(spec) from error
                raise
            return lease

    def unload_idle(self, *names: str) -> list[str]:
        """Close those of these models that nobody uses, an ensemble with its members; their names."""
        idle = [loaded for loaded in self._cache.loaded() if loaded.key.name in names]
        return [loaded.key.name for loaded in idle if self._cache.drop(loaded, unload_members=True)]

    def close(self) -> None:
        """Close every model, used or not. Who is about to get one gets RunnerDead; who asks again loads anew."""
        self._cache.clear()
        kept, self._kept = self._kept, []
        for lease in kept:
            lease.release()

    def _key(self, spec: AnySpec, device: Device | None) -> Key:
        wanted = "triton" if spec.runtime == "triton" else wanted_device(spec.device_policy, device or self._device)
        return Key(spec.name, wanted, spec.precision, spec.runtime, spec.preprocessing_signature)

    def _load(
        self, entry: Entry, key: Key, spec: S, bucket: int | None, need_mib: float | None
    ) -> tuple[Loaded, ExitStack]:
        """Load it for everybody who waits for this entry, in use by the caller."""
        members: list[Lease[EmbedderSpec]] = []
        try:
            provider = self._provider_of(spec)
            self._lease_members(spec, key, bucket, need_mib, members)
            context = LoadContext(self._folders, key.device, [lease.runner for lease in members])
            loaded, use = self._loader.load(key, spec, partial(provider.load, spec, context), bucket, need_mib)
            loaded.members = tuple(members)
            self._put(entry, loaded, use)
        except BaseException as error:
            for member in members:
                member.release()
            closed = isinstance(error, Exception) and not self._cache.has(key, entry)
            self._cache.give_up(key, entry, _closed(spec) if closed else error)
            if closed:
                raise _closed(spec) from error  # a member may have been closed under its hands
            raise
        return loaded, use

    def _put(self, entry: Entry, loaded: Loaded, use: ExitStack) -> None:
        """For all who wait. Raises RunnerDead where everything was closed meanwhile, and closes this too."""
        if not self._cache.put(entry, loaded):
            use.close()
            loaded.reservation.retire()
            loaded.close(unload=True)
            raise _closed(loaded.runner.spec)

    def _lease_members(
        self, spec: AnySpec, key: Key, bucket: int | None, need_mib: float | None, leases: list[Lease[EmbedderSpec]]
    ) -> None:
        """An ensemble's members in its order, loaded as models of their own."""
        members = self._members_of(spec)
        names = [member.name for member in members]
        if need_mib is not None and not any(loaded.key.name in names for loaded in self._cache.loaded()):
            self._loader.make_room(spec.name, key.device, need_mib)  # known for both together alone
        for member in members:
            leases.append(self.lease(member, key.device, bucket=bucket))

    def _members_of(self, spec: AnySpec) -> list[EmbedderSpec]:
        """An ensemble's members; else none. Raises what check_members raises, and ModelNotFound."""
        if not isinstance(spec, EmbedderSpec) or not spec.members:
            return []
        members = [self.spec_of(name, EmbedderSpec) for name in spec.members]
        check_members(spec, members)
        return members

    def _provider_of(self, spec: AnySpec) -> ModelProvider:
        for provider in self._providers:
            if provider.supports(spec):
                return provider
        raise UnsupportedEngine(
            f"model {spec.name}: nothing here runs engine {spec.engine} with runtime {spec.runtime}; mend the spec"
        )


def resolved(specs: Mapping[str, AnySpec], profiles: Mapping[str, SpecProfile]) -> dict[str, AnySpec]:
    """The specs as the profiles want them; an ensemble's digest is made of its members'.

    Raises ModelNotFound where a profile's model is not there, SpecInvalid where the two do not go together.
    """
    found = dict(specs)
    for name, profile in profiles.items():
        spec = find_spec(name, found)
        found[spec.name] = spec.with_profile(profile)
    for spec in list(found.values()):
        if isinstance(spec, EmbedderSpec) and spec.members:
            found[spec.name] = spec.model_copy(update={"weights_digest": _joint_digest(spec, found)})
    return found


def _joint_digest(ensemble: EmbedderSpec, specs: Mapping[str, AnySpec]) -> str | None:
    """What changes with every member; None where one is not known, which loading the ensemble will say."""
    try:
        members = [find_spec(name, specs) for name in ensemble.members]
    except ModelNotFound:
        return None
    if any(member.weights_digest is None for member in members):
        return None
    return hashlib.sha256("|".join(map(signature_of, members)).encode()).hexdigest()


def _closed(spec: AnySpec) -> RunnerDead:
    return RunnerDead(f"model {spec.name}: all models were closed while it was loaded")
