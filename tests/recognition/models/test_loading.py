"""What a load needs, takes and leaves: with models that take as much of a scripted GPU as the test says."""

import ctypes
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from recognition.errors import (
    EmbeddingSpaceMismatch,
    InsufficientGpuMemory,
    InsufficientMemory,
    RunnerDead,
    SelfTestFailed,
)
from recognition.models.manager import ModelManager
from recognition.models.model_cache import Lease
from recognition.specs.spec import EmbedderSpec
from tests.recognition.scripted_provider import (
    CountedMemory,
    ScriptedProvider,
    ScriptedTensors,
    scripted_spec,
    write_space,
)

NAMES = ("a", "b", "c", "d")
ONE = {"cpu": [1], "cuda": [1]}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_space(tmp_path_factory.mktemp("spaces"))


class Bench:
    """A GPU of so many MiB, scripted models a to d that take 100 each, and their manager."""

    def __init__(self, space: Path, total_mib: int = 1000, item_mib: int = 0, **changes: object) -> None:
        self.memory = CountedMemory(cpu=8000, cuda_0=total_mib)
        self.provider = ScriptedProvider(self.memory, item_mib=item_mib)
        specs = {name: scripted_spec(name, **changes) for name in NAMES}
        self.manager = ModelManager([], specs=specs, spaces=space, providers=[self.provider], reader=self.memory)

    def lease(self, name: str, need_mib: float | None = None, bucket: int | None = None) -> Lease[EmbedderSpec]:
        spec = self.manager.spec_of(name, EmbedderSpec)
        return self.manager.lease(spec, "cuda:0", bucket=bucket, need_mib=need_mib)

    @property
    def names(self) -> list[str]:
        """The models in memory."""
        return [runner.name for runner in self.manager.loaded()]

    @property
    def held(self) -> dict[str, float]:
        return {holding.owner: holding.held_mib for holding in self.manager.ledger.holdings()}


@pytest.fixture
def bench(space: Path) -> Callable[..., Bench]:
    return lambda *numbers, **changes: Bench(space, *numbers, **{"batch_buckets": ONE, **changes})


# What is held.


def test_what_a_load_took_is_what_is_held(bench):
    gpu = bench()
    gpu.provider.mib["a"] = 180
    gpu.lease("a", need_mib=150)
    assert gpu.held == {"a": 180}
    assert gpu.manager.ledger.room_mib()["cuda:0"] == 820


def test_what_is_needed_is_promised_while_it_loads(bench):
    """So that nobody else counts on it."""
    gpu = bench()
    gpu.provider.gate.clear()
    with ThreadPoolExecutor(1) as threads:
        loads = threads.submit(gpu.lease, "a", 400)
        assert gpu.provider.loading.acquire(timeout=30)
        assert gpu.manager.ledger.room_mib()["cuda:0"] == 600
        gpu.provider.gate.set()
        loads.result(timeout=30)
    assert gpu.manager.ledger.room_mib()["cuda:0"] == 900


def test_what_is_unloaded_meanwhile_does_not_count(bench):
    gpu = bench()
    used = gpu.lease("b")
    gpu.provider.gate.clear()
    with ThreadPoolExecutor(1) as threads:
        while gpu.provider.loading.acquire(blocking=False):
            pass
        loads = threads.submit(gpu.lease, "a")
        assert gpu.provider.loading.acquire(timeout=30)
        used.release(unload=True)
        gpu.provider.gate.set()
        loads.result(timeout=30)
    assert gpu.held == {"a": 100}


