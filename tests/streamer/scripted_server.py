"""A Triton server that a test starts and ends; its models are real networks, which compute here."""

from collections.abc import Sequence
from pathlib import Path

from recognition.arrays import F32
from recognition.errors import TritonUnavailable
from recognition.models.model_runner import ModelRunner
from recognition.models.providers import AnySpec, LoadContext, S
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.weights import find_artifacts, read_weights


class ScriptedServer:
    """The provider of models whose runtime is triton. `up`: whether it answers."""

    name = "triton"

    def __init__(self) -> None:
        self.up = True
        self.loads = 0

    def supports(self, spec: AnySpec) -> bool:
        return spec.runtime == "triton"

    def validate_local_artifacts(self, spec: AnySpec, roots: Sequence[Path]) -> list[Path]:
        return find_artifacts(spec, roots)

    def load(self, spec: S, context: LoadContext) -> ModelRunner[S]:
        self.loads += 1
        self.need()
        network = OnnxRunner(spec, read_weights(spec, context.weights_folders), "cpu")
        return ModelRunner(spec, Served(self, network), provider=self.name, asked=context.device)

    def need(self) -> None:
        if not self.up:
            raise TritonUnavailable("model on Triton at 192.0.2.1:8001: connection refused")


class Served:
    """A TensorRunner of a model of the server."""

    device = "triton"

    def __init__(self, server: ScriptedServer, network: OnnxRunner) -> None:
        self._server = server
        self._network = network

    def run(self, batch: F32) -> list[F32]:
        self._server.need()
        return self._network.run(batch)

    def close(self) -> None:
        self._network.close()
