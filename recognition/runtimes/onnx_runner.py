"""Runners: a float32 batch in, the network's raw outputs out. On the batcher's threads, blocks for the run.

What a session really runs on is compared with what was asked for: ONNX Runtime itself only warns and falls back to the
CPU in silence.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from recognition.arrays import F32
from recognition.errors import GpuFailed, InsufficientGpuMemory, InsufficientMemory, WeightsUnreadable
from recognition.reason import Reason
from recognition.runtimes.int8_forms import Opened, open_form
from recognition.runtimes.onnx_batch_axis import with_batch_axis
from recognition.runtimes.onnx_session import ARENA, Session, onnxruntime_module, open_session, refusals
from recognition.runtimes.tensor_runner import where_asked
from recognition.specs.devices import Device, count_gpus, missing_gpu
from recognition.specs.spec import ModelSpec

_ADVICE = {
    "no_cuda_provider": "install 'whosthere[gpu]' without the cpu extra",
    "no_gpu": "check the driver and CUDA_VISIBLE_DEVICES",
    "cuda_failed": "check the driver, and that it knows the CUDA of this ONNX Runtime",
}


class OnnxRunner:
    """One ONNX Runtime session. On the CPU it computes in the calling thread alone: many callers share it.

    `device` is where it really runs: `cpu`, or `cuda:N`. `fallback`: why not on the GPU that `auto` tried first.
    `form`: an int8 network's, where the file as it is would be wrong on this processor.
    """

    def __init__(self, spec: ModelSpec, weights: bytes, device: Device = "auto", *, unfused: bool = False) -> None:
        """`unfused`: on a CPU in the slowest form, see int8_forms.open_form().

        Raises UnsupportedRuntime (no ONNX Runtime, not on the GPU asked for, int8 weights that this processor can't
        compute rightly), WeightsUnreadable.
        """

        def on_cpu() -> Opened:
            graph = _for_batches(spec, weights, spec.batch_buckets.cpu)
            advice = f"get it again from {spec.source}"
            return _open_on_cpu(f"model {spec.name}", spec.file, advice, graph, unfused=unfused)

        def on_gpu(number: int) -> Opened | Reason:
            graph = partial(_for_batches, spec, weights, spec.batch_buckets.cuda)
            opened = _open_on_gpu(graph, number, tensorrt=spec.engine == "tensorrt")
            if not isinstance(opened, Reason):
                return Opened(opened, None)
            if opened.code == "cuda_failed" and device != "auto":
                on_cpu()  # raises WeightsUnreadable where the fault is the weights' own
            return opened

        opened, self.device, self.fallback = where_asked(spec, device, on_cpu, on_gpu, _ADVICE)
        session, self.form = opened.session, opened.form
        self._name = spec.name
        self._errors: tuple[type[Exception], ...] = (*refusals(), MemoryError)
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
                with ARENA.running():
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


def open_unknown(file: str, weights: bytes) -> Session:
    """A CPU session of a network that has no spec yet. Raises UnsupportedRuntime, WeightsUnreadable."""
    return _open_on_cpu(file, "it", "get it again", weights).session


def _for_batches(spec: ModelSpec, weights: bytes, buckets: tuple[int, ...]) -> bytes:
    """The graph that takes these batches. Raises what with_batch_axis raises."""
    if spec.batch == "restore" and buckets[-1] > 1:
        return with_batch_axis(weights, f"model {spec.name}")
    return weights


def _open_on_gpu(graph: Callable[[], bytes], number: int, *, tensorrt: bool) -> Session | Reason:
    there = onnxruntime_module().get_available_providers()
    wanted = "TensorrtExecutionProvider" if tensorrt else "CUDAExecutionProvider"
    if wanted not in there:
        return Reason(
            "no_cuda_provider", f"the installed ONNX Runtime has no {'TensorRT' if tensorrt else 'CUDA'} provider"
        )
    missing = missing_gpu(number, count_gpus())
    if missing:
        return Reason("no_gpu", missing)
    # Without kSameAsRequested the arena doubles itself; HEURISTIC spares seconds of search per new shape.
    settings = {
        "device_id": str(number),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    # RuntimeError, ValueError: the provider itself did not start.
    failures: tuple[type[Exception], ...] = (*refusals(), RuntimeError, ValueError)
    try:
        trt: list[object] = [(wanted, {"device_id": str(number)})] if tensorrt else []
        session = open_session(graph(), [*trt, ("CUDAExecutionProvider", settings), "CPUExecutionProvider"])
    except failures as error:
        if _is_out_of_memory(error):
            raise InsufficientGpuMemory(
                f"no room on cuda:{number} to load it; use a smaller model or the CPU"
            ) from None
        return Reason("cuda_failed", f"ONNX Runtime can't load it there ({_first_line(error)})")
    if session.get_providers()[0] != wanted:
        return Reason("cuda_failed", f"ONNX Runtime's {wanted} did not start")
    return session


def _open_on_cpu(who: str, file: str, advice: str, weights: bytes, *, unfused: bool = False) -> Opened:
    try:
        return open_form(weights, who, unfused=unfused)
    except refusals() as error:
        raise WeightsUnreadable(f"{who}: ONNX Runtime can't load {file} ({_first_line(error)}); {advice}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
