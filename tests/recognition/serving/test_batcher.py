import asyncio
import threading

import pytest

from recognition.errors import Overloaded, RunnerDead, TritonUnavailable, WeightsUnreadable
from recognition.serving.batcher import BatchLimits, MicroBatcher, QueueLoad, Served
from tests.recognition.fakes import F32, FakeRunner, item, serving, until

FOUR = BatchLimits(buckets=(1, 2, 4), queue_limit=16)


def values(served: Served) -> list[float]:
    return [float(outputs[0].reshape(-1)[0]) for outputs in served.outputs]


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def is_still_waiting(task: asyncio.Future[None]) -> bool:
    for _ in range(10):
        await asyncio.sleep(0)
    return not task.done()


async def test_every_caller_gets_its_own_answers_in_its_order():
    batcher = MicroBatcher("m", [FakeRunner(), FakeRunner()], FOUR)
    async with serving(batcher):
        served = await asyncio.gather(
            *(batcher.submit([item(10 * n + i) for i in range(5)], f"lane{n % 3}") for n in range(3))
        )
    assert [values(one) for one in served] == [[10 * n + i for i in range(5)] for n in range(3)]


async def test_times_say_how_long_it_waited_and_ran():
    clock, runner = FakeClock(), FakeRunner()
    runner.gate.clear()
    batcher = MicroBatcher("m", [runner], BatchLimits(), clock=clock)
    async with serving(batcher):
        first = asyncio.ensure_future(batcher.submit([item(1)], "a"))
        await until(lambda: len(runner.started) == 1)
        clock.now_s += 3
        second = asyncio.ensure_future(batcher.submit([item(2)], "a"))
        await until(lambda: batcher.depth == 1)
        clock.now_s += 4
        runner.gate.set()
        ran, waited = await first, await second
    assert (ran.queue_s, ran.run_s) == (0, 7)
    assert (waited.queue_s, waited.run_s) == (4, 0)


async def test_nothing_to_run_is_answered_at_once():
    assert (await MicroBatcher("m", [FakeRunner()], FOUR).submit([], "a")).outputs == []


async def test_items_of_one_caller_are_shared_by_the_runners():
    runners = [FakeRunner(), FakeRunner()]
    for runner in runners:
        runner.gate.clear()
    batcher = MicroBatcher("m", runners, FOUR)
    async with serving(batcher):
        job = asyncio.ensure_future(batcher.submit([item(i) for i in range(4)], "a"))
        await until(lambda: all(runner.started for runner in runners))
        for runner in runners:
            runner.gate.set()
        assert values(await job) == [0, 1, 2, 3]
    assert sorted(runner.started[0][0] for runner in runners) == [1, 2]


@pytest.mark.parametrize(
    ("limits", "waiting", "run"),
    [
        (BatchLimits(buckets=(1, 2, 4)), 7, [4, 2, 1]),
        (BatchLimits(buckets=(1, 2, 4), pad=True), 7, [4, 4]),
        (BatchLimits(buckets=(1, 8), pad=True), 3, [8]),
        (BatchLimits(buckets=(1, 8)), 3, [1, 1, 1]),
        (BatchLimits(buckets=(1,)), 3, [1, 1, 1]),
    ],
)
async def test_batches_are_cut_or_padded_to_the_buckets(limits, waiting, run):
    runner, sizes = FakeRunner(), []
    batcher = MicroBatcher("m", [runner], limits, sizes.append)
    job = asyncio.ensure_future(batcher.submit([item(i) for i in range(waiting)], "a"))
    await until(lambda: batcher.depth == waiting)
    async with serving(batcher):
        assert values(await job) == list(range(waiting))
    assert [shape[0] for shape in runner.started] == run
    assert sum(sizes) == waiting


async def test_padding_is_zeros_whatever_was_run_before():
    runner = FakeRunner()
    batcher = MicroBatcher("m", [runner], BatchLimits(buckets=(1, 4, 8), pad=True))
    async with serving(batcher):
        answers = [
            values(await batcher.submit([item(value)] * count, "a")) for value, count in ((5, 8), (6, 2), (7, 3))
        ]
    assert answers == [[5] * 8, [6] * 2, [7] * 3]
    assert runner.answered == [*[5] * 8, *[6, 6, 0, 0], *[7, 7, 7, 0]]


