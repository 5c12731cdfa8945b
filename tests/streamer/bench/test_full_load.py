"""Faces a second at full load: how they are counted, and that every face is answered."""

import numpy as np
import pytest

from recognition.serving.batch_limits import BatchLimits
from streamer.bench.full_load import LEAST_RUNS, Pace, Run, WatchedRunner, full_load, rate, run_bare
from tests.recognition.fakes import FakeRunner, item

FACES = np.stack([item(value) for value in (1.0, 2.0, 3.0)])
AT_ONCE = Pace(slice_s=0.0, rounds=2)


def watched(*ends_s: float, faces: int = 4) -> WatchedRunner:
    runner = WatchedRunner(FakeRunner())
    runner.runs = [Run(end_s - 0.5, end_s, faces) for end_s in ends_s]
    return runner


@pytest.mark.parametrize(
    ("threads", "until_s", "faces_per_s"),
    [
        ([watched(1.0, 2.0, 3.0)], None, 4.0),
        ([watched(1.0, 2.0, 3.0), watched(1.5, 2.0, 2.5, 3.0)], None, 12.0),
        ([watched(1.0, 2.0, 9.0), watched(1.0, 2.0)], None, 8.0),  # alone at the end, a thread has it easier
        ([watched(1.0, 2.0, 3.0, 3.1)], 3.0, 4.0),
        ([watched(1.0, 2.0), watched(1.0)], 3.0, 4.0),
    ],
    ids=["one thread", "two", "the slower one's end", "what ended later", "one run says nothing"],
)
def test_a_rate_is_from_each_threads_first_end_to_its_last(threads, until_s, faces_per_s):
    assert rate(threads, until_s) == pytest.approx(faces_per_s)


async def test_bare_runs_come_on_every_thread_in_batches_of_the_size():
    runner = FakeRunner()
    found = await run_bare(runner, np.resize(FACES, (5, 3, 2, 2)), 3, 0.0)
    assert [len(one.runs) for one in found] == [LEAST_RUNS] * 3
    assert runner.started == [(5, 3, 2, 2)] * 3 * LEAST_RUNS


@pytest.mark.parametrize("most", [1, 4])
async def test_at_full_load_batches_are_full_and_nothing_is_lost(most):
    runner = FakeRunner()
    limits = BatchLimits(tuple(size for size in (1, 2, 4) if size <= most), queue_limit=1000)
    found = await full_load(runner, FACES, limits, 2, AT_ONCE)
    assert found.lost == 0
    assert min(found.bare_faces_per_s, found.batched_faces_per_s, found.ratio, found.cpu_ratio, found.batch_ms) > 0
    sizes = [shape[0] for shape in runner.started]
    assert max(sizes) == most
    assert sizes.count(most) >= len(sizes) / 2


async def test_what_a_run_raises_ends_it():
    with pytest.raises(MemoryError, match="scripted"):
        await full_load(FakeRunner(fail_at=3), FACES, BatchLimits(), 1, AT_ONCE)
