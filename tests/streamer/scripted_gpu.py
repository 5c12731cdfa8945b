"""A GPU that a test scripts: real networks, which compute on the CPU, and memory that other programs may take.

Every run needs WORKSPACE_MIB a face besides what the model holds; where that is not free, it is out of memory.
"""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from recognition.arrays import F32
from recognition.errors import InsufficientGpuMemory
from recognition.models.model_runner import ModelRunner
from recognition.models.providers import AnySpec, LoadContext, S
from recognition.runtimes.onnx_runner import OnnxRunner, out_of_memory
from recognition.specs.files import bundled, load_specs
from recognition.specs.spec import EmbedderSpec
from recognition.specs.weights import find_artifacts, read_weights
from tests.recognition.scripted_memory import ScriptedMemory

WORKSPACE_MIB = 1.0


class ScriptedGpuRunner:
    """A network that holds memory of the scripted GPU from its first moment to close()."""

    fallback = None

    def __init__(self, spec: AnySpec, weights: bytes, device: str, memory: ScriptedMemory, holds_mib: float) -> None:
        self.device = device
        self._name = spec.name
        self._network = OnnxRunner(spec, weights, "cpu")
        self._memory = memory
        self._holds_mib = holds_mib
        if memory.read()[device].free_mib < holds_mib:
            raise InsufficientGpuMemory(f"model {spec.name}: no room on {device}")
        memory.ours[device] += holds_mib
        self._open = True
        self._lock = threading.Lock()

    def run(self, batch: F32) -> list[F32]:
        if self._memory.read()[self.device].free_mib < WORKSPACE_MIB * len(batch):
            raise out_of_memory(self._name, self.device, len(batch))
        return self._network.run(batch)

    def close(self) -> None:
        with self._lock:
            if self._open:
                self._open = False
                self._memory.ours[self.device] -= self._holds_mib
        self._network.close()


class ScriptedGpu:
    """A provider of models on a scripted `cuda:0`, and on the real CPU. `holds_mib`: what each holds, by name."""

    name = "scripted"

    def __init__(self, memory: ScriptedMemory, holds_mib: Mapping[str, float]) -> None:
        self.memory = memory
        self.holds_mib = holds_mib
        self.loads: list[tuple[str, str]] = []

    def supports(self, spec: AnySpec) -> bool:
        return True

    def validate_local_artifacts(self, spec: AnySpec, roots: Sequence[Path]) -> list[Path]:
        return find_artifacts(spec, roots)

    def load(self, spec: S, context: LoadContext) -> ModelRunner[S]:
        self.loads.append((spec.name, context.device))
        weights = read_weights(spec, context.weights_folders)
        if context.device == "cpu":
            return ModelRunner(spec, OnnxRunner(spec, weights, "cpu"), provider=self.name, asked="cpu")
        device = "cuda:0" if context.device == "auto" else context.device
        runner = ScriptedGpuRunner(spec, weights, device, self.memory, self.holds_mib[spec.name])
        return ModelRunner(spec, runner, provider=self.name, asked=context.device)


def turned(name: str, folder: Path, seed: int) -> EmbedderSpec:
    """nano_embed with a rotation behind it: as good an embedder, in a space of its own; its weights are written."""
    base = load_specs()["nano_embed"]
    assert isinstance(base, EmbedderSpec)
    model = onnx.load(bundled("nano") / base.file)
    (output,) = model.graph.output
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(base.embedding_size, base.embedding_size)))
    for node in model.graph.node:
        node.output[:] = ["unturned" if out == output.name else out for out in node.output]
    model.graph.initializer.append(numpy_helper.from_array(rotation.astype(np.float32), "rotation"))
    model.graph.node.append(helper.make_node("MatMul", ["unturned", "rotation"], [output.name]))
    data = model.SerializeToString()
    (folder / f"{name}.onnx").write_bytes(data)
    return base.model_copy(
        update={
            "name": name,
            "local_artifacts": (f"{name}.onnx",),
            "weights_digest": hashlib.sha256(data).hexdigest(),
            "space": f"{name}.1",
            "needs": None,
            "sample": None,
        }
    )
