"""A published checkpoint -> a model for ONNX Runtime or PyTorch, held against PyTorch, with its spec and space.

Blocks for seconds: reads, export, about thirty runs of the network. Needs the extra `train`; PyTorch is imported by
convert() alone, so that the rest can say so where it is missing.
"""

import hashlib
import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from recognition.architectures import Architecture
from recognition.checks.self_test import self_test
from recognition.checks.spaces import EmbeddingSpace, check_space, make_space
from recognition.errors import (
    EmbeddingSpaceMismatch,
    SelfTestFailed,
    SpecInvalid,
    TrainingUnavailable,
    UnsupportedEngine,
)
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.runtimes.torch_runner import TorchRunner
from recognition.specs.spec import EMBEDDER_BUCKETS, AnySpec, EmbedderSpec, InputSpec, MatchThresholds
from recognition.zoo.imports import read_file, space_text, spec_text
from recognition.zoo.staging import Staging, staging

if TYPE_CHECKING:
    from torch import nn

    from recognition.checks.parity import Parity

Engine = Literal["onnx", "torch"]
Precision = Literal["fp32", "fp16", "bf16"]

INPUT = "input"
OUTPUTS = {"adaface": ("embedding", "norm"), "arcface": ("embedding",), "facenet": ("embedding",)}
# What each family's authors feed their networks.
PIXELS: Mapping[str, InputSpec] = {
    "adaface": InputSpec(name=INPUT, size=(112, 112), color_order="bgr", mean=127.5, std=127.5),
    "arcface": InputSpec(name=INPUT, size=(112, 112), color_order="rgb", mean=127.5, std=127.5),
    "facenet": InputSpec(name=INPUT, size=(160, 160), color_order="rgb", mean=127.5, std=128),
}
_COSINES = {"adaface": (0.4, 0.5), "arcface": (0.4, 0.5), "facenet": (0.6, 0.7)}


@dataclass(frozen=True, slots=True)
class Converted:
    """A model that now lies in the weights folder."""

    spec: EmbedderSpec
    parity: "Parity"


def need_torch(engine: Engine = "onnx") -> None:
    """Raises TrainingUnavailable where the extra `train`, or for ONNX ONNX Runtime, is not installed."""
    for package in ("torch", "onnx", "onnxruntime") if engine == "onnx" else ("torch",):
        if find_spec(package) is None:
            raise TrainingUnavailable(f"converting needs {package}: pip install 'whosthere[cpu,train]'")


def spec_for(
    architecture: Architecture,
    name: str,
    space: str,
    digest: str | None,
    source: str,
    *,
    engine: Engine = "onnx",
    precision: Precision = "fp32",
) -> EmbedderSpec:
    """The spec of a converted checkpoint: its input as the family's authors have it, thresholds not measured."""
    family = architecture.family
    return EmbedderSpec(
        name=name,
        version=1,
        role="face_embedding",
        engine=engine,
        family=family,
        precision=precision,
        local_artifacts=(f"{name}.onnx" if engine == "onnx" else f"{name}.pt",),
        weights_digest=digest,
        architecture=architecture.name,
        input=PIXELS[family],
        crop="facenet" if family == "facenet" else "arcface",
        feature_norm=len(OUTPUTS[family]) > 1,
        embedding_size=512,
        batch="dynamic",
        batch_buckets=EMBEDDER_BUCKETS,
        space=space,
        thresholds=MatchThresholds.unmeasured(*_COSINES[family]),
        licence=f"that of the checkpoint, which is not known here ({architecture.terms})",
        source=source,
    )


def convert(
    checkpoint: Path,
    architecture: Architecture,
    folder: Path,
    *,
    known: Mapping[str, AnySpec],
    name: str | None = None,
    engine: Engine = "onnx",
    precision: Precision = "fp32",
    tell: Callable[[str], None] = lambda _: None,
) -> Converted:
    """Convert a checkpoint into `folder`, all of it or nothing. `name` None: the architecture's, with _torch and the
    precision where these are not onnx and fp32.

    All forms of a checkpoint share a space. Raises TrainingUnavailable, UnsupportedEngine (bf16 in ONNX),
    WeightsMissing, CheckpointInvalid, InsufficientMemory, SelfTestFailed, SpecInvalid (the name is taken),
    EmbeddingSpaceMismatch (the space is), WeightsFolderUnwritable.
    """
    need_torch(engine)
    from recognition.runtimes.torch_memory import within_memory
    from recognition.runtimes.torch_networks import read_network

    base = name or architecture.name
    if engine == "onnx" and precision == "bf16":
        raise UnsupportedEngine(f"model {base}: ONNX is written in fp32 or fp16; for bf16 take engine torch")
    tell(f"reading {checkpoint}")
    digest = hashlib.sha256(read_file(checkpoint)).hexdigest()
    full = name or base + ("_torch" if engine == "torch" else "") + (f"_{precision}" if precision != "fp32" else "")
    source = f"{checkpoint.name} (sha256 {digest}), by whosthere models convert"
    try:
        spec = spec_for(architecture, full, f"{base}.1", None, source, engine=engine, precision=precision)
    except ValidationError:
        raise SpecInvalid(f"--name {base}: want up to 50 of a-z, 0-9, dot, dash and underscore") from None
    net = within_memory(lambda: read_network(checkpoint, architecture), full, "cpu", "its weights")
    with staging(folder) as stage:
        converted = _Conversion(architecture, spec, net, stage, folder, tell).run()
        _refuse_taken(converted.spec, known)
        stage.commit()
    return converted


