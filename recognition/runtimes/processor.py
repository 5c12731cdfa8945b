"""The processor: its name, the instruction sets that count here, and whether int8 sums are exact. Any thread; cheap."""

import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recognition.errors import UnsupportedRuntime
from recognition.runtimes.int8_forms import saturates
from recognition.runtimes.onnx_session import onnxruntime_module

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
# Arm's cpuinfo has numbers alone; there the board's name is in the device tree.
_NAMES = ((Path("/proc/cpuinfo"), "model name"), (Path("/proc/device-tree/model"), ""))


@dataclass(frozen=True, slots=True)
class Processor:
    """`sets`: the instruction sets that it has, of those that matter here. `exact_int8`: no sums of theirs saturate.

    `onnxruntime` (its version) and `exact_int8` are None where ONNX Runtime or the onnx package is not installed.
    """

    name: str
    machine: str
    sets: tuple[str, ...]
    onnxruntime: str | None
    exact_int8: bool | None

    def __str__(self) -> str:
        what = f"{self.name}, {self.machine} ({', '.join(self.sets)})"
        if self.exact_int8 is None:
            return f"{what}, no ONNX Runtime with the onnx package"
        int8 = "int8 sums are exact" if self.exact_int8 else "no VNNI: int8 sums would saturate, so exact forms run"
        return f"{what}, ONNX Runtime {self.onnxruntime}, {int8}"


def this_processor() -> Processor:
    """The one that this runs on."""
    import cv2  # takes its time to import; most of who asks for the name alone do without

    sets = tuple(name for name, number in _SETS.items() if cv2.checkHardwareSupport(number))
    version, exact = None, None
    with suppress(UnsupportedRuntime):
        exact = not saturates()
        version = str(onnxruntime_module().__version__)
    return Processor(processor_name(), platform.machine(), sets, version, exact)


def processor_name() -> str:
    """What it, or the board that it is on, is called; `unknown` where nothing tells."""
    for file, mark in _NAMES:
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(mark):
                return (line.partition(":")[2] if mark else line).strip(" \t\0")
    return "unknown"
