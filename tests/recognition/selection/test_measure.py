"""Measuring: what counts as a run's time and as a model's memory, by scripts; then real models in their own process."""

import hashlib
import multiprocessing
import os
import signal
import time
import weakref
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import yaml

from recognition.checks.spaces import make_space
from recognition.errors import InsufficientMemory, MeasurementFailed, ModelNotFound, UnsupportedRuntime, WeightsMissing
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.selection.measure import InUse, MemoryBefore, machine_use, measure, measure_in_child
from recognition.selection.measurements import BatchFigures
from recognition.specs.files import load_specs
from recognition.specs.profile import BatchBuckets, TritonModel
from tests import tiny_networks

SPEC = load_specs()["nano_embed"]
MIB = 2**20


class TimedRunner:
    """Takes the next of `takes_s` for each run, on a clock of its own; for ever the last one."""

    def __init__(self, *takes_s: float, device: str = "cpu") -> None:
        self.takes_s = takes_s
        self.device = device
        self.batches: list[tuple[int, ...]] = []
        self.now_s = 100.0
        self.last: weakref.ref | None = None

    def clock(self) -> float:
        return self.now_s

    def run(self, batch):
        self.now_s += self.takes_s[min(len(self.batches), len(self.takes_s) - 1)]
        self.batches.append(batch.shape)
        self.last = weakref.ref(batch)
        return [np.zeros((len(batch), 256), np.float32)]

    def close(self) -> None: ...


def nothing_told() -> MemoryBefore:
    return MemoryBefore(dict)


def run_ms(runner: TimedRunner) -> float:
    return measure(runner, SPEC, [1], nothing_told(), runner.clock)[1].run_ms


def test_first_runs_do_not_count_and_the_median_does():
    runner = TimedRunner(9.0, 5.0, 1.0, 0.3, 0.9, 0.1, 77.0)
    assert run_ms(runner) == 300.0
    assert len(runner.batches) == 3 + 3


def test_slow_models_run_three_times_and_quick_ones_until_half_a_second_or_twenty_runs_are_over():
    runs = []
    for takes_s in (10.0, 0.0625, 0.001):
        runner = TimedRunner(takes_s)
        assert run_ms(runner) == pytest.approx(1e3 * takes_s)
        runs.append(len(runner.batches) - 3)
    assert runs == [3, 8, 20]


@pytest.mark.parametrize(("name", "sides"), [("nano_embed", (112, 112)), ("nano_det", (640, 640))])
def test_batches_of_each_size_the_small_ones_first(name, sides):
    runner = TimedRunner(10.0)
    assert list(measure(runner, load_specs()[name], [8, 1, 2], nothing_told(), runner.clock)) == [1, 2, 8]
    assert runner.batches == [(size, 3, *sides) for size in (1, 2, 8) for _ in range(6)]


def scripted(device: str, *readings: InUse) -> MemoryBefore:
    script: Iterator[Mapping[str, InUse]] = ({device: reading} for reading in readings)
    return MemoryBefore(lambda: next(script))


@pytest.mark.parametrize(
    ("readings", "taken"),
    [
        ([InUse(100.0, 5000.0), InUse(120.04, 9000.0), InUse(131.0, 100.0)], [20.0, 31.0]),
        ([InUse(None, 5000.0), InUse(300.0, 9000.0), InUse(340.0, 100.0)], [300.0, 340.0]),
        ([InUse(None, 5000.0), InUse(None, 5300.0), InUse(None, 5340.0)], [300.0, 340.0]),
        ([InUse(None, 5000.0), InUse(None, 4000.0), InUse(None, 5340.0)], [0.0, 340.0]),
    ],
    ids=["own memory alone counts", "nothing was held before", "all memory where own is not told", "never less than 0"],
)
def test_memory_is_what_was_taken_since_before_the_load(readings, taken):
    runner = TimedRunner(10.0, device="cuda:0")
    figures = measure(runner, SPEC, [1, 2], scripted("cuda:0", *readings), runner.clock)
    assert [figures[bucket].memory_mib for bucket in (1, 2)] == taken


def test_memory_of_a_device_that_nothing_tells_of_is_no_figure():
    runner = TimedRunner(10.0, device="cuda:0")
    assert measure(runner, SPEC, [1], nothing_told(), runner.clock) == {1: BatchFigures(None, 10_000.0)}


