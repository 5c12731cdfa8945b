"""Devices by name: what may be asked for (`auto`, `cpu`, `cuda`, `cuda:N`), and how many GPUs CUDA sees here.

N counts as CUDA does: where CUDA_VISIBLE_DEVICES hides cards, those that are left are numbered from 0 on.
"""

import ctypes
import os
import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

_NAME = re.compile(r"auto|cpu|cuda(:\d{1,2})?")
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


def _known(device: str) -> str:
    if not _NAME.fullmatch(device):
        raise PydanticCustomError("device", "want auto, cpu, cuda or cuda:N, N the number of a GPU, from 0 on")
    return device


Device = Annotated[str, AfterValidator(_known)]


def wanted_device(policy: str, asked: str) -> str:
    """Where a model is to run: as its spec's policy says, else as was asked; `cuda` is the first GPU."""
    wanted = policy if policy != "auto" else asked
    return f"cuda:{gpu_number(wanted)}" if wanted.startswith("cuda") else wanted


def gpu_number(device: str) -> int:
    """Which GPU a device's name means; `cuda` and `auto` mean the first."""
    return int(device.partition(":")[2] or 0)


def count_gpus() -> int | None:
    """How many GPUs CUDA sees; None where its driver can't be asked."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count = ctypes.c_int(0)
    started = cuda.cuInit(0)
    if started == _NO_DEVICE:
        return 0
    if started or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return None
    return count.value


def missing_gpu(number: int, count: int | None) -> str | None:
    """Why GPU `number` of `count` can't be had, or None where nothing speaks against it."""
    if count is None or number < count:
        return None
    if not count:
        return "CUDA sees no GPU"
    return f"there is no GPU {number}: CUDA sees {count}, {'cuda:0' if count == 1 else f'cuda:0 to cuda:{count - 1}'}"


def usable_cores() -> int:
    """How many cores this process may use: its CPU affinity, and a container's CPU quota (rounded up)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, -(-int(quota) // int(period))))
