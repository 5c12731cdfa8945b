"""Runners: a float32 batch in, the network's raw outputs out. On the batcher's threads, blocks for the run.

The only place that imports ONNX Runtime. What the session really runs on is compared with what was asked for:
ONNX Runtime itself only warns and falls back to the CPU in silence.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recognition.errors import (
    GpuFailed,
    InsufficientGpuMemory,
    InsufficientMemory,
    UnsupportedEngine,
    UnsupportedRuntime,
    WeightsUnreadable,
)
from recognition.models.batch_axis import with_batch_axis
from recognition.models.devices import Device, count_gpus, gpu_number, missing_gpu
from recognition.models.spec import ModelSpec

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fallback:
    """Why a model runs on the CPU where a GPU was to be tried first. `code` is a metric's label, `why` is in words."""

    code: str
    why: str


_ADVICE = {
    "no_cuda_provider": "install 'whosthere[gpu]' without the cpu extra",
    "no_gpu": "check the driver and CUDA_VISIBLE_DEVICES",
    "cuda_failed": "check the driver, and that it knows the CUDA of this ONNX Runtime",
}


class TensorRunner(Protocol):
    """A loaded network. `run` may be called from several threads at once."""

    @property
    def device(self) -> str: ...

    def run(self, batch: F32) -> list[F32]:
        """(n, 3, h, w) float32 -> the raw outputs. Blocks until they are there."""
        ...

    def close(self) -> None: ...


class _Input(Protocol):
    name: str
    shape: Sequence[int | str | None]
    type: str


class Session(Protocol):
    """What is used of onnxruntime.InferenceSession, which has no types of its own."""

    def run(self, outputs: None, feed: Mapping[str, F32]) -> list[F32]: ...
    def get_inputs(self) -> Sequence[_Input]: ...
    def get_outputs(self) -> Sequence[_Input]: ...
    def get_providers(self) -> list[str]: ...
    def io_binding(self) -> "_Binding": ...
    def run_with_iobinding(self, binding: "_Binding") -> None: ...


class _Binding(Protocol):
    def bind_cpu_input(self, name: str, array: F32) -> None: ...
    def bind_output(self, name: str, device: str) -> None: ...
    def copy_outputs_to_cpu(self) -> list[F32]: ...


class OnnxRunner:
    """One ONNX Runtime session. On the CPU it computes in the calling thread alone: many callers share it.

    `device` is where it really runs: `cpu`, or `cuda:N`. `fallback`: why not on the GPU that `auto` tried first.
    """

    def __init__(self, spec: ModelSpec, weights: bytes, device: Device = "auto") -> None:
        """Raises UnsupportedRuntime (no ONNX Runtime, or not on the GPU asked for), WeightsUnreadable."""
        session, self.fallback = _open_where_asked(_onnxruntime(), spec, weights, device)
        self.device = "cpu" if device == "cpu" or self.fallback else f"cuda:{gpu_number(device)}"
        self._name = spec.name
        self._errors: tuple[type[Exception], ...] = (*_refusals(_onnxruntime()), MemoryError)
        self._session: Session | None = session
        self._input = spec.input.name or session.get_inputs()[0].name
        names = [entry.name for entry in session.get_inputs()]
        if names != [self._input]:
            raise WeightsUnreadable(f"model {spec.name}: its graph wants inputs {names}, the spec says {self._input}")
        wide, high = spec.input.size
        shape, want = list(session.get_inputs()[0].shape)[1:], (3, high, wide)
        if len(shape) != 3 or any(isinstance(has, int) and has != side for has, side in zip(shape, want, strict=True)):
            raise WeightsUnreadable(f"model {spec.name}: its graph takes inputs of {shape}, the spec says {list(want)}")

    def run(self, batch: F32) -> list[F32]:
        """Raises InsufficientGpuMemory, InsufficientMemory, GpuFailed."""
        if self._session is None:
            raise RuntimeError("run after close")
        try:
            if self.device == "cpu":
                return self._session.run(None, {self._input: batch})
            return run_bound(self._session, self._input, batch)
        except self._errors as error:
            if _is_out_of_memory(error):
                raise out_of_memory(self._name, self.device, len(batch)) from None
            if self.device == "cpu":
                raise
            raise GpuFailed(f"model {self._name}: a run failed on {self.device} ({_first_line(error)})") from None

    def close(self) -> None:
        """Let go of the session; it must not run any more."""
        self._session = None


def run_bound(session: Session, name: str, batch: F32) -> list[F32]:
    """A run whose input and outputs are bound: on a GPU each is copied once, straight from and to these arrays."""
    binding = session.io_binding()
    binding.bind_cpu_input(name, np.ascontiguousarray(batch))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    session.run_with_iobinding(binding)
    return binding.copy_outputs_to_cpu()


def out_of_memory(model: str, device: str, batch: int) -> InsufficientMemory:
    """The error of a run that did not get its memory."""
    kind = InsufficientMemory if device == "cpu" else InsufficientGpuMemory
    return kind(f"model {model}: out of memory on {device} in a batch of {batch}; smaller batches or models take less")


