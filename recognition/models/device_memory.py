"""What memory is free: the machine's counters in, MiB by device (`cpu`, `cuda:0`, ...) out.

Blocks for microseconds (NVML) or a few small files (RAM); may be called on any thread. Other programs' memory counts:
what is free is what the card or the kernel says, not what this process believes.
"""

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

import psutil

MIB = 2**20


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """A device's memory in MiB; `free`: what a program could take now."""

    free_mib: float
    total_mib: float


class MemoryReader(Protocol):
    """Reads the memory of some devices."""

    def read(self) -> Mapping[str, DeviceMemory]:
        """Every device that is there now; one that is gone is left out. Raises nothing."""
        ...


class JoinedReader:
    """Several readers as one: `JoinedReader(RamReader(), NvmlReader())` reads the whole machine."""

    def __init__(self, *readers: MemoryReader) -> None:
        self._readers = readers

    def read(self) -> dict[str, DeviceMemory]:
        return {device: memory for reader in self._readers for device, memory in reader.read().items()}


class RamReader:
    """RAM as `cpu`: what the kernel calls available, and no more than the process's cgroups leave (versions 1 and 2).

    A cgroup's page cache that nobody used lately (inactive_file) counts as free, as the kernel would give it up.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        """`root`: where proc/ and sys/ lie."""
        self._root = root
        self._last: dict[str, DeviceMemory] | None = None

    def read(self) -> dict[str, DeviceMemory]:
        """Where it can't be read now (too many open files), the last reading. Raises OSError where there is none."""
        try:
            self._last = self._read()
        except OSError:
            if self._last is None:
                raise
        return self._last

    def _read(self) -> dict[str, DeviceMemory]:
        machine = psutil.virtual_memory()
        free, total = machine.available, machine.total
        for limit, used in _cgroup_limits(self._root):
            free = min(free, max(0, limit - used))
            total = min(total, limit)
        return {"cpu": DeviceMemory(free / MIB, total / MIB)}


class NvmlReader:
    """NVIDIA GPUs as `cuda:0`, `cuda:1`, ...; none, and no error, without nvidia-ml-py, a driver or a GPU.

    `missing` says in words why there is none. NVML counts GPUs by PCI bus, CUDA by speed unless CUDA_DEVICE_ORDER
    is PCI_BUS_ID when it starts: on a machine with unlike GPUs whoever loads CUDA has to set that.
    """

    def __init__(self, visible: str | None = None, nvml: ModuleType | None = None) -> None:
        """`visible`: the value of CUDA_VISIBLE_DEVICES, None where it is not set.

        `nvml`: the module pynvml; None: the installed one.
        """
        self.missing: str | None = None
        self._nvml: ModuleType | None = None
        self._handles: list[object] = []
        try:
            nvml = importlib.import_module("pynvml") if nvml is None else nvml
        except ImportError:
            self.missing = "nvidia-ml-py is not installed (it comes with 'whosthere[gpu]')"
            return
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            self.missing = f"NVML did not start ({error})"
            return
        self._nvml = nvml
        self._handles = _visible_handles(nvml, visible)
        if not self._handles:
            self.missing = "NVML knows no GPU" if visible is None else f"CUDA_VISIBLE_DEVICES is {visible!r}"

    def read(self) -> dict[str, DeviceMemory]:
        found: dict[str, DeviceMemory] = {}
        nvml = self._nvml
        if nvml is None:
            return found
        for number, handle in enumerate(self._handles):
            try:
                memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            except nvml.NVMLError:
                continue  # fallen off the bus, or the driver was unloaded: not there, so nothing is put on it
            found[f"cuda:{number}"] = DeviceMemory(memory.free / MIB, memory.total / MIB)
        return found

    def own_mib(self) -> dict[str, float]:
        """What this process holds, by device; a device is left out where it holds nothing or NVML does not tell."""
        found: dict[str, float] = {}
        nvml = self._nvml
        if nvml is None:
            return found
        for number, handle in enumerate(self._handles):
            try:
                holders = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
            except nvml.NVMLError:
                continue
            own = [holder.usedGpuMemory for holder in holders if holder.pid == os.getpid()]
            if own and None not in own:
                found[f"cuda:{number}"] = sum(own) / MIB
        return found

    def names(self) -> dict[str, str]:
        """What the cards are called, by device."""
        found: dict[str, str] = {}
        nvml = self._nvml
        if nvml is None:
            return found
        for number, handle in enumerate(self._handles):
            with suppress(nvml.NVMLError):
                found[f"cuda:{number}"] = str(nvml.nvmlDeviceGetName(handle))
        return found

    def close(self) -> None:
        """Let go of NVML; read() knows no GPU any more."""
        if self._nvml is not None:
            self._handles = []
            nvml, self._nvml = self._nvml, None
            nvml.nvmlShutdown()


def _visible_handles(nvml: ModuleType, visible: str | None) -> list[object]:
    """The GPUs that CUDA would see, in its order: by index or (the start of) a UUID, up to the first wrong one."""
    try:
        everything = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
        if visible is None:
            return everything
        uuids = [str(nvml.nvmlDeviceGetUUID(handle)) for handle in everything]
    except nvml.NVMLError:
        return []
    chosen: list[object] = []
    for entry in (part.strip() for part in visible.split(",")):
        if entry.startswith("MIG-"):
            try:
                chosen.append(nvml.nvmlDeviceGetHandleByUUID(entry))
            except nvml.NVMLError:
                break
            continue
        number = _index_of(entry, uuids)
        if number is None:
            break
        chosen.append(everything[number])
    return chosen


def _index_of(entry: str, uuids: Sequence[str]) -> int | None:
    if entry.isdecimal():
        return int(entry) if int(entry) < len(uuids) else None
    found = [number for number, uuid in enumerate(uuids) if entry.startswith("GPU-") and uuid.startswith(entry)]
    return found[0] if len(found) == 1 else None


def _cgroup_limits(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes of each cgroup above this process that has a limit on its memory."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # Inside a container the path may be the host's, which is not mounted: then the mount's root is the cgroup.
        parts = [] if ".." in path else path.strip("/").split("/")
        for depth in range(len(parts), -1, -1):
            folder = base.joinpath(*parts[:depth])
            limit, used = _number(folder / names[0]), _number(folder / names[1])
            if limit is not None and used is not None:
                yield limit, max(0, used - _stat(folder / "memory.stat", names[2]))


def _number(file: Path) -> int | None:
    """None where the file is not there or says `max`."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _stat(file: Path, key: str) -> int:
    try:
        rows = (line.split() for line in file.read_text(encoding="ascii").splitlines())
        return next((int(row[1]) for row in rows if row[0] == key), 0)
    except (OSError, ValueError, IndexError):
        return 0
