"""ModelRunner: one loaded model, ready to answer: faces in, embeddings out; or tensors in, raw outputs out.

What computes lies below it (a TensorRunner: ONNX Runtime, PyTorch, a Triton server, an ensemble). Methods block for
the run; run() and predict_embeddings() may be called from several threads at once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from recognition import embed
from recognition.arrays import F32, U8
from recognition.checks.portraits import check_portraits
from recognition.checks.self_test import probe_tensors, self_test
from recognition.errors import CodedError, RunnerDead, UnsupportedEngine
from recognition.image import Image
from recognition.reason import Reason
from recognition.runtimes.tensor_runner import TensorRunner, check_input, check_widths
from recognition.specs.spec import EmbedderSpec, S, signature_of


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What runs, for whoever wants to know or to reproduce it. `device` is where it really runs, `loaded_at` Unix s.

    `threshold`: a detector's least score, an embedder's cosine for 1:N. `signature`: changes whenever answers may.
    `form`: of an int8 network, where this processor needs another one than the file's (int8_forms.py).
    """

    name: str
    version: int
    role: str
    runtime: str
    engine: str
    precision: str
    provider: str
    device_asked: str
    device: str
    input_size: tuple[int, int]
    buckets: tuple[int, ...]
    threshold: float
    weights_digest: str | None
    preprocessing_signature: str
    signature: str
    loaded_at: float
    fallback: str | None
    fallback_reason: str | None
    form: str | None
    notes: tuple[str, ...]


