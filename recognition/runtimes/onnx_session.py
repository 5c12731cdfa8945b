"""Sessions of ONNX Runtime: a network's bytes in, an opened session out. Blocks for the network's start.

The only place that imports ONNX Runtime. All sessions on the CPU compute in one arena, which grows by what is asked for
and goes back to the system while none runs: one for each, which doubles, kept half as much again (docs/performance.md,
Memory).
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Protocol

import numpy as np

from recognition.arrays import F32
from recognition.errors import UnsupportedRuntime

ON_CPU: Sequence[object] = ("CPUExecutionProvider",)
# After such a rest of all networks what they computed in goes back: to fetch it anew is little beside that.
RESTS_S = 1.0
# A network that does nothing, y = x: ONNX Runtime gives its arena back at the end of a run alone.
_EMPTY = bytes.fromhex(
    "080912003a3a0a100a017812017922084964656e746974791204726573745a0f0a0178120a0a08080112040a020801620f0a0179120a0a"
    "08080112040a02080142040a001011"
)
_AS_ASKED, _ITS_DEFAULT = 1, -1  # kSameAsRequested: a region is as large as what it is for


class _Input(Protocol):
    name: str
    shape: Sequence[int | str | None]
    type: str


class Session(Protocol):
    """What is used of onnxruntime.InferenceSession, which has no types of its own."""

    def run(self, outputs: None, feed: Mapping[str, F32], options: object = None) -> list[F32]: ...
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
    if tuple(providers) == tuple(ON_CPU) and _shared_arena():
        options.add_session_config_entry("session.use_env_allocators", "1")
    # Its own fallback goes to the CPU by itself, at load and in a run, and prints so to stdout.
    session: Session = ort.InferenceSession(weights, options, providers=list(providers), enable_fallback=0)
    if hasattr(session, "_model_bytes"):
        session._model_bytes = None  # the whole file, for changing providers later, which nobody here does
    return session


@cache
def _shared_arena() -> bool:
    """Have one, once for the process; False where this ONNX Runtime has none to give."""
    ort = onnxruntime_module()
    failures: tuple[type[Exception], ...] = (*refusals(), RuntimeError, AttributeError)
    try:
        memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg(0, _AS_ASKED, _ITS_DEFAULT, _ITS_DEFAULT))
    except failures:
        return False  # it is built without, or an old one: each session has its own then
    return True


class Arena:
    """What all sessions on the CPU compute in; `clock`: seconds. Any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._ran_s: float | None = None  # since it was given back last
        self._empty: Session | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """A network runs as long as the context lasts."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._ran_s = self._clock()

    def let_go(self) -> bool:
        """Give it back where no network ran for RESTS_S; whether it was. Blocks for a millisecond then."""
        with self._lock:
            if self._running or self._ran_s is None or self._clock() - self._ran_s < RESTS_S:
                return False
            self._ran_s = None
            if self._empty is None:
                self._empty = open_session(_EMPTY)
            options = onnxruntime_module().RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
            self._empty.run(None, {"x": np.zeros(1, np.float32)}, options)
            return True


ARENA = Arena()


def try_run(session: Session, feed: Mapping[str, F32]) -> list[F32] | None:
    """The raw outputs, or None where ONNX Runtime can't run the network on this."""
    try:
        return session.run(None, feed)
    except refusals():
        return None
