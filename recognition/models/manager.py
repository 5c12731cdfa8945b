"""ModelManager: a model's name in, a loaded and tested model with its batch queue out.

open() blocks for the file read, the session and the self-test (about half a second); call it off the loop.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from recognition import detect, embed
from recognition.batcher import BatchLimits, MicroBatcher
from recognition.errors import ModelNotFound, SelfTestFailed
from recognition.image import ArrayImage
from recognition.models.devices import Device
from recognition.models.offline import keep_offline, no_network
from recognition.models.runner import Fallback, ModelRunner, OnnxRunner, need_onnxruntime, usable_cores
from recognition.models.spaces import check_space, probe_faces
from recognition.models.spec import DetectorSpec, EmbedderSpec, find_spec, load_specs
from recognition.models.weights import read_weights

F32 = NDArray[np.float32]
S = TypeVar("S", DetectorSpec, EmbedderSpec)

# Rounding alone stays far above; one activation scale shared over a batch (dynamic quantisation) falls below.
LEAST_BATCH_COSINE = 0.9999
_DETECTOR_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel(Generic[S]):
    """A model that passed its self-test.

    `max_batch`: how many items a run may really hold; `notes`: what is not as the spec or the configuration
    would have it (a device that was not to be had, batches that change the answer), each in words. `fallback`: why it
    runs on the CPU where a GPU was tried first.
    """

    spec: S
    runner: ModelRunner
    batcher: MicroBatcher
    max_batch: int
    notes: tuple[str, ...]
    fallback: Fallback | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def device(self) -> str:
        return self.runner.device


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What the configuration asks of every model's queue; `runners` 0: one per usable core on the CPU."""

    runners: int = 0
    max_batch: int = 8
    max_wait_ms: float = 0.0
    queue_limit: int = 64


class ModelManager:
    """Finds, verifies, loads and tests models. Holds no thread: who opens a model serves its batcher."""

    def __init__(
        self,
        weights_folders: Sequence[Path],
        *,
        device: Device = "auto",
        plan: BatchPlan | None = None,
        specs: Mapping[str, DetectorSpec | EmbedderSpec] | None = None,
        spaces: Path | None = None,
        on_batch: Callable[[str, int], None] | None = None,
    ) -> None:
        """`specs` and `spaces` None: the bundled ones and those beside the weights.

        `on_batch` gets a model's name and a batch's size.
        """
        self._folders = tuple(weights_folders)
        keep_offline(self._folders[0] if self._folders else None)
        self._device = device
        self._plan = plan or BatchPlan()
        self._specs = load_specs(beside=self._folders) if specs is None else specs
        self._spaces = spaces
        self._on_batch = on_batch

    def open_detector(self, name: str) -> LoadedModel[DetectorSpec]:
        """Raises what open() raises; ModelNotFound too where the name is an embedder's."""
        return self._load(self._spec_of(name, DetectorSpec))

    def open_embedder(self, name: str) -> LoadedModel[EmbedderSpec]:
        """As open_detector; EmbeddingSpaceMismatch too where the weights are not of their spec's space."""
        return self._load(self._spec_of(name, EmbedderSpec))

    def open(self, name: str) -> LoadedModel[DetectorSpec] | LoadedModel[EmbedderSpec]:
        """Load whatever has this name.

        Raises ModelNotFound, WeightsMissing, WeightsDigestMismatch, WeightsUnreadable, UnsupportedRuntime,
        NetworkForbidden, SelfTestFailed, EmbeddingSpaceMismatch.
        """
        if find_spec(name, self._specs).role == "face_detection":
            return self.open_detector(name)
        return self.open_embedder(name)

    def _spec_of(self, name: str, kind: type[S]) -> S:
        spec = find_spec(name, self._specs)
        if not isinstance(spec, kind):
            kind_of = "an embedder" if isinstance(spec, EmbedderSpec) else "a detector"
            others = ", ".join(sorted(n for n, other in self._specs.items() if isinstance(other, kind)))
            raise ModelNotFound(f"model {name}: is {kind_of}; what is wanted is one of {others}")
        return spec

    def _load(self, spec: S) -> LoadedModel[S]:
        with no_network(f"model {spec.name}"):
            return self._load_offline(spec)

    def _load_offline(self, spec: S) -> LoadedModel[S]:
        need_onnxruntime()  # before the weights: who has neither should not fetch those first
        runner = OnnxRunner(spec, read_weights(spec, self._folders), self._device)
        notes = [f"device auto took the CPU: {runner.fallback.why}"] if runner.fallback else []
        on_cpu = runner.device == "cpu"
        sizes = spec.batch_buckets.cpu if on_cpu else spec.batch_buckets.cuda
        buckets = tuple(size for size in sizes if size <= self._plan.max_batch)
        difference = self_test(spec, runner, batched=buckets[-1] > 1)
        if difference:
            buckets = (1,)
            notes.append(f"runs one at a time: {difference}")
        if isinstance(spec, EmbedderSpec):
            check_space(spec, runner, self._spaces, self._folders)
        limits = BatchLimits(
            buckets=buckets,
            pad=not on_cpu,
            max_wait_ms=self._plan.max_wait_ms,
            queue_limit=self._plan.queue_limit,
        )
        threads = self._plan.runners or (usable_cores() if on_cpu else 1)
        batcher = MicroBatcher(spec.name, [runner] * threads, limits, self._batch_hook(spec.name))
        return LoadedModel(spec, runner, batcher, limits.max_batch, tuple(notes), runner.fallback)

    def _batch_hook(self, name: str) -> Callable[[int], None] | None:
        hook = self._on_batch
        return None if hook is None else lambda size: hook(name, size)


