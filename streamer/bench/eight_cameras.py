"""The faces of eight cameras: gathered by one batcher, against one call of the network for each face.

On the benchmark's event loop; as many threads run the network either way. What comes, and when, is the same for both.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from recognition.arrays import F32
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.serving.batch_limits import BatchLimits
from recognition.serving.batcher import MicroBatcher
from streamer.bench.calm import calmest
from streamer.bench.full_load import LANES, Pace

Submit = Callable[[Sequence[F32], str], Awaitable[object]]
Way = Callable[[], AbstractAsyncContextManager[Submit]]

MOST_FACES = 4  # a frame has 1 to so many
LOAD_SHARE = 0.7  # of what one call for each face can do at most


@dataclass(frozen=True, slots=True)
class Answers:
    """faces_per_s: at saturation, the median round. p50_ms, p95_ms: at the given load, from a face's coming to its
    answer, all rounds together. lost: faces that got no answer."""

    faces_per_s: float
    p50_ms: float
    p95_ms: float
    lost: int


@dataclass(frozen=True, slots=True)
class EightCameras:
    """Both ways, and the load in faces a second at which they were asked how long an answer takes.

    others_share: of the machine's CPU time, what other programs took meanwhile.
    """

    load_faces_per_s: float
    batched: Answers
    single: Answers
    others_share: float


@dataclass(slots=True)
class _Tally:
    asked: int = 0
    answered: int = 0
    faces_per_s: float = 0.0
    waits_ms: list[float] = field(default_factory=list)


async def eight_cameras(
    runner: TensorRunner, faces: F32, limits: BatchLimits, threads: int, pace: Pace
) -> EightCameras:
    """Measure both ways in turns; `faces` (k,3,h,w) are what comes. Raises what runs raise."""
    ways: dict[str, Way] = {
        "batched": lambda: _through_batcher(runner, limits, threads),
        "single": lambda: _face_by_face(runner, threads),
    }
    frames_a_lane = max(2, -(-3 * threads * limits.max_batch // LANES))

    async def at_most() -> dict[str, _Tally]:
        tallies = {name: _Tally() for name in ways}
        for name, way in ways.items():
            async with way() as submit:
                await _saturate(submit, faces, frames_a_lane, pace.slice_s, tallies[name])
        return tallies

    most = await calmest(at_most, pace.rounds)
    load = LOAD_SHARE * median(one["single"].faces_per_s for one in most.results)
    seeds = itertools.count()

    async def at_load() -> dict[str, _Tally]:
        tallies, seed = {name: _Tally() for name in ways}, next(seeds)
        for name, way in ways.items():
            async with way() as submit:
                await _come(submit, faces, _arrivals(load, pace.slice_s, seed), tallies[name])
        return tallies

    loaded = await calmest(at_load, pace.rounds)
    answers = {
        name: _answers([one[name] for one in most.results], [one[name] for one in loaded.results]) for name in ways
    }
    others_share = max(most.others_share, loaded.others_share)
    return EightCameras(load, answers["batched"], answers["single"], others_share)


def _answers(most: list[_Tally], loaded: list[_Tally]) -> Answers:
    p50, p95 = np.percentile([wait for one in loaded for wait in one.waits_ms], [50, 95])
    lost = sum(one.asked - one.answered for one in (*most, *loaded))
    return Answers(median(one.faces_per_s for one in most), float(p50), float(p95), lost)


@asynccontextmanager
async def _through_batcher(runner: TensorRunner, limits: BatchLimits, threads: int) -> AsyncIterator[Submit]:
    batcher = MicroBatcher("bench", [runner] * threads, limits)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(batcher.serve(), name="bench serve")
        try:
            yield batcher.submit
        finally:
            batcher.stop()


@asynccontextmanager
async def _face_by_face(runner: TensorRunner, threads: int) -> AsyncIterator[Submit]:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(threads, thread_name_prefix="single") as pool:

        async def submit(items: Sequence[F32], lane: str) -> None:
            await asyncio.gather(*(loop.run_in_executor(pool, runner.run, item[None]) for item in items))

        yield submit


async def _saturate(submit: Submit, faces: F32, frames_a_lane: int, seconds: float, tally: _Tally) -> None:
    """Every lane always has so many frames on their way; the rate is from the first answer to the last in time."""
    ends_s = time.perf_counter() + seconds
    answers: list[tuple[float, int]] = []

    async def camera(lane: int, seed: int) -> None:
        sizes = np.random.default_rng((lane, seed))
        while time.perf_counter() < ends_s or len(answers) < 2:
            frame = _frame(faces, int(sizes.integers(1, MOST_FACES + 1)))
            tally.asked += len(frame)
            await submit(frame, f"camera{lane}")
            tally.answered += len(frame)
            answers.append((time.perf_counter(), len(frame)))

    async with asyncio.TaskGroup() as tasks:
        for lane in range(LANES):
            for seed in range(frames_a_lane):
                tasks.create_task(camera(lane, seed), name=f"bench camera{lane}")
    in_time = [answer for answer in answers if answer[0] <= ends_s]
    in_time = in_time if len(in_time) > 1 else answers
    tally.faces_per_s = sum(count for _, count in in_time[1:]) / (in_time[-1][0] - in_time[0][0])


def _arrivals(faces_per_s: float, seconds: float, seed: int) -> Iterator[tuple[float, int, int]]:
    """When a frame comes (s), to which lane, with how many faces: a Poisson process, one frame at least."""
    rng = np.random.default_rng(seed)
    mean_gap_s = (1 + MOST_FACES) / 2 / faces_per_s
    at_s = 0.0
    while True:
        yield at_s, int(rng.integers(LANES)), int(rng.integers(1, MOST_FACES + 1))
        at_s += float(rng.exponential(mean_gap_s))
        if at_s > seconds:
            return


async def _come(submit: Submit, faces: F32, arrivals: Iterator[tuple[float, int, int]], tally: _Tally) -> None:
    """Frames come when they are due, whether the ones before are answered or not."""
    began_s = time.perf_counter()

    async def ask(at_s: float, lane: int, count: int) -> None:
        tally.asked += count
        await submit(_frame(faces, count), f"camera{lane}")
        tally.answered += count
        tally.waits_ms += [1e3 * (time.perf_counter() - began_s - at_s)] * count

    async with asyncio.TaskGroup() as tasks:
        for at_s, lane, count in arrivals:
            await asyncio.sleep(max(0.0, began_s + at_s - time.perf_counter()))
            tasks.create_task(ask(at_s, lane, count), name=f"bench camera{lane}")


def _frame(faces: F32, count: int) -> list[F32]:
    return [faces[place % len(faces)] for place in range(count)]