@dataclass(slots=True)
class _Conversion:
    """One network on its way into a stage. `draft`: the spec as it is to be, but for the digest."""

    architecture: Architecture
    draft: EmbedderSpec
    net: "nn.Module"
    stage: Staging
    folder: Path
    tell: Callable[[str], None]

    def run(self) -> Converted:
        from recognition.checks.parity import check_parity

        engine, precision = self.draft.engine, self.draft.precision
        self.tell(f"writing it for {'ONNX Runtime' if engine == 'onnx' else 'PyTorch'}")
        data = self._export() if engine == "onnx" else self._tensors()
        spec, runner = self._open(data, "fp32")
        self.tell("comparing with PyTorch")
        parity = check_parity(self.architecture, self.net, spec, runner)
        space = make_space(spec, runner)
        if precision != "fp32":
            data = to_half(data) if engine == "onnx" else data
            spec, runner = self._open(data, precision)
            self.tell(f"comparing {precision} with PyTorch")
            parity = check_parity(self.architecture, self.net, spec, runner)
        difference = self_test(spec, runner, batched=True)
        if difference:
            raise SelfTestFailed(f"model {spec.name}: {difference}; nothing was written")
        self._write(spec, runner, data, space)
        return Converted(spec, parity)

    def _export(self) -> bytes:
        from recognition.zoo.onnx_export import to_onnx

        file = self.stage.scratch("exported.onnx", b"")
        width, height = self.draft.input.size
        to_onnx(self.net, (3, height, width), OUTPUTS[self.architecture.family], (0,), file)
        return file.read_bytes()

    def _tensors(self) -> bytes:
        """The state dict in float32, whatever is computed in: so a profile may choose another precision."""
        import torch

        # Cloned, or what else their storages hold would be written too.
        tensors = {
            name: part.clone(memory_format=torch.contiguous_format) for name, part in self.net.state_dict().items()
        }
        file = io.BytesIO()
        torch.save(tensors, file)
        return file.getvalue()

    def _open(self, data: bytes, precision: str) -> tuple[EmbedderSpec, TensorRunner]:
        digest = hashlib.sha256(data).hexdigest()
        spec = self.draft.model_copy(update={"weights_digest": digest, "precision": precision})
        if spec.engine == "onnx":
            return spec, OnnxRunner(spec, data, "cpu")
        return spec, TorchRunner(spec, self.stage.scratch(spec.file, data), "cpu")

    def _write(self, spec: EmbedderSpec, runner: TensorRunner, data: bytes, space: EmbeddingSpace) -> None:
        text = space_text(space)
        mine = self.stage.scratch(f"spaces/{spec.space}.yaml", text)
        check_space(spec, runner, mine.parent)
        if (self.folder / "spaces" / mine.name).exists():
            try:
                check_space(spec, runner, self.folder / "spaces")
            except EmbeddingSpaceMismatch:
                raise EmbeddingSpaceMismatch(
                    f"model {spec.name}: {self.folder} has other weights in space {spec.space}; give it a --name"
                ) from None
        else:
            self.stage.write(f"spaces/{mine.name}", text)
        self.stage.write(f"specs/{spec.role}/{spec.name}.yaml", spec_text(spec, spec.source))
        self.stage.write(spec.file, data)


def to_half(data: bytes) -> bytes:
    """An ONNX model -> the same with weights and sums in float16; what goes in and comes out stays float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of every weight too small for float16
        halved = convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True)
    out: bytes = halved.SerializeToString()
    return out


def _refuse_taken(spec: EmbedderSpec, known: Mapping[str, AnySpec]) -> None:
    other = known.get(spec.name)
    if other is not None and other.weights_digest not in (None, spec.weights_digest):
        raise SpecInvalid(f"model {spec.name}: a spec of this name is there for other weights; give it a --name")