def self_test(spec: DetectorSpec | EmbedderSpec, runner: ModelRunner, *, batched: bool) -> str | None:
    """Run the drawn faces one at a time, and together where `batched`; how the two differ, or None.

    Raises SelfTestFailed where an output has the wrong shape or is not finite.
    """
    tensors = _probe_tensors(spec)
    singles = [_checked(spec, runner.run(tensor[None])) for tensor in tensors]
    if not batched:
        return None
    together = _checked(spec, runner.run(tensors))
    rows = [[output[place : place + 1] for output in together] for place in range(len(tensors))]
    if isinstance(spec, EmbedderSpec):
        if together[0].shape != (len(tensors), spec.embedding_size):
            raise SelfTestFailed(f"model {spec.name}: a batch of {len(tensors)} gave {together[0].shape}")
        worst = float((embed.parse(spec, singles) * embed.parse(spec, rows)).sum(axis=1).min())
        if worst > LEAST_BATCH_COSINE:
            return None
        return f"a face in a batch is not the face alone (cosine {worst:.4f})"
    for single, row in zip(singles, rows, strict=True):
        for alone, shared in zip(single, row, strict=True):
            if alone.shape != shared.shape or not np.allclose(
                alone, shared, rtol=_DETECTOR_TOLERANCE, atol=_DETECTOR_TOLERANCE
            ):
                return "an image in a batch is not the image alone"
    return None


def _probe_tensors(spec: DetectorSpec | EmbedderSpec) -> F32:
    """(4, 3, h, w): what differs most in range comes together in one batch."""
    if isinstance(spec, EmbedderSpec):
        return embed.prepare(spec, probe_faces(spec.input.size))
    faces = probe_faces()
    scenes = [np.tile(face, (1 + number, 2, 1)) for number, face in enumerate(faces)]
    return np.stack([detect.prepare(spec, ArrayImage(scene)).tensor for scene in scenes])


def _checked(spec: DetectorSpec | EmbedderSpec, outputs: list[F32]) -> list[F32]:
    if isinstance(spec, EmbedderSpec):
        widths = [spec.embedding_size, 1] if spec.feature_norm else [spec.embedding_size]
    else:
        widths = [size for size in detect.OUTPUT_WIDTHS[spec.family] for _ in detect.STRIDES]
    got = [output.shape[-1] if output.ndim else 0 for output in outputs]
    if got != widths:
        raise SelfTestFailed(
            f"model {spec.name}: its outputs are {got} numbers wide, a {spec.family} {spec.kind}'s {widths}; "
            "the spec's family or embedding_size is wrong"
        )
    if not all(np.isfinite(output).all() for output in outputs):
        raise SelfTestFailed(f"model {spec.name}: not all outputs are finite: bad weights or device")
    return outputs
