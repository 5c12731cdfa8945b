"""Promises add up, whoever makes them; what is taken is not counted twice; what is in use stays."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from recognition.errors import InsufficientGpuMemory, InsufficientMemory, UnsupportedRuntime
from recognition.models.ledger import Holding, Ledger, Reservation
from tests.recognition.scripted_memory import ScriptedMemory


def load(ledger: Ledger, memory: ScriptedMemory, owner: str, mib: float, device: str = "cuda:0") -> Reservation:
    """As a manager would: reserve, load, measure."""
    with ledger.reserve(owner, device, mib) as reservation:
        memory.ours[device] += int(mib)
        reservation.settle(mib)
    return reservation


def test_a_promise_counts_until_it_is_settled_and_the_reader_sees_it():
    memory = ScriptedMemory(cuda_0=1000, cpu=500)
    ledger = Ledger(memory)

    with ledger.reserve("r100", "cuda:0", 600) as reservation:
        assert ledger.room_mib() == {"cuda:0": 400, "cpu": 500}
        memory.ours["cuda:0"] = 640
        reservation.settle(640)
        assert ledger.room_mib()["cuda:0"] == 360

    assert ledger.holdings() == [Holding("r100", "cuda:0", 640, 0, 0)]


def test_a_load_that_does_not_settle_or_fails_gives_back():
    ledger = Ledger(ScriptedMemory(cuda_0=1000))

    with ledger.reserve("r100", "cuda:0", 600):
        pass
    with pytest.raises(MemoryError), ledger.reserve("r100", "cuda:0", 600) as reservation:  # noqa: PT012
        reservation.settle(600)
        raise MemoryError

    assert ledger.room_mib() == {"cuda:0": 1000}
    assert ledger.holdings() == []
    with pytest.raises(RuntimeError, match="given back"):
        reservation.settle(600)


def test_what_does_not_fit_is_refused_with_who_has_the_memory():
    memory = ScriptedMemory(cuda_0=1000, cpu=100)
    ledger = Ledger(memory)
    load(ledger, memory, "scrfd", 150)

    with ledger.reserve("r100", "cuda:0", 600):
        with pytest.raises(InsufficientGpuMemory) as refused, ledger.reserve("mbf", "cuda:0", 251):
            pass
        with ledger.reserve("mbf", "cuda:0", 250):
            pass

    assert refused.value.code == "insufficient_gpu_memory"
    for part in ("mbf needs 251 MiB on cuda:0", "250 MiB can be had", "scrfd 150 MiB", "r100 600 MiB (loading)"):
        assert part in str(refused.value)


def test_ram_is_refused_under_a_code_of_its_own():
    ledger = Ledger(ScriptedMemory(cpu=100))

    with pytest.raises(InsufficientMemory, match="nothing") as refused, ledger.reserve("mbf", "cpu", 101):
        pass
    assert refused.value.code == "insufficient_memory"


def test_a_device_that_is_not_there():
    ledger = Ledger(ScriptedMemory(cpu=100, cuda_0=100))

    with pytest.raises(UnsupportedRuntime, match="cuda:3: is not there; the devices are cpu, cuda:0"):
        ledger.to_evict("cuda:3", 1)
    with pytest.raises(UnsupportedRuntime), ledger.reserve("mbf", "cuda:3", None):
        pass


def test_a_need_that_nobody_measured_promises_nothing_and_settles_to_what_was_found():
    memory = ScriptedMemory(cuda_0=100)
    ledger = Ledger(memory)

    with ledger.reserve("mbf", "cuda:0", None) as reservation:
        assert ledger.room_mib() == {"cuda:0": 100}
        reservation.settle(40)

    assert ledger.holdings() == [Holding("mbf", "cuda:0", 40, 0, 0)]


def test_larger_batches_are_promised_before_they_are_tried():
    memory = ScriptedMemory(cuda_0=1000)
    ledger = Ledger(memory)
    r100 = load(ledger, memory, "r100", 600)

    with pytest.raises(InsufficientGpuMemory), r100.grow(1001):
        pass
    with r100.grow(900):
        assert ledger.room_mib() == {"cuda:0": 100}
        assert not r100.retire()
    assert ledger.room_mib() == {"cuda:0": 400}
    with r100.grow(900):
        memory.ours["cuda:0"] = 880
        r100.settle(880)
    assert ledger.room_mib() == {"cuda:0": 120}
    assert r100.holding().held_mib == 880


def test_the_least_recently_used_goes_first_and_only_as_many_as_needed():
    memory = ScriptedMemory(cuda_0=1000, cpu=1000)
    ledger = Ledger(memory)
    first, second, third = (load(ledger, memory, name, 300) for name in ("a", "b", "c"))
    load(ledger, memory, "on the cpu", 300, "cpu")

    assert ledger.to_evict("cuda:0", 100) == []
    assert ledger.to_evict("cuda:0", 101) == [first]
    with first.in_use():
        pass
    assert ledger.to_evict("cuda:0", 101) == [second]
    assert ledger.to_evict("cuda:0", 500) == [second, third]


def test_what_is_in_use_or_loading_is_never_named_nor_retired():
    memory = ScriptedMemory(cuda_0=1000)
    ledger = Ledger(memory)
    used, idle = load(ledger, memory, "used", 400), load(ledger, memory, "idle", 300)

    with used.in_use(), ledger.reserve("loading", "cuda:0", 100):
        assert ledger.to_evict("cuda:0", 500) == [idle]
        with pytest.raises(InsufficientGpuMemory, match="500 MiB can be had"):
            ledger.to_evict("cuda:0", 501)
        assert not used.retire()
    assert used.retire()
    assert not used.retire(), "it is gone already"
    with pytest.raises(RuntimeError, match="given back"), used.in_use():
        pass
    assert [holding.owner for holding in ledger.holdings()] == ["idle"]


def test_many_threads_are_never_promised_more_than_there_is():
    memory = ScriptedMemory(cuda_0=1000)
    ledger = Ledger(memory)
    start = threading.Barrier(16, timeout=10)
    decided = threading.Barrier(16, timeout=10)

    def one(number: int) -> bool:
        start.wait()
        try:
            with ledger.reserve(f"model {number}", "cuda:0", 300):
                decided.wait()
        except InsufficientGpuMemory:
            decided.wait()
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(one, range(16))) == 3
    assert ledger.room_mib() == {"cuda:0": 1000}
