"""Retrying, without waiting: sleeps are recorded, the clock is moved by hand."""

import asyncio

import pytest

from recognition.errors import CodedError
from streamer.errors import CameraLoginRefused, CameraUnreachable, StreamLost
from streamer.supervise import supervise


class World:
    """Attempts with scripted ends: an error to raise, or a result; each may take some time first."""

    def __init__(self, *script: tuple[float, object]) -> None:
        self.script = list(script)
        self.now_s = 0.0
        self.slept_s: list[float] = []
        self.reported: list[tuple[str, str]] = []

    async def attempt(self) -> object:
        lasts_s, end = self.script.pop(0)
        self.now_s += lasts_s
        if isinstance(end, BaseException):
            raise end
        return end

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds

    def report(self, name: str, error: CodedError) -> None:
        self.reported.append((name, error.code))

    async def run(self, **limits: float) -> object:
        return await supervise("door", self.attempt, self.report, sleep=self.sleep, clock=lambda: self.now_s, **limits)


@pytest.fixture
def longest_draw(monkeypatch):
    """Full jitter draws the longest wait."""
    monkeypatch.setattr("streamer.supervise.random.uniform", lambda low, high: high)


async def test_a_result_comes_back_at_once():
    world = World((0, "done"))
    assert await world.run() == "done"
    assert world.slept_s == []


@pytest.mark.usefixtures("longest_draw")
async def test_delays_double_to_the_longest_and_every_error_is_reported():
    world = World(*[(0, CameraUnreachable("x"))] * 6, (0, None))
    await world.run(first_delay_s=1, longest_delay_s=10)
    assert world.slept_s == [1, 2, 4, 8, 10, 10]
    assert world.reported == [("door", "camera_unreachable")] * 6


async def test_jitter_is_full():
    world = World(*[(0, CameraUnreachable("x"))] * 300, (0, None))
    await world.run(first_delay_s=8, longest_delay_s=8)
    assert all(0 <= slept <= 8 for slept in world.slept_s)
    assert min(world.slept_s) < 1
    assert max(world.slept_s) > 7


@pytest.mark.usefixtures("longest_draw")
async def test_a_healthy_spell_starts_the_delays_anew():
    lost = StreamLost("x")
    world = World((0, lost), (0, lost), (0, lost), (60, lost), (0, lost), (59, lost), (0, None))
    await world.run(first_delay_s=1, longest_delay_s=100, healthy_after_s=60)
    assert world.slept_s == [1, 2, 4, 1, 2, 4]


@pytest.mark.usefixtures("longest_draw")
async def test_the_hopeless_is_tried_slowly_and_never_given_up():
    refused = CameraLoginRefused("x")
    world = World((0, refused), (0, refused), (0, CameraUnreachable("x")), (0, refused), (0, None))
    await world.run(first_delay_s=1, hopeless_delay_s=60)
    assert world.slept_s == [60, 60, 1, 60]


@pytest.mark.usefixtures("longest_draw")
@pytest.mark.parametrize(("attempts", "slept"), [(1, []), (2, [1]), (4, [1, 2, 4])])
async def test_what_is_not_worth_waiting_for_for_ever_ends_with_the_last_error(attempts: int, slept: list[float]):
    lost = [StreamLost(str(number)) for number in range(attempts)]
    world = World(*[(0, error) for error in lost], (0, "too late"))
    with pytest.raises(StreamLost) as caught:
        await world.run(first_delay_s=1, attempts=attempts)
    assert caught.value is lost[-1]
    assert (world.slept_s, len(world.reported)) == (slept, attempts)


async def test_with_so_many_attempts_the_hopeless_goes_up_at_once():
    world = World((0, StreamLost("x")), (0, CameraLoginRefused("x")), (0, "never"))
    with pytest.raises(CameraLoginRefused):
        await world.run(attempts=9)
    assert len(world.slept_s) == 1
    assert await World((0, StreamLost("x")), (0, "done")).run(attempts=2) == "done"


@pytest.mark.parametrize("bug", [ValueError("a bug of ours"), KeyError("x"), OSError("x")])
async def test_a_bug_goes_up_at_once(bug):
    world = World((0, bug), (0, None))
    with pytest.raises(type(bug)):
        await world.run()
    assert (world.slept_s, world.reported) == ([], [])


async def test_cancelling_ends_it():
    reported = asyncio.Event()

    async def attempt() -> None:
        raise StreamLost("x")

    task = asyncio.create_task(
        supervise("door", attempt, lambda *_: reported.set(), first_delay_s=1000, longest_delay_s=1000)
    )
    async with asyncio.timeout(30):
        await reported.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
