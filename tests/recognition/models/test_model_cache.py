"""Many threads, one load; what is leased stays, whatever else happens: with a provider that does as it is told."""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from recognition.errors import InsufficientGpuMemory, RunnerDead, WeightsUnreadable
from recognition.models.manager import ModelManager
from recognition.specs.profile import BatchBuckets
from recognition.specs.spec import EmbedderSpec
from tests.recognition.scripted_provider import (
    CountedMemory,
    ScriptedProvider,
    face,
    scripted_spec,
    until_waited_for,
    write_space,
)

NAMES = ("a", "b", "c", "d")
Managers = Callable[..., ModelManager]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_space(tmp_path_factory.mktemp("spaces"))


@pytest.fixture
def made(space: Path) -> Managers:
    """A manager of scripted models a to d; memory None: a CPU of 8000 MiB."""

    def manager(provider: ScriptedProvider, memory: CountedMemory | None = None, **changes: object) -> ModelManager:
        specs = {name: scripted_spec(name, **changes) for name in NAMES}
        reader = memory or CountedMemory(cpu=8000)
        return ModelManager([], specs=specs, spaces=space, providers=[provider], reader=reader)

    return manager


# One load for all.


def test_sixteen_threads_get_one_load(made):
    provider = ScriptedProvider()
    provider.gate.clear()
    manager = made(provider)
    with ThreadPoolExecutor(16) as threads:
        asked = [threads.submit(manager.get, "a") for _ in range(16)]
        assert provider.loading.acquire(timeout=30)
        until_waited_for(manager, "a", 15)
        provider.gate.set()
        leases = [future.result(timeout=30) for future in asked]

    assert provider.loads == {("a", "auto"): 1}
    assert len({id(lease.runner) for lease in leases}) == 1
    assert [holding.users for holding in manager.ledger.holdings()] == [16]
    for lease in leases:
        lease.release()
    assert [holding.users for holding in manager.ledger.holdings()] == [0]
    assert len(provider.open) == 1, "it stays until its memory is needed"


def test_a_load_that_fails_is_everybodys_own_error_and_the_next_ask_loads_again(made):
    provider = ScriptedProvider()
    provider.gate.clear()
    provider.errors["a"] = [WeightsUnreadable("model a: scripted")]
    manager = made(provider)
    with ThreadPoolExecutor(16) as threads:
        asked = [threads.submit(manager.get, "a") for _ in range(16)]
        assert provider.loading.acquire(timeout=30)
        until_waited_for(manager, "a", 15)
        provider.gate.set()
        errors = [future.exception(timeout=30) for future in asked]

    assert {(type(error), str(error)) for error in errors} == {(WeightsUnreadable, "model a: scripted")}
    assert len({id(error) for error in errors}) == 16
    assert provider.loads["a", "auto"] == 1
    assert (manager.loaded(), manager.ledger.holdings()) == ([], [])
    assert manager.get("a").runner.why_not() is None
    assert provider.loads["a", "auto"] == 2


def test_a_bug_in_a_load_is_not_remembered_either(made):
    provider = ScriptedProvider()
    provider.errors["a"] = [ZeroDivisionError("a bug")]
    manager = made(provider)
    with pytest.raises(ZeroDivisionError):
        manager.get("a")
    assert (manager.loaded(), manager.ledger.holdings()) == ([], [])
    manager.get("a")


def test_who_waits_while_the_loader_is_interrupted_loads_it(made):
    """Ctrl-C is for the thread that got it."""
    provider = ScriptedProvider()
    provider.gate.clear()
    provider.errors["a"] = [KeyboardInterrupt()]
    manager = made(provider)
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(manager.get, "a")
        assert provider.loading.acquire(timeout=30)
        others = [threads.submit(manager.get, "a") for _ in range(3)]
        until_waited_for(manager, "a", 3)
        provider.gate.set()
        assert isinstance(first.exception(timeout=30), KeyboardInterrupt)
        runners = {id(future.result(timeout=30).runner) for future in others}

    assert len(runners) == 1
    assert provider.loads["a", "auto"] == 2


# Keys.


def test_two_devices_are_two_loads_and_cuda_is_the_first_gpu(made):
    provider = ScriptedProvider(CountedMemory(cpu=8000, cuda_0=8000, cuda_1=8000))
    manager = made(provider, CountedMemory(cpu=8000, cuda_0=8000, cuda_1=8000))
    leases = [manager.get("a", device) for device in ("cpu", "cuda", "cuda:0", "cuda:1", "cuda:1")]
    assert provider.loads == {("a", "cpu"): 1, ("a", "cuda:0"): 1, ("a", "cuda:1"): 1}
    assert [lease.runner.device for lease in leases] == ["cpu", "cuda:0", "cuda:0", "cuda:1", "cuda:1"]


@pytest.mark.parametrize("named_first", [True, False])
def test_auto_is_the_place_that_it_found(made, named_first):
    """Else a model that auto has put on a GPU would be loaded there once more by who names the GPU."""
    memory = CountedMemory(cpu=8000, cuda_0=8000)
    provider = ScriptedProvider(memory)
    manager = made(provider, memory)
    devices = ("cuda:0", "auto") if named_first else ("auto", "cuda:0")
    one, other = (manager.get("a", device) for device in devices)
    assert one.runner is other.runner
    assert manager.get("a", "cpu").runner is not one.runner
    assert sum(provider.loads.values()) == 2


