"""Networks of PyTorch on a CPU or a GPU: a float32 batch in, float32 outputs out, whatever is computed in between.

Needs PyTorch. run() blocks on the caller's thread, and may be called from several.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from recognition.architectures import Architecture
from recognition.arrays import F32
from recognition.runtimes.torch_checkpoints import read_checkpoint

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# Before a graph is captured, libraries must have chosen their kernels and taken their work space.
_WARM_UPS = 3


def read_network(checkpoint: Path, architecture: Architecture) -> nn.Module:
    """The network with a checkpoint's weights, in float32 on the CPU. Raises WeightsMissing, CheckpointInvalid."""
    with torch.device("meta"):  # the checkpoint brings every tensor: none is to be made first
        net = architecture.build()
    net.load_state_dict(read_checkpoint(checkpoint, architecture), assign=True)
    return net.eval().requires_grad_(False)


def in_precision(net: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The same network, which computes in `dtype` from here on.

    Batch normalisations keep their own numbers in float32 (they take and give `dtype`): that halves what bfloat16
    takes off the cosine of real weights (w600k_mbf: .99945 without, .99964 with).
    """
    for part in net.modules():
        if next(part.children(), None) is None and not isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.to(dtype)
    return net.to(memory_format=torch.channels_last)


class CpuNetwork:
    """Computes in the calling thread alone, like an OnnxRunner: many callers share it."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        """`net` is changed."""
        self._net, self._dtype = in_precision(net, dtype), dtype

    def run(self, batch: F32) -> list[F32]:
        with torch.inference_mode(), one_thread():
            return [output.numpy() for output in _outputs(self._net, self._dtype, torch.from_numpy(batch))]

    def close(self) -> None:
        """Nothing is held but by the object itself."""


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes in this thread alone, whatever others do meanwhile.

    Its number of threads is each thread's own (an OpenMP setting), and what a thread that first uses PyTorch later
    begins with. So the only trace that this may leave is a thread, begun meanwhile, which keeps to itself too.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class CudaNetwork:
    """A network on one GPU, on a stream of its own, one run at a time: there is one set of buffers.

    For each bucket all kernels of a run are recorded once, as a CUDA graph, and launched together from then on; a
    batch of another size is run kernel by kernel. The graphs share their memory: what one leaves there is copied out
    before the next begins. In float32 convolutions may be computed in TF32, as PyTorch does unless told otherwise.
    """

    def __init__(
        self,
        net: nn.Module,
        dtype: torch.dtype,
        device: str,
        sides: tuple[int, int],
        buckets: Sequence[int],
        *,
        compile: bool = False,
    ) -> None:
        """`net` is moved there and changed. `sides`: height, width. `compile`: by TorchInductor, minutes for each
        bucket. Raises RuntimeError where CUDA, or the compiler, fails.
        """
        self._dtype = dtype
        self._lock = threading.Lock()
        self._stream = torch.cuda.Stream(torch.device(device))
        with torch.cuda.stream(self._stream):
            self._net = in_precision(net, dtype).to(device)
        with self._alone():
            shape = (buckets[-1], 3, *sides)
            self._pinned = torch.empty(shape, pin_memory=True)
            self._fed = torch.zeros(shape, device=device)
            self._pool = torch.cuda.graph_pool_handle()
            self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, list[torch.Tensor]]] = {}
            for size in sorted(buckets, reverse=True):  # the largest first: the others fit into its memory
                self._graphs[size] = self._captured(self._fed[:size], compile=compile)

    def run(self, batch: F32) -> list[F32]:
        size = len(batch)
        with self._alone():
            if size in self._graphs:
                graph, outputs = self._graphs[size]
                self._pinned[:size].copy_(torch.from_numpy(batch))
                self._fed[:size].copy_(self._pinned[:size], non_blocking=True)
                graph.replay()
            else:
                outputs = _outputs(self._net, self._dtype, torch.from_numpy(batch).to(self._fed.device))
            # cpu() waits for the stream, and its copy is the caller's own.
            return [output.cpu().numpy() for output in outputs]

    def close(self) -> None:
        """Give the GPU's memory back; nothing may run any more."""
        with self._alone():
            self._graphs.clear()
            del self._net, self._fed, self._pinned
            torch.cuda.empty_cache()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, torch.inference_mode(), torch.cuda.stream(self._stream):
            yield

    def _captured(self, fed: torch.Tensor, *, compile: bool) -> tuple[Any, list[torch.Tensor]]:
        # Traced first, each compiled function has code of its own: PyTorch compiles the same code only so many times.
        net = torch.compile(torch.fx.symbolic_trace(self._net), dynamic=False, fullgraph=True) if compile else self._net
        for _ in range(_WARM_UPS):
            _outputs(net, self._dtype, fed)
        graph = torch.cuda.CUDAGraph()
        # thread_local: other models' threads may take and free memory meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            outputs = _outputs(net, self._dtype, fed)
        return graph, outputs


def _outputs(net: nn.Module, dtype: torch.dtype, batch: torch.Tensor) -> list[torch.Tensor]:
    """(n,3,h,w) float32 -> the network's outputs in order, float32, where the batch is."""
    answer = net(batch.to(dtype, memory_format=torch.channels_last))
    return [part.float() for part in (answer if isinstance(answer, tuple) else (answer,))]