async def test_lanes_take_turns():
    runner = FakeRunner()
    batcher = MicroBatcher("m", [runner], BatchLimits())
    jobs = [
        asyncio.ensure_future(batcher.submit([item(value) for value in lane], name))
        for name, lane in (("busy", [1, 2, 3, 4]), ("calm", [5]), ("other", [6, 7]))
    ]
    await until(lambda: batcher.depth == 7)
    async with serving(batcher):
        await asyncio.gather(*jobs)
    assert runner.answered == [1, 5, 6, 2, 7, 3, 4]


async def test_a_crowd_in_one_lane_leaves_every_other_lane_a_place_in_the_first_batch():
    runner = FakeRunner()
    batcher = MicroBatcher("m", [runner], BatchLimits(buckets=(1, 8), queue_limit=80))
    jobs = [asyncio.ensure_future(batcher.submit([item(n) for n in range(60)], "crowd"))]
    jobs += [asyncio.ensure_future(batcher.submit([item(100 + n)], f"lane{n}")) for n in range(7)]
    await until(lambda: batcher.depth == 67)
    async with serving(batcher):
        served = await asyncio.gather(*jobs)
    assert runner.started[0][0] == 8
    assert sorted(runner.answered[:8]) == [0, *range(100, 107)]
    assert [values(one) for one in served] == [list(range(60)), *([100 + n] for n in range(7))]


async def test_who_needs_several_batches_shares_them():
    runner = FakeRunner()
    batcher = MicroBatcher("m", [runner], FOUR)
    many = asyncio.ensure_future(batcher.submit([item(n) for n in range(6)], "many"))
    few = asyncio.ensure_future(batcher.submit([item(10 + n) for n in range(3)], "few"))
    await until(lambda: batcher.depth == 9)
    async with serving(batcher):
        assert values(await many) == list(range(6))
        assert values(await few) == [10, 11, 12]
    assert [shape[0] for shape in runner.started] == [4, 4, 1]
    assert runner.answered == [0, 10, 1, 11, 2, 12, 3, 4, 5]


async def test_a_lone_item_waits_for_company_until_the_batch_is_full():
    runner = FakeRunner()
    batcher = MicroBatcher("m", [runner], BatchLimits(buckets=(1, 2), max_wait_ms=3_600_000))
    async with serving(batcher):
        first = asyncio.ensure_future(batcher.submit([item(1)], "a"))
        await until(lambda: batcher.depth == 1)
        await batcher.submit([item(2)], "b")
        await first
    assert [shape[0] for shape in runner.started] == [2]


async def test_the_oldest_item_waits_no_longer_than_it_may():
    batcher = MicroBatcher("m", [FakeRunner()], BatchLimits(buckets=(1, 8), max_wait_ms=1))
    async with serving(batcher), asyncio.timeout(10):
        assert values(await batcher.submit([item(3)], "a")) == [3]


async def test_a_wait_that_adapts_is_as_long_as_runs_make_it():
    clock, runner = FakeClock(), FakeRunner()
    limits = BatchLimits(buckets=(1, 2), pad=True, max_wait_ms=None)

    class Slow(FakeRunner):
        def run(self, batch: F32) -> list[F32]:
            clock.now_s += 7200
            return runner.run(batch)

    batcher = MicroBatcher("m", [Slow()], limits, clock=clock)
    async with serving(batcher):
        await batcher.submit([item(1)], "a")  # nothing was run yet: it waits for nobody
        waiting = asyncio.ensure_future(batcher.submit([item(2)], "a"))
        await until(lambda: batcher.depth == 1)
        await batcher.submit([item(3)], "b")
        await waiting
    assert [shape[0] for shape in runner.started] == [1, 2]


