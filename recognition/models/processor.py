"""The processor: its name, the instruction sets that count here, and whether int8 sums are exact. Any thread; cheap."""

import platform
from dataclasses import dataclass
from pathlib import Path

import cv2

from recognition.models.int8_forms import saturates
from recognition.models.onnx_session import onnxruntime_module

# Numbers of cv::CpuFeatures, which Python has no names for. OpenCV asks the processor itself: /proc/cpuinfo is the
# host's where a processor is emulated.
_SETS = {
    "SSE4.1": 6,
    "SSE4.2": 7,
    "AVX": 10,
    "AVX2": 11,
    "AVX-512": 256,
    "AVX-512 VNNI": 23,
    "NEON": 100,
    "NEON dot product": 101,
}
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Processor:
    """`sets`: the instruction sets that it has, of those that matter here. `exact_int8`: no sums of theirs saturate."""

    name: str
    machine: str
    sets: tuple[str, ...]
    onnxruntime: str
    exact_int8: bool

    def __str__(self) -> str:
        int8 = "int8 sums are exact" if self.exact_int8 else "no VNNI: int8 sums would saturate, so exact forms run"
        return f"{self.name}, {self.machine} ({', '.join(self.sets)}), ONNX Runtime {self.onnxruntime}, {int8}"


def this_processor() -> Processor:
    """The one that this runs on. Raises UnsupportedRuntime where no ONNX Runtime is installed."""
    sets = tuple(name for name, number in _SETS.items() if cv2.checkHardwareSupport(number))
    version = str(onnxruntime_module().__version__)
    return Processor(_name(), platform.machine(), sets, version, not saturates())


def _name() -> str:
    try:
        lines = _CPUINFO.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(named, "") or platform.processor() or "unknown processor"