def test_the_batch_itself_is_gone_when_memory_is_read():
    runner = TimedRunner(10.0)
    alive: list[bool] = []

    def read() -> dict[str, InUse]:
        alive.append(runner.last is not None and runner.last() is not None)
        return {}

    measure(runner, SPEC, [1, 8], MemoryBefore(read), runner.clock)
    assert alive == [False] * 3


def test_this_process_memory_rises_and_falls_with_what_it_holds():
    memory = MemoryBefore()
    held = np.ones(64 * MIB, np.uint8)
    assert 60 < memory.taken_mib("cpu") < 70
    del held
    assert memory.taken_mib("cpu") < 5
    assert set(machine_use()) >= {"cpu"}


def test_a_real_model_alone_in_its_process():
    ballast = np.ones(256 * MIB, np.uint8)
    measured = measure_in_child("nano_embed", [], "cpu")
    assert ballast.any()
    assert (measured.spec, measured.device, measured.notes) == (SPEC, "cpu", ())
    assert list(measured.buckets) == [1, 2, 4, 8]
    needs = [figures.memory_mib for figures in measured.buckets.values()]
    assert needs == sorted(needs)
    assert needs[0] < needs[-1] < 60
    assert all(figures.run_ms > 0 for figures in measured.buckets.values())


def test_no_larger_batch_was_run_before_a_size_is_measured():
    alone = SPEC.model_copy(update={"batch_buckets": BatchBuckets(cpu=(1,))})
    least, among_others = (
        measure_in_child(SPEC.name, [], "cpu", {SPEC.name: spec}).buckets[1].memory_mib for spec in (alone, SPEC)
    )
    assert among_others == pytest.approx(least, abs=0.6)


def test_a_model_that_differs_in_batches_is_measured_alone(tmp_path):
    weights = tiny_networks.embedder(leaks=True)
    changes = {
        "name": "leaky",
        "local_artifacts": ("leaky.onnx",),
        "weights_digest": hashlib.sha256(weights).hexdigest(),
        "space": "leaky.1",
        "embedding_size": 64,
        "input": SPEC.input.model_copy(update={"name": "input.1"}),
    }
    spec = SPEC.model_copy(update=changes)
    (tmp_path / spec.file).write_bytes(weights)
    (tmp_path / "spaces").mkdir()
    space = make_space(spec, OnnxRunner(spec, weights, "cpu"))
    (tmp_path / "spaces" / "leaky.1.yaml").write_text(yaml.safe_dump(space.model_dump(mode="json")))
    measured = measure_in_child(spec.name, [tmp_path], "cpu", {spec.name: spec})
    assert list(measured.buckets) == [1]
    assert "runs one at a time" in measured.notes[-1]


@pytest.mark.parametrize(("name", "error"), [("yunet_n", WeightsMissing), ("nano_embde", ModelNotFound)])
def test_what_hinders_the_load_is_raised_here(name, error):
    with pytest.raises(error, match=name):
        measure_in_child(name, [], "cpu")


def test_a_model_on_triton_is_not_measured_from_here():
    spec = SPEC.model_copy(update={"runtime": "triton", "triton": TritonModel(model="nano", version="1")})
    with pytest.raises(UnsupportedRuntime, match="Triton"):
        measure_in_child(spec.name, [], "cpu", {spec.name: spec})


class EndsProcess:
    """Whoever unpickles it comes to this end, or to no other."""

    def __init__(self, call, value: int) -> None:
        self.end = call, (value,)

    def __reduce__(self):
        return self.end


@pytest.mark.parametrize(
    ("end", "error", "says"),
    [
        (EndsProcess(signal.raise_signal, signal.SIGKILL), InsufficientMemory, "killed while it was measured"),
        (EndsProcess(signal.raise_signal, signal.SIGSEGV), MeasurementFailed, "by signal 11"),
        (EndsProcess(os._exit, 3), MeasurementFailed, "with exit code 3"),
    ],
)
def test_a_process_that_ends_without_an_answer(end, error, says):
    with pytest.raises(error, match=says):
        measure_in_child("nano_embed", [], "cpu", end)
    assert multiprocessing.active_children() == []


def test_a_process_that_takes_too_long_is_ended():
    sleeps = EndsProcess(time.sleep, 3600)
    with pytest.raises(MeasurementFailed, match="not measured within 0 s"):
        measure_in_child("nano_embed", [], "cpu", sleeps, limit_s=0.0)
    assert multiprocessing.active_children() == []
