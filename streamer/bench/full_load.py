"""One loaded embedder at full load: bare, and through the batcher that cameras keep full; faces a second of both.

On the benchmark's event loop, the network on threads as a service has them. The two take turns, each as often the
first: a machine that others use is never the same for long.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import numpy as np

from recognition.arrays import F32
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.serving.batch_limits import BatchLimits
from recognition.serving.batcher import MicroBatcher
from streamer.bench.calm import calmest

LANES = 8
FACES_A_FRAME = 4
LEAST_ROUNDS = 3  # where a network is so slow that no more fit into the time
LEAST_RUNS = 4  # of each thread: a rate needs a few, however slow the network is


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is measured: `rounds` times each, `slice_s` seconds at least; more often where others disturb."""

    slice_s: float = 0.25
    rounds: int = 12


@dataclass(frozen=True, slots=True)
class FullLoad:
    """Batches of one size. Rates and times are the rounds' medians, ratios those of batcher to bare in each round.

    cpu_ratio: by faces a CPU second of this process, which other programs don't change; None off the CPU. batch_ms:
    how long a bare batch runs, with all threads at work. lost: faces asked for that got no answer. others_share: of
    the machine's CPU time, what other programs took meanwhile.
    """

    bare_faces_per_s: float
    batched_faces_per_s: float
    ratio: float
    cpu_ratio: float | None
    batch_ms: float
    lost: int
    others_share: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the network, by the clock of time.perf_counter()."""

    began_s: float
    ended_s: float
    faces: int


class WatchedRunner:
    """A runner as one thread has it, and what it ran there. Its owner closes it."""

    def __init__(self, runner: TensorRunner) -> None:
        self.device = runner.device
        self.runs: list[Run] = []
        self._runner = runner

    def run(self, batch: F32) -> list[F32]:
        began_s = time.perf_counter()
        outputs = self._runner.run(batch)
        self.runs.append(Run(began_s, time.perf_counter(), len(batch)))
        return outputs

    def close(self) -> None:
        """Nothing of its own is open."""


async def full_load(runner: TensorRunner, faces: F32, limits: BatchLimits, threads: int, pace: Pace) -> FullLoad:
    """Measure batches of `limits.max_batch`; `faces` (k,3,h,w) are what is run. Raises what runs raise."""
    orders = itertools.cycle((True, False))

    async def measure() -> _Round:
        return await _round(runner, faces, limits, threads, pace.slice_s, bare_first=next(orders))

    began_s = time.perf_counter()
    warm_up = await measure()
    fit = int(2 * pace.slice_s * pace.rounds / (time.perf_counter() - began_s))
    found = await calmest(measure, min(pace.rounds, max(LEAST_ROUNDS, fit)))
    return FullLoad(
        bare_faces_per_s=median(one.bare for one in found.results),
        batched_faces_per_s=median(one.batched for one in found.results),
        ratio=median(one.batched / one.bare for one in found.results),
        cpu_ratio=median(one.cpu_ratio for one in found.results) if runner.device == "cpu" else None,
        batch_ms=1e3 * median(one.batch_s for one in found.results),
        lost=sum(one.lost for one in (warm_up, *found.everything)),
        others_share=found.others_share,
    )


@dataclass(frozen=True, slots=True)
class _Round:
    bare: float
    batched: float
    cpu_ratio: float
    batch_s: float
    lost: int


async def _round(
    runner: TensorRunner, faces: F32, limits: BatchLimits, threads: int, seconds: float, *, bare_first: bool
) -> _Round:
    batch = np.resize(faces, (limits.max_batch, *faces.shape[1:]))
    crowd = _Crowd(list(faces), threads, limits, seconds)
    ways = {"bare": lambda: run_bare(runner, batch, threads, seconds), "batched": lambda: crowd.ask(runner)}
    ran = {way: await _cpu_timed(ways[way]()) for way in (ways if bare_first else reversed(ways))}
    (bare, bare_s), (batched, batched_s) = ran["bare"], ran["batched"]
    return _Round(
        bare=rate(bare),
        batched=rate(batched, crowd.until_s),
        cpu_ratio=_all_faces(batched) / batched_s / (_all_faces(bare) / bare_s),
        batch_s=median(run.ended_s - run.began_s for one in bare for run in one.runs),
        lost=crowd.asked - crowd.answered,
    )


async def _cpu_timed(work: Awaitable[list[WatchedRunner]]) -> tuple[list[WatchedRunner], float]:
    """What ran, and the CPU seconds of this process that it took."""
    began_s = time.process_time()
    watched = await work
    return watched, time.process_time() - began_s


def _all_faces(watched: Sequence[WatchedRunner]) -> int:
    return sum(run.faces for one in watched for run in one.runs)


async def run_bare(runner: TensorRunner, batch: F32, threads: int, seconds: float) -> list[WatchedRunner]:
    """Run the batch over and over on so many threads, nothing between; what each ran."""
    loop = asyncio.get_running_loop()
    watched = [WatchedRunner(runner) for _ in range(threads)]
    ends_s = time.perf_counter() + seconds
    with ThreadPoolExecutor(threads, thread_name_prefix="bare") as pool:
        await asyncio.gather(*(loop.run_in_executor(pool, _run_until, one, batch, ends_s) for one in watched))
    return watched


def _run_until(runner: WatchedRunner, batch: F32, ends_s: float) -> None:
    while time.perf_counter() < ends_s or len(runner.runs) < LEAST_RUNS:
        runner.run(batch)


def rate(watched: Sequence[WatchedRunner], until_s: float | None = None) -> float:
    """Faces a second of all threads, each from the end of its first run to that of its last.

    `until_s` None: until the first of them had no more to do. What ended later does not count.
    """
    last_s = min(one.runs[-1].ended_s for one in watched) if until_s is None else until_s
    total = 0.0
    for one in watched:
        runs = [run for run in one.runs if run.ended_s <= last_s]
        if len(runs) > 1:
            total += sum(run.faces for run in runs[1:]) / (runs[-1].ended_s - runs[0].ended_s)
    return total


class _Crowd:
    """LANES cameras, each with so many frames of FACES_A_FRAME faces on their way that the queue never runs short."""

    def __init__(self, faces: list[F32], threads: int, limits: BatchLimits, seconds: float) -> None:
        self.asked, self.answered = 0, 0
        self._frame = [faces[place % len(faces)] for place in range(FACES_A_FRAME)]
        self._threads = threads
        self._limits = limits
        self._seconds = seconds
        # One batch that runs and two that wait for each thread.
        self._frames_a_lane = -(-3 * threads * limits.max_batch // (LANES * FACES_A_FRAME))
        self.until_s: float | None = None

    async def ask(self, runner: TensorRunner) -> list[WatchedRunner]:
        """What was run for them. Until `until_s` all of them asked."""
        watched = [WatchedRunner(runner) for _ in range(self._threads)]
        batcher = MicroBatcher("bench", watched, self._limits)
        ends_s = time.perf_counter() + self._seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(batcher.serve(), name="bench serve")
            cameras = [
                tasks.create_task(self._camera(f"camera{lane}", batcher, watched, ends_s), name=f"bench {lane}")
                for lane in range(LANES)
                for _ in range(self._frames_a_lane)
            ]
            await asyncio.wait(cameras)
            batcher.stop()
        return watched

    async def _camera(self, lane: str, batcher: MicroBatcher, watched: list[WatchedRunner], ends_s: float) -> None:
        while self.until_s is None:
            self.asked += len(self._frame)
            served = await batcher.submit(self._frame, lane)
            self.answered += len(served.outputs)
            now_s = time.perf_counter()
            # The first who is done ends it for all: with fewer of them the queue would run short.
            if self.until_s is None and now_s >= ends_s and all(len(one.runs) >= LEAST_RUNS for one in watched):
                self.until_s = now_s