async def test_the_load_counts_what_came_and_what_was_refused():
    clock = FakeClock()
    batcher = MicroBatcher("m", [FakeRunner()], BatchLimits(queue_limit=4), clock=clock)
    assert batcher.load() == QueueLoad(0.0, 0.0)
    job = asyncio.ensure_future(batcher.submit([item(n) for n in range(3)], "a"))
    await until(lambda: batcher.depth == 3)
    with pytest.raises(Overloaded):
        await batcher.submit([item(n) for n in range(5)], "a")
    assert batcher.load(clock.now_s + 2.0) == QueueLoad(4.0, 2000.0)
    clock.now_s += 4.0
    async with serving(batcher):
        await job
    assert batcher.load(clock.now_s) == QueueLoad(2.0, 4000.0)
    assert batcher.load(clock.now_s + 6.0) == QueueLoad(0.0, 0.0)


async def test_a_runner_that_hangs_shows_in_the_load():
    clock, runner = FakeClock(), FakeRunner()
    batcher = MicroBatcher("m", [runner], BatchLimits(), clock=clock)
    async with serving(batcher):
        await batcher.submit([item(1)], "a")
        runner.gate.clear()
        jobs = [asyncio.ensure_future(batcher.submit([item(2)], "a")) for _ in range(2)]
        await until(lambda: len(runner.started) == 2)
        assert batcher.load(clock.now_s + 9.0).queue_delay_ms == 9000.0
        jobs[1].cancel()
        await until(lambda: batcher.depth == 0)
        assert batcher.load(clock.now_s + 9.0).queue_delay_ms == 0.0
        runner.gate.set()
        await jobs[0]


async def test_a_full_queue_refuses():
    batcher = MicroBatcher("scrfd", [FakeRunner()], BatchLimits(queue_limit=2))
    jobs = [asyncio.ensure_future(batcher.submit([item(n)], "a")) for n in range(2)]
    await until(lambda: batcher.depth == 2)
    with pytest.raises(Overloaded, match="scrfd: 2 items wait already, the limit is 2") as refused:
        await batcher.submit([item(3)], "b")
    assert refused.value.retryable
    async with serving(batcher):
        await asyncio.gather(*jobs)
        many = await batcher.submit([item(n) for n in range(5)], "photo")
    assert len(many.outputs) == 5, "a photo with more faces than the limit must not be refused for ever"


async def test_who_has_gone_is_not_served():
    runner = FakeRunner()
    runner.gate.clear()
    batcher = MicroBatcher("m", [runner], BatchLimits())
    async with serving(batcher):
        running = asyncio.ensure_future(batcher.submit([item(1)], "a"))
        await until(lambda: len(runner.started) == 1)
        gone = asyncio.ensure_future(batcher.submit([item(2), item(3)], "b"))
        kept = asyncio.ensure_future(batcher.submit([item(4)], "b"))
        await until(lambda: batcher.depth == 3)
        gone.cancel()
        await until(lambda: batcher.depth == 1)
        running.cancel()
        runner.gate.set()
        assert values(await kept) == [4]
    assert gone.cancelled()
    assert running.cancelled()
    assert runner.answered == [1, 4]


async def test_a_dead_runner_fails_every_waiter_and_ends_serve():
    dying, healthy = FakeRunner(fail_at=1), FakeRunner()
    for runner in (dying, healthy):
        runner.gate.clear()
    batcher = MicroBatcher("mbf", [dying, healthy], BatchLimits())
    serve = asyncio.ensure_future(batcher.serve())
    waiters = [asyncio.ensure_future(batcher.submit([item(n)], f"lane{n}")) for n in range(4)]
    await until(lambda: bool(dying.started and healthy.started))
    dying.gate.set()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    healthy.gate.set()
    assert [type(result) for result in results] == [RunnerDead] * 4
    with pytest.raises(RunnerDead, match="mbf: its runner failed") as dead:
        await serve
    assert isinstance(dead.value.__cause__, MemoryError)
    with pytest.raises(RunnerDead):
        await batcher.submit([item(9)], "a")


