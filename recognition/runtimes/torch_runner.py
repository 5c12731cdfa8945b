"""TorchRunner: a float32 batch in, the raw outputs of a published architecture out. On the batcher's threads.

As OnnxRunner is, on PyTorch: what it runs on is what was asked for, or is told. PyTorch is imported by the first load.
"""

import importlib.util
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recognition.architectures import find_architecture
from recognition.arrays import F32
from recognition.errors import UnsupportedEngine, UnsupportedRuntime
from recognition.reason import Reason
from recognition.runtimes.tensor_runner import where_asked
from recognition.specs.devices import Device, count_gpus, missing_gpu
from recognition.specs.spec import ModelSpec

if TYPE_CHECKING:
    from recognition.runtimes.torch_networks import CpuNetwork, CudaNetwork


_ADVICE = {
    "no_cuda_provider": "install a PyTorch that is built for CUDA",
    "no_gpu": "check the driver and CUDA_VISIBLE_DEVICES",
    "cuda_failed": "check the driver, and that it knows the CUDA of this PyTorch",
}


def need_torch(spec: ModelSpec) -> None:
    """Raises UnsupportedRuntime where PyTorch is not installed. Does not import it."""
    if importlib.util.find_spec("torch") is None:
        raise UnsupportedRuntime(
            f"model {spec.name}: needs PyTorch, which is not installed; pip install 'whosthere[train]'"
        )


class TorchRunner:
    """One network in PyTorch. On the CPU it computes in the calling thread alone; on a GPU, one batch after another.

    `device` is where it really runs: `cpu`, or `cuda:N`. `fallback`: why not on the GPU that `auto` tried first. What
    the spec's precision says is what is computed in, on the CPU too, where fp16 is several times slower than fp32.
    """

    def __init__(self, spec: ModelSpec, checkpoint: Path, device: Device = "auto", *, compile: bool = False) -> None:
        """`compile`: on a GPU the network is compiled for each bucket, which takes minutes.

        Raises UnsupportedRuntime (no PyTorch, or not on the GPU asked for), UnsupportedEngine (int8), ModelNotFound
        (the architecture), WeightsMissing, CheckpointInvalid, InsufficientMemory, InsufficientGpuMemory.
        """
        need_torch(spec)
        if spec.precision == "int8":
            raise UnsupportedEngine(
                f"model {spec.name}: engine torch computes in fp32, fp16 or bf16, not in int8; set its precision"
            )
        self._name = spec.name
        self._network: CpuNetwork | CudaNetwork | None
        self._network, self.device, self.fallback = where_asked(
            spec,
            device,
            partial(_open_on_cpu, spec, checkpoint),
            partial(_open_on_gpu, spec, checkpoint, compile=compile),
            _ADVICE,
        )

    def run(self, batch: F32) -> list[F32]:
        """(n, 3, h, w) float32 -> the raw outputs, in the order of the ONNX export.

        Raises InsufficientMemory and InsufficientGpuMemory; after them a smaller batch may be run.
        """
        from recognition.runtimes.torch_memory import within_memory

        network = self._network
        if network is None:
            raise RuntimeError("run after close")
        fed = np.require(batch, np.float32, ["C", "W"])
        return within_memory(lambda: network.run(fed), self._name, self.device, f"a batch of {len(batch)}")

    def close(self) -> None:
        """Let go of the network; it must not run any more."""
        network, self._network = self._network, None
        if network is not None:
            network.close()


def _open_on_cpu(spec: ModelSpec, checkpoint: Path) -> "CpuNetwork":
    from recognition.runtimes.torch_memory import within_memory
    from recognition.runtimes.torch_networks import DTYPES, CpuNetwork, read_network

    def opened() -> CpuNetwork:
        net = read_network(checkpoint, find_architecture(spec.architecture or ""))
        return CpuNetwork(net, DTYPES[spec.precision])

    return within_memory(opened, spec.name, "cpu", "its weights")


def _open_on_gpu(spec: ModelSpec, checkpoint: Path, number: int, *, compile: bool) -> "CudaNetwork | Reason":
    """Too little memory is no reason for a fallback: there may be a smaller model for this GPU."""
    from recognition.runtimes.torch_memory import within_memory
    from recognition.runtimes.torch_networks import DTYPES, CudaNetwork, read_network

    refusal = _unreachable(number)
    if refusal is not None:
        return refusal
    device, buckets = f"cuda:{number}", spec.batch_buckets.cuda
    width, height = spec.input.size

    def opened() -> CudaNetwork:
        net = read_network(checkpoint, find_architecture(spec.architecture or ""))
        return CudaNetwork(net, DTYPES[spec.precision], device, (height, width), buckets, compile=compile)

    try:
        return within_memory(opened, spec.name, device, f"its weights and batches of {buckets[-1]}")
    except RuntimeError as error:
        why = (str(error).splitlines() or [type(error).__name__])[0][:120]
        return Reason("cuda_failed", f"PyTorch can't run it there ({why})")


def _unreachable(number: int) -> Reason | None:
    """Why PyTorch can't have this GPU; None where nothing speaks against it."""
    import torch

    if torch.version.cuda is None:
        return Reason("no_cuda_provider", "the installed PyTorch is not built for CUDA")
    missing = missing_gpu(number, count_gpus())
    if missing:
        return Reason("no_gpu", missing)
    if number >= torch.cuda.device_count():
        return Reason("cuda_failed", "PyTorch's CUDA did not start")
    return None
