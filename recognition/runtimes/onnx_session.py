"""Sessions of ONNX Runtime: a network's bytes in, an opened session out. Blocks for the network's start.

The only place that imports ONNX Runtime.
"""

import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Protocol

from recognition.arrays import F32
from recognition.errors import UnsupportedRuntime

ON_CPU: Sequence[object] = ("CPUExecutionProvider",)


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
    def io_binding(self) -> "Binding": ...
    def run_with_iobinding(self, binding: "Binding") -> None: ...


class Binding(Protocol):
    def bind_cpu_input(self, name: str, array: F32) -> None: ...
    def bind_output(self, name: str, device: str) -> None: ...
    def copy_outputs_to_cpu(self) -> list[F32]: ...


def onnxruntime_module() -> ModuleType:
    """ONNX Runtime. Raises UnsupportedRuntime where none is installed."""
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


def need_onnxruntime() -> None:
    """Raises UnsupportedRuntime where no ONNX Runtime is installed."""
    onnxruntime_module()


def refusals() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises where it can't load or run a network."""
    errors = onnxruntime_module().capi.onnxruntime_pybind11_state
    return (
        errors.EPFail,
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
    )


def open_session(weights: bytes, providers: Sequence[object] = ON_CPU, *, unfused: bool = False) -> Session:
    """A session that computes in the calling thread alone. `unfused`: node by node as the file has them, which is
    slow, and in files with quantise and dequantise nodes in float32. Raises one of refusals().
    """
    ort = onnxruntime_module()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if unfused:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Its own fallback goes to the CPU by itself, at load and in a run, and prints so to stdout.
    session: Session = ort.InferenceSession(weights, options, providers=list(providers), enable_fallback=0)
    return session


def try_run(session: Session, feed: Mapping[str, F32]) -> list[F32] | None:
    """The raw outputs, or None where ONNX Runtime can't run the network on this."""
    try:
        return session.run(None, feed)
    except refusals():
        return None