def test_ram_is_what_this_process_took(space):
    kept = []
    # What earlier tests left to be given back would be given back meanwhile, and hide what is taken.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)

    def fill(tensors: ScriptedTensors) -> None:
        kept.append(np.ones(256 * 2**20 // 8))  # 256 MiB

    provider = ScriptedProvider()
    provider.spoil = fill
    manager = ModelManager(
        [], specs={"a": scripted_spec("a")}, spaces=space, providers=[provider], reader=CountedMemory(cpu=8000)
    )
    manager.get("a", "cpu")
    (holding,) = manager.ledger.holdings()
    assert (holding.device, kept[0].nbytes) == ("cpu", 256 * 2**20)
    assert 128 < holding.held_mib < 512


def test_what_auto_put_on_the_cpu_is_held_there(space):
    """A GPU that is there, and that the model could not be loaded on: the promise there is given back."""
    memory = CountedMemory(cpu=8000, cuda_0=1000)
    provider = ScriptedProvider(memory)
    provider.spoil = lambda tensors: setattr(tensors, "device", "cpu")
    manager = ModelManager([], specs={"a": scripted_spec("a")}, spaces=space, providers=[provider], reader=memory)
    manager.lease(manager.spec_of("a", EmbedderSpec), need_mib=300)
    assert [(holding.owner, holding.device) for holding in manager.ledger.holdings()] == [("a", "cpu")]
    assert [holding.promised_mib for holding in manager.ledger.holdings()] == [0]


def test_a_device_that_is_lost_while_a_model_loads(space):
    class Losing(CountedMemory):
        def read(self):
            read = super().read()
            return {"cpu": read["cpu"]} if self.ours["cuda:0"] else read

    memory = Losing(cpu=8000, cuda_0=1000)
    provider = ScriptedProvider(CountedMemory(cpu=8000, cuda_0=1000))
    provider.spoil = lambda tensors: memory.ours.update({"cuda:0": 1})
    manager = ModelManager([], specs={"a": scripted_spec("a")}, spaces=space, providers=[provider], reader=memory)
    manager.get("a", "cuda:0")
    assert [holding.held_mib for holding in manager.ledger.holdings()] == [0]


# Room.


def test_the_least_recently_used_goes_first_and_only_as_many_as_needed(bench):
    gpu = bench(350)
    for name in ("a", "b", "c"):
        gpu.lease(name, need_mib=100).release()
    gpu.lease("a").release()  # now b is the one whose last use is longest ago
    gpu.lease("d", need_mib=100).release()
    assert gpu.names == ["a", "c", "d"]
    gpu.lease("b", need_mib=200).release()
    assert gpu.names == ["d", "b"]


def test_what_is_leased_never_goes(bench):
    gpu = bench(350)
    used = gpu.lease("a", need_mib=100)
    gpu.lease("b", need_mib=100).release()
    gpu.lease("c", need_mib=200)
    assert gpu.names == ["a", "c"]
    assert used.runner.why_not() is None


def test_where_nothing_fits_it_is_not_tried_and_told_who_has_the_memory(bench):
    gpu = bench(400)
    used = gpu.lease("a", need_mib=100)
    gpu.lease("b", need_mib=100).release()
    with pytest.raises(
        InsufficientGpuMemory,
        match=r"^model c needs 350 MiB on cuda:0, 300 MiB can be had \(this service has there: a 100 MiB, b 100 MiB\)",
    ):
        gpu.lease("c", need_mib=350)
    assert gpu.provider.loads["c", "cuda:0"] == 0
    assert gpu.names == ["a", "b"], "what would not have been enough stays"
    used.release()
    gpu.lease("c", need_mib=350)


def test_other_programs_memory_counts(bench):
    gpu = bench(1000)
    gpu.memory.others["cuda:0"] = 950
    with pytest.raises(InsufficientGpuMemory):
        gpu.lease("a", need_mib=100)
    gpu.memory.others["cuda:0"] = 0
    gpu.lease("a", need_mib=100)


def test_ram_that_is_too_little_has_its_own_code(bench):
    gpu = bench()
    spec = gpu.manager.spec_of("a", EmbedderSpec)
    with pytest.raises(InsufficientMemory, match="needs 8001 MiB on cpu") as refused:
        gpu.manager.lease(spec, "cpu", need_mib=8001)
    assert refused.value.code == "insufficient_memory"


def test_a_need_that_nobody_knows_is_tried(bench):
    gpu = bench(120)
    used = gpu.lease("a")
    assert gpu.held == {"a": 100}
    with pytest.raises(InsufficientGpuMemory, match="model b: out of memory on cuda:0"):
        gpu.lease("b")
    assert gpu.names == ["a"]
    assert gpu.memory.ours["cuda:0"] == 100
    used.release()
    gpu.lease("b")


def test_a_load_that_runs_out_of_memory_lets_idle_models_go_one_by_one(bench):
    gpu = bench(350)
    gpu.provider.mib["d"] = 200
    for name in ("a", "b", "c"):
        gpu.lease(name).release()
    gpu.lease("d")
    assert gpu.names == ["c", "d"]
    assert gpu.provider.loads["d", "cuda:0"] == 3


def test_a_device_that_nobody_reads_is_left_to_the_load(bench):
    gpu = bench()
    lease = gpu.manager.lease(gpu.manager.spec_of("a", EmbedderSpec), "cuda:7", need_mib=10_000)
    assert lease.runner.device == "cuda:7"


# Batches.


def test_a_model_is_warm_for_the_batches_that_were_asked_for_alone(bench):
    gpu = bench(1000, item_mib=10, batch_buckets={"cpu": [1], "cuda": [1, 2, 4, 8, 16, 32]})
    gpu.lease("a", bucket=1)
    assert max(gpu.provider.tensors[0].sizes) == 1
    assert gpu.held == {"a": 110}
    gpu.lease("b", bucket=8)
    assert max(gpu.provider.tensors[1].sizes) == 8
    gpu.lease("c")
    assert max(gpu.provider.tensors[2].sizes) == 32


def test_larger_batches_are_warmed_and_accounted_for_once(bench):
    gpu = bench(1000, item_mib=10, batch_buckets={"cpu": [1], "cuda": [1, 2, 4, 8, 16, 32]})
    for bucket, held_mib, again in (
        (8, 180, True),
        (2, 180, False),
        (32, 420, True),
        (32, 420, False),
        (None, 420, False),
        (64, 420, False),
    ):
        before = sum(len(tensors.sizes) for tensors in gpu.provider.tensors)
        with gpu.lease("a", bucket=bucket):
            assert gpu.held == {"a": held_mib}
        assert (len(gpu.provider.tensors[0].sizes) > before) == again
    assert gpu.provider.loads == {("a", "cuda:0"): 1}


def test_many_threads_warm_it_once(bench):
    gpu = bench(1000, item_mib=10, batch_buckets={"cpu": [1], "cuda": [1, 8, 32]})
    gpu.lease("b", bucket=32).release(unload=True)
    gpu.lease("a", bucket=1)
    start = threading.Barrier(8)

    def larger(_: int) -> None:
        start.wait()
        gpu.lease("a", bucket=32).release()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(larger, range(8)))
    alone, shared = (tensors.sizes.count(32) for tensors in gpu.provider.tensors)
    assert alone == shared > 0
    assert gpu.held == {"a": 420}


def test_larger_batches_get_their_room_from_idle_models_or_are_refused(bench):
    gpu = bench(500, item_mib=10, batch_buckets={"cpu": [1], "cuda": [1, 8, 32]})
    used = gpu.lease("a", need_mib=110, bucket=1)
    gpu.lease("b", need_mib=110, bucket=1).release()
    with pytest.raises(InsufficientGpuMemory, match=r"model a needs 440 MiB .* 390 MiB can be had"):
        gpu.lease("a", need_mib=550, bucket=32)
    assert gpu.names == ["a", "b"]
    gpu.lease("a", need_mib=420, bucket=32)
    assert gpu.names == ["a"]
    assert gpu.held == {"a": 420}
    assert used.runner.why_not() is None


def test_batches_that_turn_out_too_large_leave_the_model_to_who_uses_it(bench):
    gpu = bench(200, item_mib=10, batch_buckets={"cpu": [1], "cuda": [1, 8, 32]})
    used = gpu.lease("a", bucket=1)
    with pytest.raises(InsufficientGpuMemory, match="model a: out of memory"):
        gpu.lease("a", bucket=32)
    assert gpu.held == {"a": 180}, "what the batch of 8 took before stays taken"
    assert [holding.users for holding in gpu.manager.ledger.holdings()] == [1]
    assert gpu.lease("a", bucket=8).runner is used.runner


def test_a_model_that_is_closed_while_it_is_warmed(bench):
    gpu = bench(batch_buckets={"cpu": [1], "cuda": [1, 8]})
    gpu.lease("a", bucket=1).release()
    (tensors,) = gpu.provider.tensors
    answer = tensors.answer

    def closing(batch: np.ndarray) -> np.ndarray:
        if not tensors.closed:
            gpu.manager.close()
        return answer(batch)

    tensors.answer = closing
    with pytest.raises(RunnerDead, match="model a: all models were closed"):
        gpu.lease("a", bucket=8)
    assert gpu.held == {}


# Failures leave nothing behind.


def nothing(tensors: ScriptedTensors) -> None:
    tensors.answer = lambda batch: np.full((len(batch), 8), np.nan, np.float32)


def another(tensors: ScriptedTensors) -> None:
    tensors.answer = lambda batch: batch.mean(axis=(2, 3)) @ np.ones((3, 8), np.float32)


def interrupted(tensors: ScriptedTensors) -> None:
    tensors.failing = KeyboardInterrupt()


@pytest.mark.parametrize(
    ("spoil", "error"), [(nothing, SelfTestFailed), (another, EmbeddingSpaceMismatch), (interrupted, KeyboardInterrupt)]
)
def test_what_fails_its_tests_is_closed_and_its_promise_given_back(bench, spoil, error):
    gpu = bench(300)
    gpu.provider.spoil = spoil
    with pytest.raises(error):
        gpu.lease("a", need_mib=250)
    assert gpu.provider.open == []
    assert (gpu.held, gpu.names, gpu.memory.ours["cuda:0"]) == ({}, [], 0)
    gpu.provider.spoil = lambda tensors: None
    gpu.lease("a", need_mib=250)


def test_loads_come_one_after_another_so_that_each_has_its_own_figure(bench):
    gpu = bench()
    gpu.provider.mib.update(a=100, b=200, c=300)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(gpu.lease, ("a", "b", "c")))
    assert gpu.held == {"a": 100, "b": 200, "c": 300}
