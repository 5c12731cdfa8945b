"""Models measured on this machine: how much memory they take and how long their batches run.

measure() blocks for the runs, on the caller's thread. measure_in_child() has a process made for it, a second and the
runs: the memory of a process that has loaded other models before says little about the next.
"""

import ctypes
import gc
import importlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from recognition.arrays import F32
from recognition.checks.self_test import probe_tensors, self_test
from recognition.errors import CodedError, InsufficientMemory, MeasurementFailed, UnsupportedRuntime
from recognition.models.device_memory import MIB, NvmlReader
from recognition.models.manager import ModelManager
from recognition.runtimes.onnx_session import need_onnxruntime
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.selection.measurements import BatchFigures, buckets_on
from recognition.specs.devices import Device
from recognition.specs.files import find_spec, load_specs
from recognition.specs.profile import BatchBuckets
from recognition.specs.spec import AnySpec, ModelSpec

Clock = Callable[[], float]

ENOUGH_S = 0.5
MOST_RUNS = 20
_LEAST_RUNS = 3
_WARM_UPS = 3
LIMIT_S = 900.0


@dataclass(frozen=True, slots=True)
class InUse:
    """MiB of a device: what this process holds (None: nothing, or nobody tells), and what all hold."""

    own_mib: float | None
    all_mib: float


ReadUse = Callable[[], Mapping[str, InUse]]


class MemoryBefore:
    """What was in use before a model was loaded; make it then."""

    def __init__(self, read: ReadUse | None = None) -> None:
        """`read` None: this machine's memory."""
        self._read = machine_use if read is None else read
        self._before = self._read()

    def taken_mib(self, device: str) -> float | None:
        """What was taken of the device since then: by this process, else by all; None where nothing tells."""
        now, before = self._read().get(device), self._before.get(device)
        if now is None or before is None:
            return None
        if now.own_mib is not None:
            return max(0.0, now.own_mib - (before.own_mib or 0.0))
        return max(0.0, now.all_mib - before.all_mib)