async def test_what_may_pass_fails_one_batch_alone():
    runner = FakeRunner(fail_at=1, error=TritonUnavailable("scripted"))
    runner.gate.clear()
    batcher = MicroBatcher("m", [runner], BatchLimits(buckets=(1, 2)))
    async with serving(batcher):
        waiters = [asyncio.ensure_future(batcher.submit([item(n)], f"lane{n}")) for n in range(2)]
        await until(lambda: bool(runner.started))
        waiters.append(asyncio.ensure_future(batcher.submit([item(7)], "later")))
        await asyncio.sleep(0)
        runner.gate.set()
        results = await asyncio.gather(*waiters, return_exceptions=True)
        failed = [result for result in results if isinstance(result, Exception)]
        assert failed
        assert all(type(error) is TritonUnavailable for error in failed)
        assert len({id(error) for error in failed}) == len(failed)
        assert values(results[-1]) == [7]
        assert values(await batcher.submit([item(8)], "later")) == [8]


async def test_a_crowd_that_lost_one_batch_runs_no_other():
    next_batch = threading.Event()

    class Runner(FakeRunner):
        def run(self, batch: F32) -> list[F32]:
            if self.started:
                next_batch.set()
            return super().run(batch)

    runner = Runner(fail_at=1, error=TritonUnavailable("scripted"))
    runner.gate.clear()
    batcher = MicroBatcher("m", [runner], BatchLimits(buckets=(1, 2)))
    crowd = asyncio.ensure_future(batcher.submit([item(n) for n in range(5)], "a"))
    beside = asyncio.ensure_future(batcher.submit([item(10)], "b"))
    after = asyncio.ensure_future(batcher.submit([item(20), item(21)], "b"))
    await until(lambda: batcher.depth == 8)
    async with serving(batcher):
        await until(lambda: bool(runner.started))
        runner.gate.set()
        assert next_batch.wait(timeout=10), "it is taken while the loop is held up here"
        for lost in (crowd, beside):
            with pytest.raises(TritonUnavailable):
                await lost
        assert values(await after) == [20, 21]
    assert batcher.depth == 0
    assert runner.answered == [20, 21]


async def test_a_crowd_that_lost_one_batch_is_not_answered_by_another():
    failing, healthy = FakeRunner(fail_at=1, error=TritonUnavailable("scripted")), FakeRunner()
    for runner in (failing, healthy):
        runner.gate.clear()
    batcher = MicroBatcher("m", [failing, healthy], BatchLimits(buckets=(1, 2)))
    async with serving(batcher):
        crowd = asyncio.ensure_future(batcher.submit([item(n) for n in range(8)], "a"))
        await until(lambda: bool(failing.started and healthy.started))
        failing.gate.set()
        with pytest.raises(TritonUnavailable):
            await crowd
        assert batcher.depth == 0
        healthy.gate.set()
        await until(lambda: len(healthy.answered) == 2)
        assert values(await batcher.submit([item(8)], "a")) == [8]


async def test_what_will_not_pass_ends_serve_and_says_why():
    batcher = MicroBatcher("m", [FakeRunner(fail_at=1, error=WeightsUnreadable("scripted"))], BatchLimits())
    serve = asyncio.ensure_future(batcher.serve())
    with pytest.raises(RunnerDead, match="m: scripted"):
        await batcher.submit([item(1)], "a")
    with pytest.raises(RunnerDead):
        await serve


async def test_a_later_call_may_fail_too():
    batcher = MicroBatcher("m", [FakeRunner(fail_at=2)], BatchLimits())
    serve = asyncio.ensure_future(batcher.serve())
    assert values(await batcher.submit([item(1)], "a")) == [1]
    with pytest.raises(RunnerDead):
        await batcher.submit([item(2)], "a")
    with pytest.raises(RunnerDead):
        await serve


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_the_end_fails_who_waits_and_leaves_no_thread(how):
    runners = [FakeRunner(), FakeRunner()]
    for runner in runners:
        runner.gate.clear()
    batcher = MicroBatcher("ending", runners, BatchLimits())
    serve = asyncio.ensure_future(batcher.serve())
    waiter = asyncio.ensure_future(batcher.submit([item(n) for n in range(3)], "a"))
    await until(lambda: all(runner.started for runner in runners))
    if how == "stop":
        batcher.stop()
    else:
        serve.cancel()
    with pytest.raises(RunnerDead, match="closed"):
        await waiter
    for runner in runners:
        runner.gate.set()
    await asyncio.wait([serve])
    assert serve.cancelled() == (how == "cancel")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("run-ending")]
