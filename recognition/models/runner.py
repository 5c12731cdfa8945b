"""Runners: a float32 batch in, the network's raw outputs out. On the batcher's threads, blocks for the run.

The only place that imports ONNX Runtime. What the session really runs on is compared with what was asked for:
ONNX Runtime itself only warns and falls back to the CPU in silence.
"""

import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from recognition.errors import UnsupportedRuntime, WeightsUnreadable
from recognition.models.spec import ModelSpec

F32 = NDArray[np.float32]
Device = Literal["auto", "cpu", "cuda"]


class ModelRunner(Protocol):
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
    def get_providers(self) -> list[str]: ...


class OnnxRunner:
    """One ONNX Runtime session. On the CPU it computes in the calling thread alone: many callers share it.

    `notes` says in words what is not as one might expect (a fallback to the CPU).
    """

    def __init__(self, spec: ModelSpec, weights: bytes, device: Device = "auto") -> None:
        """Raises UnsupportedRuntime (no ONNX Runtime, or no CUDA though asked for), WeightsUnreadable."""
        ort = _onnxruntime()
        has_cuda = "CUDAExecutionProvider" in ort.get_available_providers()
        source = f"get it again from {spec.source}"
        session = _open(ort, f"model {spec.name}", spec.file, source, weights, cuda=has_cuda and device != "cpu")
        runs_on_cuda = session.get_providers()[0] == "CUDAExecutionProvider"
        self.notes: tuple[str, ...] = ()
        if device != "cpu" and not runs_on_cuda:
            why = "its CUDA provider did not start" if has_cuda else "the installed one has no CUDA provider"
            if device == "cuda":
                raise UnsupportedRuntime(
                    f"model {spec.name}: device cuda was asked for, but ONNX Runtime can't use it ({why}); "
                    "check the driver, install 'whosthere[gpu]' without the cpu extra, or set "
                    "recognition.device: auto"
                )
            self.notes = (f"device auto took the CPU: {why}",)
        self.device = "cuda" if runs_on_cuda else "cpu"
        self._session: Session | None = session
        self._input = spec.input.name or session.get_inputs()[0].name
        names = [entry.name for entry in session.get_inputs()]
        if names != [self._input]:
            raise WeightsUnreadable(f"model {spec.name}: its graph wants inputs {names}, the spec says {self._input}")

    def run(self, batch: F32) -> list[F32]:
        if self._session is None:
            raise RuntimeError("run after close")
        return self._session.run(None, {self._input: batch})

    def close(self) -> None:
        """Let go of the session; it must not run any more."""
        self._session = None


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
    return _open(_onnxruntime(), file, "it", "get it again", weights, cuda=False)


def try_run(session: Session, feed: Mapping[str, F32]) -> list[F32] | None:
    """The raw outputs, or None where ONNX Runtime can't run the network on this."""
    try:
        return session.run(None, feed)
    except _refusals(_onnxruntime()):
        return None


def _refusals(ort: ModuleType) -> tuple[type[Exception], ...]:
    errors = ort.capi.onnxruntime_pybind11_state
    return (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
    )


def _open(ort: ModuleType, who: str, file: str, advice: str, weights: bytes, *, cuda: bool) -> Session:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[object] = ["CPUExecutionProvider"]
    if cuda:
        # Without kSameAsRequested the arena doubles itself; HEURISTIC spares seconds of search per new shape.
        settings = {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC"}
        providers.insert(0, ("CUDAExecutionProvider", settings))
    try:
        session: Session = ort.InferenceSession(weights, options, providers=providers)
    except _refusals(ort) as error:
        reason = str(error).splitlines()[0][:120]
        raise WeightsUnreadable(f"{who}: ONNX Runtime can't load {file} ({reason}); {advice}") from None
    return session


def usable_cores() -> int:
    """How many cores this process may use: its CPU affinity, and a container's CPU quota (rounded up)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, -(-int(quota) // int(period))))