def test_another_precision_or_preset_is_another_load(made):
    provider = ScriptedProvider()
    manager = made(provider)
    spec = scripted_spec("a")
    half = spec.model_copy(update={"precision": "fp16"})
    for changed in (spec, half, spec, half):
        manager.lease(changed)
    assert provider.loads["a", "auto"] == 2


def test_a_specs_device_policy_comes_first(made):
    provider = ScriptedProvider()
    manager = made(provider, device_policy="cpu")
    manager.get("a", "cuda:1")
    assert provider.loads == {("a", "cpu"): 1}


# Giving back.


def test_a_lease_released_twice_counts_once(made):
    manager = made(ScriptedProvider())
    one, other = manager.get("a"), manager.get("a")
    one.release()
    one.release(unload=True)
    assert [holding.users for holding in manager.ledger.holdings()] == [1]
    with other as runner:
        assert runner.predict_embeddings(face(90)[None]).any()
    one.release(unload=True)
    assert runner.why_not() is None, "who has given it back has no say any more"


def test_unloading_waits_for_the_last_user(made):
    provider = ScriptedProvider()
    manager = made(provider)
    one, other = manager.get("a"), manager.get("a")
    one.release(unload=True)
    assert len(provider.open) == 1
    assert manager.unload_idle("a", "b") == []
    other.release(unload=True)
    assert (provider.open, manager.loaded(), manager.ledger.holdings()) == ([], [], [])


def test_idle_models_go_when_they_are_named(made):
    provider = ScriptedProvider()
    manager = made(provider)
    for name in NAMES:
        manager.get(name).release()
    assert manager.unload_idle("b", "c") == ["b", "c"]
    assert [runner.name for runner in manager.loaded()] == ["a", "d"]


def test_a_lease_that_nobody_has_any_more_is_given_back(made):
    """Who asked was cancelled, while a thread loaded for it."""
    manager = made(ScriptedProvider())
    manager.get("a")
    gc.collect()
    assert [holding.users for holding in manager.ledger.holdings()] == [0]


def test_what_was_opened_is_kept(made):
    memory = CountedMemory(cpu=8000, cuda_0=250)
    manager = made(ScriptedProvider(memory), memory)
    opened = manager.open("a")
    gc.collect()
    assert manager.unload_idle("a") == []
    with pytest.raises(InsufficientGpuMemory):
        manager.lease(manager.spec_of("b", EmbedderSpec), need_mib=200)
    assert opened.why_not() is None


# Evicted, closed.


def test_what_was_evicted_before_a_waiter_came_is_loaded_again(made):
    provider = ScriptedProvider()
    manager = made(provider)
    manager.get("a").release()
    (old,) = manager._cache.loaded()
    assert manager.unload_idle("a") == ["a"]
    assert manager._cache.use(old) is None
    assert manager.get("a").runner is not old.runner


def test_close_closes_everything_used_or_not(made):
    provider = ScriptedProvider()
    manager = made(provider)
    used = manager.get("a")
    manager.get("b").release()
    manager.open("c")
    manager.close()
    assert provider.open == []
    assert manager.loaded() == []
    assert sum(holding.held_mib for holding in manager.ledger.holdings()) == 0
    used.release(unload=True)
    assert manager.ledger.holdings() == []
    manager.close()


def test_who_asks_again_after_close_loads_anew(made):
    provider = ScriptedProvider()
    manager = made(provider)
    used = manager.get("a")
    manager.close()
    again = manager.get("a")
    assert again.runner is not used.runner
    assert again.runner.why_not() is None
    used.release()
    assert [holding.users for holding in manager.ledger.holdings()] == [1]


def test_a_load_under_way_when_everything_is_closed_is_not_kept(made):
    provider = ScriptedProvider()
    provider.gate.clear()
    manager = made(provider)
    with ThreadPoolExecutor(2) as threads:
        loads = threads.submit(manager.get, "a")
        assert provider.loading.acquire(timeout=30)
        manager.close()
        provider.gate.set()
        with pytest.raises(RunnerDead, match="model a: all models were closed"):
            loads.result(timeout=30)
    assert (provider.open, manager.loaded(), manager.ledger.holdings()) == ([], [], [])


def test_many_threads_that_come_and_go_never_hold_a_closed_model(made):
    """Room for two of four models: they evict each other all the time, and whoever holds one can run it."""
    memory = CountedMemory(cpu=8000, cuda_0=250)
    provider = ScriptedProvider(memory)
    manager = made(provider, memory, batch_buckets=BatchBuckets().model_dump())
    crop = face(90)[None]

    def come_and_go(seed: int) -> int:
        random, refused = Random(seed), 0
        for _ in range(25):
            spec = manager.spec_of(random.choice(NAMES), EmbedderSpec)
            try:
                lease = manager.lease(spec, "cuda:0", need_mib=random.choice((100, 100, None)))
            except InsufficientGpuMemory:
                refused += 1
                continue
            assert lease.runner.predict_embeddings(crop).any()
            lease.release(unload=random.random() < 0.3)
        return refused

    with ThreadPoolExecutor(6) as threads:
        refused = sum(future.result(timeout=120) for future in [threads.submit(come_and_go, n) for n in range(6)])

    assert refused < 6 * 25
    assert sum(provider.loads.values()) > len(NAMES)
    assert {holding.users for holding in manager.ledger.holdings()} <= {0}
    assert len(provider.open) == len(manager.loaded()) == len(manager.ledger.holdings()) <= 2
    assert memory.ours["cuda:0"] == 100 * len(provider.open)
    manager.close()
    assert memory.ours["cuda:0"] == 0
