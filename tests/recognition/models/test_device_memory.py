"""What the readers make of cgroup files of both versions, and of NVML with GPUs, without, and with some gone."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from recognition.models.device_memory import DeviceMemory, JoinedReader, NvmlReader, RamReader
from tests.recognition.scripted_memory import ScriptedMemory

MIB = 2**20
NO_LIMIT = 2**63 - 4096


def write(root: Path, files: dict[str, str | int]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")


def test_without_cgroups_it_is_what_the_kernel_says(tmp_path: Path):
    memory = RamReader(tmp_path).read()["cpu"]

    assert memory.total_mib == psutil.virtual_memory().total / MIB
    assert 0 < memory.free_mib <= memory.total_mib


def test_the_real_machine_is_read():
    memory = RamReader().read()["cpu"]

    assert 0 < memory.free_mib <= memory.total_mib <= psutil.virtual_memory().total / MIB


def test_version_2_limits_and_unused_page_cache_counts_as_free(tmp_path: Path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/box/service",
            "sys/fs/cgroup/box/service/memory.max": 64 * MIB,
            "sys/fs/cgroup/box/service/memory.current": 50 * MIB,
            "sys/fs/cgroup/box/service/memory.stat": f"anon 1\ninactive_file {10 * MIB}",
            "sys/fs/cgroup/box/memory.max": "max",
            "sys/fs/cgroup/box/memory.current": 60 * MIB,
        },
    )

    assert RamReader(tmp_path).read() == {"cpu": DeviceMemory(24, 64)}


def test_a_limit_above_the_process_counts_too(tmp_path: Path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/box/service",
            "sys/fs/cgroup/box/service/memory.max": "max",
            "sys/fs/cgroup/box/service/memory.current": 50 * MIB,
            "sys/fs/cgroup/box/memory.max": 64 * MIB,
            "sys/fs/cgroup/box/memory.current": 80 * MIB,
        },
    )

    assert RamReader(tmp_path).read() == {"cpu": DeviceMemory(0, 64)}


@pytest.mark.parametrize("path", ["/docker/8c1f", "/../other", "/"])
def test_version_1_in_a_container_where_the_hosts_path_is_not_mounted(tmp_path: Path, path: str):
    write(
        tmp_path,
        {
            "proc/self/cgroup": f"9:cpuset:/\n4:cpu,memory:{path}\n0::/",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": 48 * MIB,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 20 * MIB,
            "sys/fs/cgroup/memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {4 * MIB}",
        },
    )

    assert RamReader(tmp_path).read() == {"cpu": DeviceMemory(32, 48)}


@pytest.mark.parametrize("limit", [NO_LIMIT, "nonsense", ""])
def test_no_limit_is_none(tmp_path: Path, limit: str | int):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": limit,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 20 * MIB,
        },
    )

    assert RamReader(tmp_path).read()["cpu"].total_mib == psutil.virtual_memory().total / MIB


class NvmlError(Exception):
    pass


class FakeNvml(ModuleType):
    """What is used of pynvml: two GPUs (of 80 and 16 GiB) and a MIG slice; `broken`: the calls that fail."""

    NVMLError = NvmlError
    UUIDS = ("GPU-aaaa-1", "GPU-bbbb-2")

    def __init__(self, gpus: int = 2, broken: tuple[str, ...] = ()) -> None:
        super().__init__("pynvml")
        self.gpus, self.broken, self.open = gpus, broken, False

    def _call(self, name: str) -> None:
        if name in self.broken:
            raise NvmlError(f"{name} failed")
        assert self.open or name == "init"

    def nvmlInit(self) -> None:
        self._call("init")
        self.open = True

    def nvmlShutdown(self) -> None:
        self._call("shutdown")
        self.open = False

    def nvmlDeviceGetCount(self) -> int:
        self._call("count")
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        self._call("handle")
        return self.UUIDS[index]

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return handle

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "MIG-cccc":
            raise NvmlError("not found")
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        self._call(handle)
        total, free = {"GPU-aaaa-1": (80, 30), "GPU-bbbb-2": (16, 15), "MIG-cccc": (10, 9)}[handle]
        return SimpleNamespace(total=total * 1024 * MIB, free=free * 1024 * MIB)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        self._call(handle)
        own = {"GPU-aaaa-1": [300 * MIB, 20 * MIB], "GPU-bbbb-2": [None]}.get(handle, [])
        mine = [SimpleNamespace(pid=os.getpid(), usedGpuMemory=used) for used in own]
        return [SimpleNamespace(pid=os.getpid() + 1, usedGpuMemory=7 * MIB), *mine]

    def nvmlDeviceGetName(self, handle: str) -> str:
        self._call(handle)
        return f"card {handle}"


LARGE, SMALL, SLICE = DeviceMemory(30720, 81920), DeviceMemory(15360, 16384), DeviceMemory(9216, 10240)


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        (None, [LARGE, SMALL]),
        ("0,1", [LARGE, SMALL]),
        ("1, 0", [SMALL, LARGE]),
        ("1", [SMALL]),
        ("GPU-bb", [SMALL]),
        ("MIG-cccc,0", [SLICE, LARGE]),
        ("MIG-dddd,0", []),
        ("1,7,0", [SMALL]),
        ("GPU-", []),
        ("-1", []),
        ("", []),
    ],
)
def test_gpus_are_numbered_as_cuda_numbers_them(visible: str | None, devices: list[DeviceMemory]):
    reader = NvmlReader(visible, FakeNvml())

    assert reader.read() == {f"cuda:{number}": memory for number, memory in enumerate(devices)}
    assert (reader.missing is None) == bool(devices)


@pytest.mark.parametrize("nvml", [FakeNvml(broken=("init",)), FakeNvml(broken=("count",)), FakeNvml(gpus=0)])
def test_no_driver_or_no_gpu_is_no_error(nvml: FakeNvml):
    reader = NvmlReader(None, nvml)

    assert reader.read() == {}
    assert reader.missing


def test_a_gpu_that_is_lost_is_left_out_and_keeps_the_others_numbers():
    nvml = FakeNvml()
    reader = NvmlReader(None, nvml)
    nvml.broken = ("GPU-aaaa-1",)

    assert reader.read() == {"cuda:1": SMALL}
    nvml.broken = ()
    assert list(reader.read()) == ["cuda:0", "cuda:1"]


def test_what_this_process_holds_is_left_out_where_it_is_nothing_or_not_told():
    nvml = FakeNvml()

    assert NvmlReader("0,1,MIG-cccc", nvml).own_mib() == {"cuda:0": 320.0}
    assert NvmlReader("1,0", nvml).own_mib() == {"cuda:1": 320.0}
    nvml.broken = ("GPU-aaaa-1",)
    assert NvmlReader(None, nvml).own_mib() == {}


def test_cards_have_names_by_device():
    nvml = FakeNvml()
    reader = NvmlReader("1,0", nvml)

    assert reader.names() == {"cuda:0": "card GPU-bbbb-2", "cuda:1": "card GPU-aaaa-1"}
    nvml.broken = ("GPU-bbbb-2",)
    assert reader.names() == {"cuda:1": "card GPU-aaaa-1"}


def test_after_close_there_is_no_gpu():
    nvml = FakeNvml()
    reader = NvmlReader(None, nvml)
    reader.close()
    reader.close()

    assert reader.read() == reader.own_mib() == reader.names() == {}
    assert not nvml.open


def test_without_the_library_the_reader_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)

    assert "nvidia-ml-py is not installed" in (NvmlReader().missing or "")


@pytest.mark.skipif(importlib.util.find_spec("pynvml") is None, reason="nvidia-ml-py is not installed")
def test_the_real_library_answers_on_this_machine_with_or_without_a_gpu():
    reader = NvmlReader()
    devices = reader.read()
    reader.close()

    assert bool(devices) == (reader.missing is None)
    assert all(0 <= memory.free_mib <= memory.total_mib for memory in devices.values())


def test_several_readers_are_read_as_one():
    joined = JoinedReader(ScriptedMemory(cpu=8000), ScriptedMemory(cuda_0=16000))

    assert joined.read() == {"cpu": DeviceMemory(8000, 8000), "cuda:0": DeviceMemory(16000, 16000)}


def test_memory_that_cannot_be_read_now_is_as_it_was(monkeypatch):
    reader = RamReader()

    def unreadable() -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as broken:
        broken.setattr("psutil.virtual_memory", unreadable)
        with pytest.raises(OSError, match="Too many open files"):
            reader.read()
    before = reader.read()
    monkeypatch.setattr("psutil.virtual_memory", unreadable)
    assert reader.read() == before
