"""A ModelProvider whose models are a few lines of arithmetic: it counts loads, waits at a gate, fails, takes memory."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from recognition import embed
from recognition.arrays import F32
from recognition.checks.spaces import EmbeddingSpace, make_space
from recognition.errors import InsufficientGpuMemory, InsufficientMemory
from recognition.models.manager import ModelManager
from recognition.models.model_runner import ModelRunner
from recognition.models.providers import LoadContext
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from tests.recognition.scripted_memory import ScriptedMemory

DIM = 8
SPACE = "scripted.1"
_WEIGHTS = np.random.default_rng(7).normal(size=(3, DIM)).astype(np.float32)


def scripted_spec(name: str, **changes: object) -> EmbedderSpec:
    """An embedder of the scripted space; on a GPU in batches of up to 32."""
    spec = load_specs()["nano_embed"]
    assert isinstance(spec, EmbedderSpec)
    own = {"name": name, "embedding_size": DIM, "space": SPACE, "sample": None}
    return EmbedderSpec.model_validate({**spec.model_dump(mode="json"), **own, **changes})


def ensemble_of(*members: EmbedderSpec, **changes: object) -> EmbedderSpec:
    """`both`: these two, of plain pixels."""
    values = {
        **load_specs()["arcface_w600k_mbf"].model_dump(mode="json"),
        "name": "both",
        "local_artifacts": [],
        "weights_digest": None,
        "input": {"size": [112, 112], "color_order": "bgr", "mean": 0.0, "std": 1.0},
        "sample": None,
        "embedding_size": sum(member.embedding_size for member in members),
        "space": "--".join(member.space for member in members),
        "members": [member.name for member in members],
        "merge": "concat_l2",
    }
    return EmbedderSpec.model_validate({**values, **changes})


def write_space(folder: Path) -> Path:
    """The folder, with the scripted space in it."""
    space: EmbeddingSpace = make_space(scripted_spec("a"), ScriptedTensors("a", "cpu", None, 0, 0))
    (folder / f"{SPACE}.yaml").write_text(yaml.safe_dump(space.model_dump(mode="json")))
    return folder


class ScriptedTensors:
    """A TensorRunner: a face's mean colour, projected. Black faces are unusable.

    Its weights take `mib`, and its largest batch `item_mib` for each item, as an allocator that keeps what it has.
    """

    fallback = None

    def __init__(self, name: str, device: str, memory: ScriptedMemory | None, mib: int, item_mib: int) -> None:
        self.device = device
        self.closed = False
        self.sizes: list[int] = []
        self.failing: Exception | None = None
        self.answer: Callable[[F32], F32] = lambda batch: batch.mean(axis=(2, 3)) @ _WEIGHTS
        self._memory, self._item_mib = memory, item_mib
        self._name, self._held, self._largest = name, 0, 0
        self._lock = threading.Lock()
        self._take(mib)

    def run(self, batch: F32) -> list[F32]:
        if self.closed:
            raise RuntimeError("run after close")
        if self.failing is not None:
            raise self.failing
        self.sizes.append(len(batch))
        with self._lock:
            if len(batch) > self._largest:
                self._take((len(batch) - self._largest) * self._item_mib)
                self._largest = len(batch)
        return [self.answer(batch)]

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True
        if self._memory is not None:
            self._memory.give(self.device, self._held)

    def _take(self, mib: int) -> None:
        if self._memory is not None and not self._memory.take(self.device, mib):
            kind = InsufficientMemory if self.device == "cpu" else InsufficientGpuMemory
            raise kind(f"model {self._name}: out of memory on {self.device}")
        self._held += mib


class CountedMemory(ScriptedMemory):
    """A ScriptedMemory that models take from by themselves, from many threads."""

    def __init__(self, **total_mib: float) -> None:
        super().__init__(**total_mib)
        self._lock = threading.Lock()

    def take(self, device: str, mib: int) -> bool:
        with self._lock:
            if self.read()[device].free_mib < mib:
                return False
            self.ours[device] += mib
            return True

    def give(self, device: str, mib: int) -> None:
        with self._lock:
            self.ours[device] -= mib


class ScriptedProvider:
    """Runs every spec. `loads` counts by (name, device). While `gate` is clear, loads wait at it.

    `errors`: by name what the next loads raise, one each. `mib`: what weights take, by name.
    """

    name = "scripted"

    def __init__(self, memory: CountedMemory | None = None, mib: int = 100, item_mib: int = 0) -> None:
        self.loads: Counter[tuple[str, str]] = Counter()
        self.loading = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.errors: dict[str, list[BaseException]] = {}
        self.mib: dict[str, int] = {}
        self.spoil: Callable[[ScriptedTensors], None] = lambda tensors: None
        self.tensors: list[ScriptedTensors] = []
        self._memory, self._mib, self._item_mib = memory, mib, item_mib

    def supports(self, spec: EmbedderSpec) -> bool:
        return not spec.members

    def validate_local_artifacts(self, spec: EmbedderSpec, roots: Sequence[Path]) -> list[Path]:
        return []

    def load(self, spec: EmbedderSpec, context: LoadContext) -> ModelRunner[EmbedderSpec]:
        self.loads[spec.name, context.device] += 1
        self.loading.release()
        assert self.gate.wait(timeout=30), "nobody opened the gate"
        if self.errors.get(spec.name):
            raise self.errors[spec.name].pop(0)
        there = self._memory.read() if self._memory is not None else {}
        device = ("cuda:0" if "cuda:0" in there else "cpu") if context.device == "auto" else context.device
        memory = self._memory if device in there else None
        tensors = ScriptedTensors(spec.name, device, memory, self.mib.get(spec.name, self._mib), self._item_mib)
        self.tensors.append(tensors)
        try:
            self.spoil(tensors)
        except BaseException:
            tensors.close()
            raise
        return ModelRunner(spec, tensors, provider=self.name, asked=context.device)

    @property
    def open(self) -> list[ScriptedTensors]:
        return [tensors for tensors in self.tensors if not tensors.closed]


def until_waited_for(manager: ModelManager, name: str, how_many: int) -> None:
    """So many threads wait for the load of this model that is under way."""
    entry, mine = manager._cache.claim(manager._key(manager.spec(name), None))
    assert not mine
    until_s = time.monotonic() + 30
    while len(entry._condition._waiters) < how_many:
        assert time.monotonic() < until_s
        time.sleep(0.001)


def face(value: int, size: int = 112) -> NDArray[np.uint8]:
    """A crop (size,size,3) of one grey."""
    return np.full((size, size, 3), value, np.uint8)


def unit(rows: F32) -> F32:
    """embed.parse of raw rows (n,d)."""
    return embed.parse(scripted_spec("a"), [[row] for row in rows])
