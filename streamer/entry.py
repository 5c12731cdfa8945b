"""Where `whosthere` starts: before anything is imported that this processor may be unable to run.

Packages with machine code are made for processors with certain instructions, and end the process without a word on
others. Where a processor is without AVX, a child tries them first: three quarters of a second, there alone.
"""

import ctypes
import importlib
import os
import platform
import signal
import sys
from collections.abc import Sequence

# Those of the core and of the extra `cpu`; numpy first, since most of the others import it.
NATIVE = ("numpy", "cv2", "av", "lap", "uvloop", "orjson", "pydantic_core", "onnxruntime", "onnx", "faiss")
_KERNELS = "OPENBLAS_CORETYPE"  # numpy's and faiss's: one processor's kernels, whatever processor this is
# For 2^N ticks OpenBLAS' threads spin after each product, in wait of another; 2^26 unless it is told before numpy is
# imported. Beside networks, which want every core, that was up to 0.8 ms of CPU for each photo enrolled.
_SPIN = ("OPENBLAS_THREAD_TIMEOUT", "4")
# A service has threads of its own on every core: a product shared with another waits for that one to get a core, and
# spins meanwhile. Re-ranking of 200 candidates took 7 ms of CPU so on busy cores, and takes 4.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "1")
# pydantic looks for plugins in the metadata of every installed package; this program has none.
_NO_PLUGINS = ("PYDANTIC_DISABLE_PLUGINS", "__all__")
_LEAF_1, _ECX = 0, 2
_AVX = 1 << 28


class _Leaf(ctypes.Structure):
    """glibc's struct cpuid_feature: what the processor has, and what of it can be used here."""

    _fields_ = (("has", ctypes.c_uint * 4), ("usable", ctypes.c_uint * 4))


def main() -> None:
    """Run the command line, or say in one line which package can't run on this processor."""
    if not has_avx():
        broken = first_broken(NATIVE)
        if broken is not None:
            way_out = "install a build of it for this processor, or use another machine"
            if _KERNELS in os.environ:
                way_out = f"{_KERNELS} is set, which chooses them on any processor: unset it"
            sys.stderr.write(
                f"whosthere: the installed {broken} needs instructions that this processor lacks: it is without AVX "
                f"(and perhaps without SSE4.2, the least that is needed); {way_out} [unsupported_runtime]\n"
            )
            sys.exit(1)
    os.environ.setdefault(*_SPIN)
    os.environ.setdefault(*_NO_PLUGINS)
    if "serve" in sys.argv:
        os.environ.setdefault(*_ONE_THREAD)
    try:
        from streamer.commands import main as run
    except KeyboardInterrupt:  # a second or more goes by while all of it is loaded
        sys.exit(130)
    run()


def has_avx() -> bool:
    """Whether it can be used here; True too where it can't be asked about (no x86, a glibc before 2.33)."""
    if platform.machine() != "x86_64":
        return True
    try:
        leaf = ctypes.CDLL(None).__x86_get_cpuid_feature_leaf
    except (AttributeError, OSError):
        return True
    leaf.restype = ctypes.POINTER(_Leaf)
    return bool(leaf(_LEAF_1).contents.usable[_ECX] & _AVX)


def first_broken(modules: Sequence[str]) -> str | None:
    """The first of these whose import ends a process by an illegal instruction; one that is missing is none."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        _import_all(modules, writes)
    os.close(writes)
    with os.fdopen(reads, encoding="ascii") as told:
        tried = told.read().split()
    _, status = os.waitpid(child, 0)
    return tried[-1] if tried and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGILL else None


def _import_all(modules: Sequence[str], writes: int) -> None:
    """In the child, which never returns: name each before it is imported."""
    try:
        for name in modules:
            os.write(writes, f"{name}\n".encode())
            try:
                importlib.import_module(name)
            except ImportError:
                continue
    finally:
        os._exit(0)
