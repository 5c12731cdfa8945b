"""Providers: a spec and a place to run in; a ModelRunner out. One for each thing that can compute a network.

load() blocks for reads and for the network's start (up to seconds); any thread, inside the manager's guard.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from recognition.errors import UnsupportedRuntime
from recognition.models.ensemble import EnsembleRunner
from recognition.models.model_runner import ModelRunner
from recognition.runtimes.int8_forms import UNFUSED
from recognition.runtimes.int8_graph import is_quantised
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.runtimes.onnx_session import need_onnxruntime
from recognition.specs.devices import Device
from recognition.specs.spec import AnySpec, EmbedderSpec, S
from recognition.specs.weights import find_artifacts, read_weights, verify_artifacts


@dataclass(frozen=True, slots=True)
class TritonServer:
    """Where Triton's gRPC service listens (host:port), and how long a run may take in all."""

    url: str
    deadline_s: float = 5.0
    retries: int = 2


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What a load needs besides the spec. `members`: those of an ensemble, loaded, in its order."""

    weights_folders: Sequence[Path]
    device: Device
    members: Sequence[ModelRunner[EmbedderSpec]] = ()


class ModelProvider(Protocol):
    """Something that can run networks."""

    name: str

    def supports(self, spec: AnySpec) -> bool:
        """Whether it is this provider that runs models of such a spec."""
        ...

    def validate_local_artifacts(self, spec: AnySpec, roots: Sequence[Path]) -> list[Path]:
        """Where the spec's files are. Raises WeightsMissing, and UnsupportedRuntime where what runs it is missing.

        Does not read them: load() holds their content to the digest.
        """
        ...

    def load(self, spec: S, context: LoadContext) -> ModelRunner[S]:
        """Raises WeightsMissing, WeightsDigestMismatch, WeightsUnreadable, UnsupportedRuntime, UnsupportedEngine,
        InsufficientMemory, TritonUnavailable, TritonModelMismatch, CheckpointInvalid."""
        ...


class OnnxProvider:
    """ONNX Runtime in this process: CPU, CUDA, and TensorRT for specs that ask for that engine."""

    name = "onnxruntime"

    def supports(self, spec: AnySpec) -> bool:
        return spec.runtime == "inprocess" and spec.engine in ("onnx", "tensorrt") and not _is_ensemble(spec)

    def validate_local_artifacts(self, spec: AnySpec, roots: Sequence[Path]) -> list[Path]:
        need_onnxruntime()  # before the weights: who has neither should not fetch those first
        return find_artifacts(spec, roots)

    def load(self, spec: S, context: LoadContext) -> ModelRunner[S]:
        need_onnxruntime()
        weights = read_weights(spec, context.weights_folders)
        tensors = OnnxRunner(spec, weights, context.device)
        unfused = None
        if tensors.device == "cpu" and tensors.form != UNFUSED and is_quantised(weights):
            unfused = partial(_unfused, spec, context)
        return ModelRunner(spec, tensors, provider=self.name, asked=context.device, unfused=unfused)


def _unfused(spec: AnySpec, context: LoadContext) -> OnnxRunner:
    return OnnxRunner(spec, read_weights(spec, context.weights_folders), "cpu", unfused=True)


class TorchProvider:
    """PyTorch in this process, for the architectures that are written here."""

    name = "torch"

    def supports(self, spec: AnySpec) -> bool:
        return spec.runtime == "inprocess" and spec.engine == "torch" and not _is_ensemble(spec)

    def validate_local_artifacts(self, spec: AnySpec, roots: Sequence[Path]) -> list[Path]:
        from recognition.runtimes.torch_runner import need_torch

        need_torch(spec)
        return find_artifacts(spec, roots)

    def load(self, spec: S, context: LoadContext) -> ModelRunner[S]:
        from recognition.runtimes.torch_runner import TorchRunner

        checkpoint = verify_artifacts(spec, context.weights_folders)[0]
        return ModelRunner(
            spec, TorchRunner(spec, checkpoint, context.device), provider=self.name, asked=context.device
        )


class TritonProvider:
    """A Triton Inference Server: the weights are there, none are needed here."""

    name = "triton"

    def __init__(self, server: TritonServer | None = None) -> None:
        """`server` None: none is configured, and every model of it unavailable."""
        self._server = server

    def supports(self, spec: AnySpec) -> bool:
        return spec.runtime == "triton"

    def validate_local_artifacts(self, spec: AnySpec, roots: Sequence[Path]) -> list[Path]:
        from recognition.runtimes.triton_client import need_tritonclient

        need_tritonclient()
        self._need_server(spec)
        return []

    def load(self, spec: S, context: LoadContext) -> ModelRunner[S]:
        from recognition.runtimes.triton_client import TritonEndpoint
        from recognition.runtimes.triton_runner import TritonRunner

        server = self._need_server(spec)
        assert spec.triton is not None  # the spec's own rule
        endpoint = TritonEndpoint(
            server.url, spec.triton.model, spec.triton.version, deadline_s=server.deadline_s, retries=server.retries
        )
        tensors = TritonRunner(spec, endpoint)
        return ModelRunner(spec, tensors, provider=self.name, asked=context.device, notes=tensors.notes)

    def _need_server(self, spec: AnySpec) -> TritonServer:
        if self._server is None:
            raise UnsupportedRuntime(
                f"model {spec.name}: its runtime is triton, and no server is configured; set recognition.triton.url"
            )
        return self._server


class EnsembleProvider:
    """Two embedders as one. Its members are loaded as models of their own, and shared with whoever uses them too."""

    name = "ensemble"

    def supports(self, spec: AnySpec) -> bool:
        return _is_ensemble(spec)

    def validate_local_artifacts(self, spec: AnySpec, roots: Sequence[Path]) -> list[Path]:
        return []  # the manager asks for the members' own

    def load(self, spec: S, context: LoadContext) -> ModelRunner[S]:
        assert isinstance(spec, EmbedderSpec)
        tensors = EnsembleRunner(spec, context.members)
        told = [f"{member.name}: {note}" for member in context.members for note in member.told]
        return ModelRunner(spec, tensors, provider=self.name, asked=context.device, notes=told)


def default_providers(triton: TritonServer | None = None) -> tuple[ModelProvider, ...]:
    """All of them, in the order in which they are asked. `triton`: the server, where one is configured."""
    return (EnsembleProvider(), TritonProvider(triton), OnnxProvider(), TorchProvider())


def _is_ensemble(spec: AnySpec) -> bool:
    return isinstance(spec, EmbedderSpec) and bool(spec.members)
