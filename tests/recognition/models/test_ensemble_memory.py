"""An ensemble's life in the manager: whose memory its members' is, and what goes with it and when."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from recognition.errors import InsufficientGpuMemory, RunnerDead, SelfTestFailed
from recognition.models.manager import ModelManager
from recognition.models.providers import EnsembleProvider
from recognition.specs.spec import EmbedderSpec
from tests.recognition.scripted_provider import (
    CountedMemory,
    ScriptedProvider,
    ScriptedTensors,
    ensemble_of,
    face,
    scripted_spec,
    until_waited_for,
    write_space,
)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_space(tmp_path_factory.mktemp("spaces"))


class Pair:
    """Scripted models a, b, c of 100 MiB each on a GPU, and `both`, which is a and b."""

    def __init__(self, space: Path, total_mib: int, item_mib: int = 0, buckets: tuple[int, ...] = (1,)) -> None:
        self.memory = CountedMemory(cpu=8000, cuda_0=total_mib)
        self.provider = ScriptedProvider(self.memory, item_mib=item_mib)
        sizes = {"batch_buckets": {"cpu": [1], "cuda": list(buckets)}}
        specs = {name: scripted_spec(name, **sizes) for name in ("a", "b", "c")}
        specs["both"] = ensemble_of(specs["a"], specs["b"], **sizes)
        self.spec = specs["both"]
        providers = [EnsembleProvider(), self.provider]
        self.manager = ModelManager(
            [], device="cuda:0", specs=specs, spaces=space, providers=providers, reader=self.memory
        )

    @property
    def held(self) -> dict[str, float]:
        return {holding.owner: holding.held_mib for holding in self.manager.ledger.holdings()}

    def need(self, name: str, mib: float) -> None:
        self.manager.lease(self.manager.spec_of(name, EmbedderSpec), need_mib=mib)


@pytest.fixture
def pair(space: Path) -> Callable[..., Pair]:
    return lambda *numbers: Pair(space, *numbers)


def test_an_ensembles_memory_is_its_members_own(pair):
    gpu = pair(1000)
    lease = gpu.manager.get("both")
    assert gpu.held == {"a": 100, "b": 100, "both": 0}
    assert lease.runner.device == "cuda:0"
    assert lease.runner.predict_embeddings(face(90)[None]).shape == (1, 16)


def test_members_are_where_the_ensemble_is_asked_for(pair):
    gpu = pair(1000)
    assert gpu.manager.get("both", "cpu").runner.device == "cpu"
    assert gpu.provider.loads == {("a", "cpu"): 1, ("b", "cpu"): 1}


def test_members_of_an_ensemble_in_use_never_go(pair):
    gpu = pair(250)
    used = gpu.manager.get("both")
    with pytest.raises(InsufficientGpuMemory):
        gpu.need("c", 100)
    used.release()
    gpu.need("c", 100)
    assert "both" not in gpu.held
    assert set(gpu.held) == {"c", "b"}, "the ensemble and one of its members made room"


def test_a_load_that_runs_out_of_memory_takes_an_idle_ensemble_apart(pair):
    gpu = pair(250)
    gpu.manager.get("both").release()
    gpu.manager.get("c")
    assert set(gpu.held) == {"c", "b"}


def test_an_ensemble_that_is_unloaded_takes_its_members_with_it(pair):
    gpu = pair(1000)
    alone, both = gpu.manager.get("b"), gpu.manager.get("both")
    both.release(unload=True)
    assert set(gpu.held) == {"b"}, "somebody else uses this one"
    assert alone.runner.why_not() is None
    gpu.manager.get("both").release()
    alone.release()
    assert gpu.manager.unload_idle("both") == ["both"]
    assert gpu.held == {}


def test_an_ensemble_needs_room_for_both_before_either_is_loaded(pair):
    gpu = pair(350)
    used = gpu.manager.get("c")
    with pytest.raises(InsufficientGpuMemory, match="model both needs 260 MiB on cuda:0, 250 MiB can be had"):
        gpu.need("both", 260)
    assert set(gpu.held) == {"c"}
    used.release()
    gpu.need("both", 260)
    assert set(gpu.held) == {"a", "b", "both"}


def test_larger_batches_of_an_ensemble_are_its_members(pair):
    gpu = pair(2000, 10, (1, 8, 32))
    small = gpu.manager.lease(gpu.spec, bucket=8)
    assert gpu.held == {"a": 180, "b": 180, "both": 0}
    gpu.manager.lease(gpu.spec, bucket=32)
    assert gpu.held == {"a": 420, "b": 420, "both": 0}
    assert small.runner.why_not() is None


def test_the_ensemble_is_closed_before_its_members(pair):
    gpu = pair(1000)
    order: list[str] = []
    for lease in [gpu.manager.get(name) for name in ("a", "b", "both")]:
        tensors = lease.runner.tensors
        close = tensors.close
        tensors.close = lambda name=lease.spec.name, close=close: (order.append(name), close())
    gpu.manager.close()
    assert order == ["both", "a", "b"]
    assert gpu.provider.open == []
    assert gpu.memory.ours["cuda:0"] == 0


def test_an_ensemble_that_fails_leaves_its_members_as_they_were(pair):
    gpu = pair(1000)
    used = gpu.manager.get("a")
    loads: list[ScriptedTensors] = []

    def spoil(tensors: ScriptedTensors) -> None:
        loads.append(tensors)
        tensors.answer = lambda batch: np.full((len(batch), 8), np.nan, np.float32)

    gpu.provider.spoil = spoil
    with pytest.raises(SelfTestFailed, match="not all outputs are finite") as kept:
        gpu.manager.get("both")
    assert gpu.held == {"a": 100}
    assert [tensors.closed for tensors in loads] == [True]
    assert [holding.users for holding in gpu.manager.ledger.holdings()] == [1], "whoever keeps the error"
    assert kept.value.code == "self_test_failed"
    used.release()


def test_a_load_whose_members_are_closed_meanwhile_ends_for_all_who_wait(pair):
    gpu = pair(1000)
    with ThreadPoolExecutor(1) as threads:
        gpu.manager.get("a").release()
        (tensors,) = gpu.provider.tensors
        answer, waiting = tensors.answer, []

        def closing(batch: np.ndarray) -> np.ndarray:
            if not waiting:
                waiting.append(threads.submit(gpu.manager.get, "both"))
                until_waited_for(gpu.manager, "both", 1)
                gpu.manager.close()
            return answer(batch)

        tensors.answer = closing
        with pytest.raises(RunnerDead, match="model both: all models were closed"):
            gpu.manager.get("both")
        with pytest.raises(RunnerDead, match="model both: all models were closed"):
            waiting[0].result(timeout=30)
    assert (gpu.provider.open, gpu.held, gpu.memory.ours["cuda:0"]) == ([], {}, 0)
