"""Photos and requests beside cameras: who goes first, who is refused for whom, and that nobody waits for ever."""

import asyncio
import threading

import pytest

from recognition.errors import Overloaded
from recognition.serving.batcher import BatchLimits, MicroBatcher
from recognition.serving.cores import Cores
from recognition.serving.lanes import PatientLane
from tests.recognition.fakes import FakeRunner, item, serving, until

HTTP = PatientLane("http")


async def both(batcher: MicroBatcher, patient: list[int], plain: list[int]) -> None:
    """The patient items come first, all wait before the first is run."""
    jobs = [
        asyncio.ensure_future(batcher.submit([item(value)], lane))
        for lane, values in ((HTTP, patient), ("door", plain))
        for value in values
    ]
    await until(lambda: batcher.depth == len(jobs))
    async with serving(batcher):
        await asyncio.gather(*jobs)


@pytest.mark.parametrize(
    ("limits", "batches"),
    [
        (BatchLimits(buckets=(1,)), [[1], [2], [3], [11], [12]]),
        (BatchLimits(buckets=(1, 4)), [[1, 2, 3, 11], [12]]),
        (BatchLimits(buckets=(1, 8), pad=True), [[1, 2, 3, 11, 12]]),
    ],
)
async def test_cameras_go_first_and_photos_fill_what_is_left_of_a_batch(limits, batches):
    runner = FakeRunner()
    await both(MicroBatcher("m", [runner], limits), [11, 12], [1, 2, 3])
    assert [value for value in runner.answered if value] == [value for batch in batches for value in batch]
    assert len(runner.started) == len(batches)


async def test_a_camera_that_never_pauses_leaves_photos_a_place_in_every_eighth_batch():
    runner = FakeRunner()
    await both(MicroBatcher("m", [runner], BatchLimits()), [101, 102, 103], list(range(20)))
    assert [place for place, value in enumerate(runner.answered, 1) if value > 100] == [8, 16, 23]


async def test_neither_kind_is_refused_for_the_other():
    batcher = MicroBatcher("m", [FakeRunner()], BatchLimits(queue_limit=3, patient_limit=2))
    jobs = [asyncio.ensure_future(batcher.submit([item(value)], HTTP)) for value in (1, 2)]
    await until(lambda: batcher.depth == 2)
    with pytest.raises(Overloaded, match="2 items wait already, the limit is 2"):
        await batcher.submit([item(3)], HTTP)
    jobs += [asyncio.ensure_future(batcher.submit([item(value)], "door")) for value in (4, 5, 6)]
    await until(lambda: batcher.depth == 5)
    with pytest.raises(Overloaded, match="3 items wait already, the limit is 3"):
        await batcher.submit([item(7)], "door")
    async with serving(batcher):
        await asyncio.gather(*jobs)


async def test_with_threads_of_their_own_photos_keep_no_camera_waiting():
    class Gated(FakeRunner):
        """Runs of photos wait at the gate, those of cameras do not."""

        def run(self, batch):
            if batch.mean() > 100 and not self.gate.wait(10):
                raise TimeoutError("nobody opened the gate")
            self.started.append(threading.current_thread())
            return [batch.mean(axis=(1, 2, 3))[:, None]]

    runner = Gated()
    runner.gate.clear()
    batcher = MicroBatcher("m", [runner, runner], BatchLimits(), cores=Cores(2, 1))
    async with serving(batcher), asyncio.timeout(10):
        photos = [asyncio.ensure_future(batcher.submit([item(101 + n)], HTTP)) for n in range(6)]
        await until(lambda: batcher.depth == 4)
        for n in range(5):
            served = await batcher.submit([item(n)], "door")
            assert served.outputs[0][0].item() == n
        assert not any(photo.done() for photo in photos)
        runner.gate.set()
        assert [(await photo).outputs[0][0].item() for photo in photos] == [101 + n for n in range(6)]
    assert not set(runner.started[:5]) & set(runner.started[5:])


async def test_what_photos_ask_does_not_make_a_model_look_too_slow_for_the_cameras():
    batcher = MicroBatcher("m", [FakeRunner()], BatchLimits(), clock=lambda: 1000.0)
    jobs = [asyncio.ensure_future(batcher.submit([item(1)], HTTP)) for _ in range(9)]
    await until(lambda: batcher.depth == 9)
    waiting = batcher.load(1060.0)
    jobs.append(asyncio.ensure_future(batcher.submit([item(1)], "door")))
    await until(lambda: batcher.depth == 10)
    asked = batcher.load(1060.0)
    async with serving(batcher):
        await asyncio.gather(*jobs)
    assert (waiting.faces_per_s, waiting.queue_delay_ms) == (0, 0)
    assert asked.queue_delay_ms == 60_000


async def test_who_leaves_a_patient_lane_leaves_nothing_behind():
    batcher = MicroBatcher("m", [FakeRunner()], BatchLimits())
    jobs = [asyncio.ensure_future(batcher.submit([item(value)], HTTP)) for value in (1, 2, 3)]
    await until(lambda: batcher.depth == 3)
    jobs[1].cancel()
    await until(lambda: batcher.depth == 2)
    async with serving(batcher):
        assert [(await job).outputs[0][0].item() for job in (jobs[0], jobs[2])] == [1, 3]