def machine_use() -> dict[str, InUse]:
    """RAM as `cpu`, and each GPU that NVML knows.

    Own RAM is what no other process shares: not the code of libraries, which is there once for all models.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc's: what was freed counts no more
    mine, machine = psutil.Process().memory_info(), psutil.virtual_memory()
    own = (mine.rss - getattr(mine, "shared", 0)) / MIB
    use = {"cpu": InUse(own, (machine.total - machine.available) / MIB)}
    nvml = NvmlReader(os.environ.get("CUDA_VISIBLE_DEVICES"))
    try:
        held = nvml.own_mib()
        for device, memory in nvml.read().items():
            use[device] = InUse(held.get(device), memory.total_mib - memory.free_mib)
    finally:
        nvml.close()
    return use


def measure(
    runner: TensorRunner, spec: AnySpec, buckets: Sequence[int], memory: MemoryBefore, clock: Clock | None = None
) -> dict[int, BatchFigures]:
    """Batches of each size, the small ones first, with drawn faces: the median time of a run, and all memory by then.

    One run at a time: several side by side need more memory for what is under way. `clock` None: on the CPU this
    thread's own seconds, as every runner computes there in the thread that calls it and other programs shall not
    count; else the wall's. Raises what runs raise.
    """
    if clock is None:
        clock = time.thread_time if runner.device == "cpu" else time.perf_counter
    figures: dict[int, BatchFigures] = {}
    for bucket in sorted(buckets):
        run_ms = _median_ms(runner, _batch(spec, bucket), clock)
        taken = memory.taken_mib(runner.device)  # the batch is gone by now, and counts for nothing
        figures[bucket] = BatchFigures(None if taken is None else round(taken, 1), round(run_ms, 3))
    return figures


def _batch(spec: AnySpec, size: int) -> F32:
    faces = probe_tensors(spec)
    return np.resize(faces, (size, *faces.shape[1:]))


def _median_ms(runner: TensorRunner, batch: F32, clock: Clock) -> float:
    for _ in range(_WARM_UPS):
        runner.run(batch)
    times_s: list[float] = []
    began_s = clock()
    while len(times_s) < _LEAST_RUNS or (len(times_s) < MOST_RUNS and clock() - began_s < ENOUGH_S):
        start_s = clock()
        runner.run(batch)
        times_s.append(clock() - start_s)
    return 1e3 * median(times_s)


@dataclass(frozen=True, slots=True)
class Measured:
    """A model, where it really ran, its figures by batch size, and what the manager had to note about it."""

    spec: AnySpec
    device: str
    buckets: Mapping[int, BatchFigures]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    folders: tuple[Path, ...]
    device: Device
    specs: Mapping[str, AnySpec] | None


def measure_in_child(
    name: str,
    folders: Sequence[Path],
    device: Device = "auto",
    specs: Mapping[str, AnySpec] | None = None,
    *,
    limit_s: float = LIMIT_S,
) -> Measured:
    """Load a model in a process of its own and measure all its buckets there.

    `specs` None: the bundled ones and those beside the weights. Raises what ModelManager.open() and runs raise;
    InsufficientMemory where the kernel ended the process, MeasurementFailed where it ended otherwise or took too long.
    """
    context = multiprocessing.get_context("spawn")
    answers, answering = context.Pipe(duplex=False)
    child = context.Process(
        target=_answer, args=(answering, _Job(name, tuple(folders), device, specs)), name=f"measure {name}", daemon=True
    )
    child.start()
    answering.close()
    try:
        answer = answers.recv() if answers.poll(limit_s) else None
        if answer is None:
            raise MeasurementFailed(f"model {name}: not measured within {limit_s:.0f} s; try it on another device")
    except EOFError:
        child.join()
        raise _untold_end(name, child.exitcode) from None
    finally:
        child.kill()
        child.join()
        answers.close()
    if isinstance(answer, CodedError):
        raise answer
    assert isinstance(answer, Measured)
    return answer


def _untold_end(name: str, code: int | None) -> CodedError:
    if code == -signal.SIGKILL:
        return InsufficientMemory(
            f"model {name}: its process was killed while it was measured, most likely for want of memory; free some, "
            "or take a smaller model"
        )
    how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}, see above"
    return MeasurementFailed(f"model {name}: the process that measured it was ended {how}")


def _answer(answering: "Connection[Measured | CodedError, None]", job: _Job) -> None:
    """The child's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    try:
        answering.send(_measured(job))
    except CodedError as error:
        answering.send(error)


def _measured(job: _Job) -> Measured:
    specs = load_specs(beside=job.folders) if job.specs is None else job.specs
    spec = find_spec(job.name, specs)
    for one in (spec, *(find_spec(member, specs) for member in getattr(spec, "members", ()))):
        _import_engine(one)
    manager = ModelManager(job.folders, device=job.device, specs={**specs, spec.name: _to_load(spec)})
    memory = MemoryBefore()
    runner = manager.open(spec.name)
    spec = runner.spec.model_copy(update={"batch_buckets": spec.batch_buckets})
    buckets = buckets_on(spec, runner.device)
    figures = measure(runner, spec, buckets, memory)
    difference = self_test(spec, runner, batched=len(buckets) > 1)
    if difference is None:
        return Measured(spec, runner.device, figures, runner.notes)
    return Measured(spec, runner.device, {1: figures[1]}, (*runner.notes, f"runs one at a time: {difference}"))


def _to_load(spec: AnySpec) -> AnySpec:
    """For a session that takes any batch: only small ones until measure() comes, so that each size shows its memory.

    What is prepared for certain sizes when it is loaded has the memory of the largest from then on.
    """
    if spec.engine == "onnx" and spec.batch == "dynamic":
        return spec.model_copy(update={"batch_buckets": BatchBuckets()})
    return spec


def _import_engine(spec: ModelSpec) -> None:
    """The libraries first: they are there once for all models, and count for none. Raises UnsupportedRuntime."""
    if spec.runtime == "triton":
        raise UnsupportedRuntime(
            f"model {spec.name}: runs on a Triton server, whose memory can't be told from here; measure it there"
        )
    if spec.engine == "torch":
        from recognition.runtimes.torch_runner import need_torch

        need_torch(spec)
        importlib.import_module("torch")
    else:
        need_onnxruntime()