def _is_out_of_memory(error: Exception) -> bool:
    """Whether ONNX Runtime, CUDA, cuDNN or cuBLAS says so: there is no code of its own for it."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in said for sign in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = (
    "failed to allocate memory",
    "out of memory",
    "bad_alloc",
    "cudnn_status_alloc_failed",
    "cublas_status_alloc_failed",
)


def need_onnxruntime() -> None:
    """Raises UnsupportedRuntime where no ONNX Runtime is installed."""
    _onnxruntime()


def _onnxruntime() -> ModuleType:
    # Its wheels send telemetry unless this is set before the import; nothing here may talk to anybody.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError:
        raise UnsupportedRuntime(
            "ONNX Runtime is not installed; do one of the two: pip install 'whosthere[cpu]' (any machine) or "
            "pip install 'whosthere[gpu]' (NVIDIA)"
        ) from None
    module: ModuleType = onnxruntime
    return module


def open_unknown(file: str, weights: bytes) -> Session:
    """A CPU session of a network that has no spec yet. Raises UnsupportedRuntime, WeightsUnreadable."""
    return _open_on_cpu(_onnxruntime(), file, "it", "get it again", weights)


def try_run(session: Session, feed: Mapping[str, F32]) -> list[F32] | None:
    """The raw outputs, or None where ONNX Runtime can't run the network on this."""
    try:
        return session.run(None, feed)
    except _refusals(_onnxruntime()):
        return None


def _refusals(ort: ModuleType) -> tuple[type[Exception], ...]:
    errors = ort.capi.onnxruntime_pybind11_state
    return (
        errors.EPFail,
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
    )


def _open_where_asked(
    ort: ModuleType, spec: ModelSpec, weights: bytes, device: Device
) -> tuple[Session, Fallback | None]:
    """A session on the device; on the CPU, and why, where `auto` could not have a GPU."""

    def on_cpu() -> Session:
        graph = _for_batches(spec, weights, spec.batch_buckets.cpu)
        return _open_on_cpu(ort, f"model {spec.name}", spec.file, f"get it again from {spec.source}", graph)

    if device == "cpu":
        if spec.engine == "tensorrt":
            raise UnsupportedEngine(f"model {spec.name}: its engine is tensorrt, which has no CPU; use a GPU")
        return on_cpu(), None
    graph = partial(_for_batches, spec, weights, spec.batch_buckets.cuda)
    opened = _open_on_gpu(ort, graph, gpu_number(device), tensorrt=spec.engine == "tensorrt")
    if not isinstance(opened, Fallback):
        return opened, None
    if device == "auto" and spec.engine != "tensorrt":
        return on_cpu(), opened
    if opened.code == "cuda_failed":
        on_cpu()  # raises WeightsUnreadable where the fault is the weights' own
    raise UnsupportedRuntime(
        f"model {spec.name}: device {device} was asked for, but {opened.why}; {_ADVICE[opened.code]}, or set "
        "recognition.device: auto"
    )


def _for_batches(spec: ModelSpec, weights: bytes, buckets: tuple[int, ...]) -> bytes:
    """The graph that takes these batches. Raises what with_batch_axis raises."""
    if spec.batch == "restore" and buckets[-1] > 1:
        return with_batch_axis(weights, f"model {spec.name}")
    return weights


def _open_on_gpu(ort: ModuleType, graph: Callable[[], bytes], number: int, *, tensorrt: bool) -> Session | Fallback:
    there = ort.get_available_providers()
    wanted = "TensorrtExecutionProvider" if tensorrt else "CUDAExecutionProvider"
    if wanted not in there:
        return Fallback(
            "no_cuda_provider", f"the installed ONNX Runtime has no {'TensorRT' if tensorrt else 'CUDA'} provider"
        )
    missing = missing_gpu(number, count_gpus())
    if missing:
        return Fallback("no_gpu", missing)
    # Without kSameAsRequested the arena doubles itself; HEURISTIC spares seconds of search per new shape.
    settings = {
        "device_id": str(number),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    # RuntimeError, ValueError: the provider itself did not start.
    refusals: tuple[type[Exception], ...] = (*_refusals(ort), RuntimeError, ValueError)
    try:
        trt: list[object] = [(wanted, {"device_id": str(number)})] if tensorrt else []
        session = _session(ort, graph(), [*trt, ("CUDAExecutionProvider", settings), "CPUExecutionProvider"])
    except refusals as error:
        if _is_out_of_memory(error):
            raise InsufficientGpuMemory(
                f"no room on cuda:{number} to load it; use a smaller model or the CPU"
            ) from None
        return Fallback("cuda_failed", f"ONNX Runtime can't load it there ({_first_line(error)})")
    if session.get_providers()[0] != wanted:
        return Fallback("cuda_failed", f"ONNX Runtime's {wanted} did not start")
    return session


def _open_on_cpu(ort: ModuleType, who: str, file: str, advice: str, weights: bytes) -> Session:
    try:
        return _session(ort, weights, ["CPUExecutionProvider"])
    except _refusals(ort) as error:
        raise WeightsUnreadable(f"{who}: ONNX Runtime can't load {file} ({_first_line(error)}); {advice}") from None


def _session(ort: ModuleType, weights: bytes, providers: list[object]) -> Session:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Its own fallback goes to the CPU by itself, at load and in a run, and prints so to stdout.
    session: Session = ort.InferenceSession(weights, options, providers=providers, enable_fallback=0)
    return session


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def usable_cores() -> int:
    """How many cores this process may use: its CPU affinity, and a container's CPU quota (rounded up)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, -(-int(quota) // int(period))))