class ModelRunner(Generic[S]):
    """Made by a provider. `buckets`: the batch sizes that are worth running here, rising, 1 first.

    `runs`: rises while it is asked for answers.
    """

    def __init__(
        self,
        spec: S,
        tensors: TensorRunner,
        *,
        provider: str,
        asked: str,
        notes: Sequence[str] = (),
        unfused: Callable[[], TensorRunner] | None = None,
    ) -> None:
        """`unfused`: makes the same network in its slowest and surest form, where there is one."""
        self.spec: S = spec
        self.tensors: TensorRunner = tensors
        self.provider: str = provider
        self.asked: str = asked
        self.loaded_at: float = time.time()
        self.fallback: Reason | None = getattr(tensors, "fallback", None)
        self.form: str | None = getattr(tensors, "form", None)
        self.told: tuple[str, ...] = (*notes, *([f"runs as {self.form}"] if self.form else []))
        self._unfused = unfused
        self.buckets: tuple[int, ...] = spec.batch_buckets.cpu if self.on_cpu else spec.batch_buckets.cuda
        self.run_ms: dict[int, float] = {}
        self.runs: int = 0
        self._closed = False
        self._now: Reason | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def device(self) -> str:
        """Where it really runs: `cpu`, `cuda:N`, or `triton`."""
        return self.tensors.device

    @property
    def max_batch(self) -> int:
        return self.buckets[-1]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know: a fallback, and `told`."""
        if self.fallback is None:
            return self.told
        return (f"device auto took the CPU: {self.fallback.why}", *self.told)

    @property
    def on_cpu(self) -> bool:
        return self.tensors.device == "cpu"

    def run(self, batch: F32) -> list[F32]:
        """(n,3,h,w) float32 -> the raw outputs, each as many numbers wide as the spec says.

        Raises ValueError for a batch of another shape, SelfTestFailed for outputs of another, and what may pass:
        TritonUnavailable, InsufficientMemory.
        """
        check_input(self.spec, batch)
        self.runs += 1  # from several threads: it may miss some, and never stands still
        try:
            outputs = check_widths(self.spec, self.tensors.run(batch))
        except CodedError as error:
            self._now = Reason.of(error)
            raise
        self._now = None
        return outputs

    def run_each(self, tensors: F32) -> list[list[F32]]:
        """(n,3,h,w) float32 -> each item's raw outputs, run in the largest buckets that fit. Raises as run() does."""
        outputs: list[list[F32]] = []
        while len(outputs) < len(tensors):
            left = len(tensors) - len(outputs)
            size = max(bucket for bucket in self.buckets if bucket <= left)
            together = self.run(tensors[len(outputs) : len(outputs) + size])
            outputs += [[output[place] for output in together] for place in range(size)]
        return outputs

    def embed_faces(self: "ModelRunner[EmbedderSpec]", image: Image, landmarks: F32) -> F32:
        """The faces with these landmarks (k,5,2), image pixels, as predict_embeddings() does their crops."""
        return self.predict_embeddings(embed.crops(self.spec, image, landmarks))

    def predict_embeddings(self, faces: U8) -> F32:
        """Crops (n,h,w,3) uint8 BGR of the spec's input size -> (n,d) float32 unit vectors, see embed.parse.

        Raises UnsupportedEngine for a detector, and what run() raises.
        """
        spec = self.spec
        if not isinstance(spec, EmbedderSpec):
            raise UnsupportedEngine(f"model {spec.name}: is a {spec.kind}, which makes no embeddings")
        return embed.parse(spec, self.run_each(embed.prepare(spec, faces)))

    def warmup(self, largest: int | None = None) -> None:
        """Run every bucket up to `largest` once, so that no face waits for what a first run does (kernels, memory).

        `run_ms` has what the last of these runs took: a first figure, until somebody measures. On the CPU one is as
        good as any, and check_spec() has made the first.
        """
        tensor = probe_tensors(self.spec)[:1]
        for bucket in (1,) if self.on_cpu else self.buckets:
            if largest is None or bucket <= largest:
                batch = np.repeat(tensor, bucket, axis=0)
                for _ in range(1 if self.on_cpu else 2):
                    started_s = time.perf_counter()
                    self.run(batch)
                    self.run_ms[bucket] = (time.perf_counter() - started_s) * 1000

    def check_spec(self, largest: int | None = None) -> None:
        """The short test of every load: shapes, finite numbers, batch = single. In batches of up to `largest` alone.

        Where a batch changes the answer it runs one at a time from then on, and `notes` say so. Raises SelfTestFailed.
        """
        most = max(bucket for bucket in self.buckets if largest is None or bucket <= max(1, largest))
        difference = self_test(self.spec, self, batched=most > 1, most=most)
        if difference:
            self.buckets = (1,)
            self.told = (*self.told, f"runs one at a time: {difference}")

    def run_unfused(self, why: str) -> bool:
        """Run in the surest form from now on, and say why; False where there is none. Blocks for its start."""
        if self._unfused is None:
            return False
        self.tensors.close()
        self.tensors, self._unfused = self._unfused(), None
        self.form = getattr(self.tensors, "form", None)
        self.told = (f"runs as {self.form}, since in a faster form {why}",)
        return True

    def self_test(self) -> str:
        """The long test, on the bundled portraits and strangers; a line about how it did. Raises SelfTestFailed."""
        self.check_spec()
        return check_portraits(self.spec, self)

    def why_not(self) -> Reason | None:
        """What keeps it from answering: it was closed, or its last run failed; None where nothing does."""
        if self._closed:
            return Reason(RunnerDead.code, f"model {self.spec.name}: was closed")
        return self._now

    def metadata(self) -> ModelMetadata:
        """What it is and where it runs."""
        spec = self.spec
        return ModelMetadata(
            name=spec.name,
            version=spec.version,
            role=spec.role,
            runtime=spec.runtime,
            engine=spec.engine,
            precision=spec.precision,
            provider=self.provider,
            device_asked=self.asked,
            device=self.device,
            input_size=spec.input.size,
            buckets=self.buckets,
            threshold=spec.default_threshold,
            weights_digest=spec.weights_digest,
            preprocessing_signature=spec.preprocessing_signature,
            signature=signature_of(spec),
            loaded_at=self.loaded_at,
            fallback=self.fallback.code if self.fallback else None,
            fallback_reason=self.fallback.why if self.fallback else None,
            form=self.form,
            notes=self.notes,
        )

    def close(self) -> None:
        """Let go of the network; it must not run any more. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self.tensors.close()
