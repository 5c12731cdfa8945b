"""A role's switcher over a scripted place to sit: what it does about memory, load, failures and people's wishes."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from recognition.errors import GpuFailed, InsufficientGpuMemory, InsufficientMemory, UnsupportedRuntime
from recognition.models.device_memory import DeviceMemory
from recognition.models.figures import Place, Unavailable
from recognition.models.manager import ModelManager
from recognition.models.spec import BatchNeeds, EmbedderSpec, Needs, load_specs
from recognition.queue_load import QueueLoad
from streamer.metrics import Metrics
from streamer.switching import HELD_BACK_S, Switcher, SwitchRules

BEST, SMALL = "best", "small"


def spec_of(
    name: str, cuda: dict[int, tuple[float, float]], cpu: dict[int, tuple[float, float]], tmr: float
) -> EmbedderSpec:
    base = load_specs()["nano_embed"]
    assert isinstance(base, EmbedderSpec)
    needs = Needs(
        measured_on="a test",
        cpu={size: BatchNeeds(memory_mib=mib, run_ms=ms) for size, (mib, ms) in cpu.items()},
        cuda={size: BatchNeeds(memory_mib=mib, run_ms=ms) for size, (mib, ms) in cuda.items()},
    )
    rows = tuple(row.model_copy(update={"tmr": tmr}) for row in base.thresholds.table)
    buckets = base.batch_buckets.model_copy(update={"cuda": tuple(cuda), "cpu": tuple(cpu)})
    return base.model_copy(
        update={
            "name": name,
            "needs": needs,
            "batch_buckets": buckets,
            "thresholds": base.thresholds.model_copy(update={"table": rows}),
        }
    )


SPECS = {
    BEST: spec_of(BEST, {1: (900, 6), 8: (1000, 12)}, {1: (500, 400)}, 0.99),
    SMALL: spec_of(SMALL, {1: (300, 2), 8: (320, 3)}, {1: (60, 5), 8: (90, 40)}, 0.98),
}


@dataclass
class Memory:
    """A MemoryReader."""

    free: dict[str, float]

    def read(self) -> dict[str, DeviceMemory]:
        return {device: DeviceMemory(mib, 8000) for device, mib in self.free.items()}


@dataclass
class Chair:
    """A seat; `refuses` says which places can't be had, and why."""

    place: Place
    refuses: dict[tuple[str, str], Exception] = field(default_factory=dict)
    asked: QueueLoad = field(default_factory=lambda: QueueLoad(10.0, 0.0))
    tried: list[str] = field(default_factory=list)
    room_first: list[bool] = field(default_factory=list)

    def load(self) -> QueueLoad:
        return self.asked

    async def switch(self, place: Place, *, need_mib: float | None, room_first: bool) -> None:
        self.tried.append(str(place))
        self.room_first.append(room_first)
        if place.key in self.refuses:
            raise self.refuses[place.key]
        self.place = place


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Role:
    switcher: Switcher
    memory: Memory
    clock: Clock
    metrics: Metrics
    chair: Chair

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"whosthere_{name}_total", labels) or 0.0


@pytest.fixture
def begin() -> Callable[..., Role]:
    def make(device: str = "auto", goal_ms: float | None = 300, **free: float) -> Role:
        memory = Memory({key.replace("_", ":"): mib for key, mib in (free or {"cuda_0": 4000, "cpu": 4000}).items()})
        manager = ModelManager([], specs=SPECS, reader=memory)
        clock, metrics = Clock(), Metrics()
        rules = SwitchRules((BEST, SMALL), "accuracy", device, goal_ms, 60.0, 8, lambda _: 1)
        manager.availability = lambda name: type("Yes", (), {"ok": True})()  # type: ignore[method-assign,assignment]
        switcher = Switcher(manager, rules, None, metrics, clock)
        return Role(switcher, memory, clock, metrics, Chair(switcher.first()))

    return make


@pytest.fixture
def seated(begin) -> Callable[..., Role]:
    def make(**options: float) -> Role:
        role = begin(**options)
        role.switcher.seated(role.chair)
        return role

    return make


def test_it_begins_with_the_best_that_fits(begin):
    assert str(begin().chair.place) == "best on cuda:0 in batches of 8"
    assert str(begin(cuda_0=950, cpu=4000).chair.place) == "best on cuda:0 in batches of 1"
    assert str(begin(cuda_0=500, cpu=4000).chair.place) == "small on cuda:0 in batches of 8"
    assert str(begin(cuda_0=100, cpu=4000).chair.place) == "small on cpu in batches of 8"
    with pytest.raises(InsufficientMemory, match=r"no model of best, small can run here: .*small: needs 60 MiB"):
        begin(cuda_0=100, cpu=50)


def test_a_gpu_that_can_not_be_had_at_start_is_left_where_the_device_is_auto(begin):
    role = begin()
    assert role.switcher.could_not_begin(UnsupportedRuntime("no CUDA provider"))
    assert str(role.switcher.first()) == "small on cuda:0 in batches of 8"
    assert role.switcher.could_not_begin(UnsupportedRuntime("no CUDA provider"))
    role.chair.place = role.switcher.first()
    role.switcher.seated(role.chair)
    assert str(role.chair.place) == "small on cpu in batches of 8"
    assert role.switcher.fallback is not None
    assert (role.switcher.fallback.code, role.switcher.fallback.why) == ("gpu_failed", "no CUDA provider")


def test_a_gpu_that_was_asked_for_by_name_is_not_left_in_silence(begin):
    role = begin(device="cuda:0")
    assert not role.switcher.could_not_begin(UnsupportedRuntime("no CUDA provider"))
    absent = begin(device="cuda:1")
    assert str(absent.chair.place).startswith("best on cuda:1"), "loading will say that it is not there"


def test_where_no_gpu_is_known_auto_stays_auto(begin):
    role = begin(cpu=4000)
    assert role.chair.place.device == "auto", "loading finds a GPU that no reader knows, or says why there is none"
    role.chair.place = Place(role.chair.place.model, "cpu", role.chair.place.bucket)
    role.switcher.seated(role.chair)
    assert role.switcher.standing.place.device == "cpu"
    assert role.switcher.fallback is None, "the runner tells it"


async def test_out_of_memory_steps_down_until_a_place_can_be_had(seated, caplog):
    caplog.set_level(logging.INFO)
    role = seated()
    role.memory.free["cuda:0"] = 0
    place = role.chair.place
    assert await role.switcher.trouble(place, InsufficientGpuMemory("out"))
    assert str(role.chair.place) == "small on cpu in batches of 8", "nothing of ours is freed here, so no bucket fits"
    assert role.switcher.standing.code == "out_of_memory"
    assert role.count("model_switches", reason="out_of_memory") == 1
    assert role.count("model_troubles", model=BEST, device="cuda:0", code="insufficient_gpu_memory") == 1
    assert await role.switcher.trouble(place, InsufficientGpuMemory("out")), "another run failed there: it is past"
    assert len(role.chair.tried) == 1
    assert any(line.startswith("model switch (out_of_memory): small on cpu") for line in caplog.messages)


async def test_a_place_that_runs_out_at_its_load_is_passed_over(seated):
    role = seated()
    role.chair.refuses = {
        (SMALL, "cuda:0"): InsufficientGpuMemory("no room"),
        (BEST, "cuda:0"): InsufficientGpuMemory("no"),
    }
    assert await role.switcher.trouble(role.chair.place, InsufficientGpuMemory("out"))
    assert role.chair.tried == [
        "best on cuda:0 in batches of 1",
        "small on cuda:0 in batches of 8",
        "small on cuda:0 in batches of 1",
        "small on cpu in batches of 8",
    ]


async def test_where_nothing_can_be_had_the_trouble_is_the_callers(seated):
    role = seated()
    role.memory.free = {"cuda:0": 0, "cpu": 0}
    assert not await role.switcher.trouble(role.chair.place, InsufficientGpuMemory("out"))
    assert role.chair.tried == []
    role.memory.free = {"cuda:0": 4000, "cpu": 4000}
    role.clock.now_s = 61
    await role.switcher.look()
    assert str(role.chair.place) == "best on cuda:0 in batches of 8"


async def test_a_gpu_that_fails_in_a_run_is_left_for_the_cpu_and_said_so(seated):
    role = seated()
    for _ in range(2):
        assert await role.switcher.trouble(role.chair.place, GpuFailed("CUDA failure 700"))
    assert str(role.chair.place) == "small on cpu in batches of 8"
    assert role.switcher.fallback.code == "gpu_failed"
    role.clock.now_s = HELD_BACK_S - 1
    await role.switcher.look()
    assert role.chair.place.device == "cpu"
    role.clock.now_s = HELD_BACK_S + 1
    await role.switcher.look()
    assert str(role.chair.place) == "best on cuda:0 in batches of 8"
    assert role.switcher.fallback is None


async def test_a_queue_that_breaks_the_goal_brings_a_faster_model_after_the_minimum_stay(seated):
    role = seated()
    role.chair.asked = QueueLoad(100.0, 900.0)
    role.clock.now_s = 59
    await role.switcher.look()
    assert role.chair.place.model == BEST
    role.clock.now_s = 60
    await role.switcher.look()
    assert role.chair.place.model == SMALL
    assert role.switcher.standing.code == "queue_too_long"


async def test_by_hand_at_once_and_back_to_the_selector(seated):
    role = seated()
    role.switcher.by_hand = SMALL
    await role.switcher.look()
    assert str(role.chair.place) == "small on cuda:0 in batches of 8"
    assert (role.switcher.standing.code, role.count("model_switches", reason="by_hand")) == ("by_hand", 1)
    role.clock.now_s = 1000
    await role.switcher.look()
    assert role.chair.place.model == SMALL, "the selector keeps to it"
    role.switcher.by_hand = None
    await role.switcher.look()
    assert role.chair.place.model == BEST


async def test_by_hand_gives_way_where_it_can_not_run(seated):
    role = seated(cuda_0=500, cpu=4000)
    assert role.chair.place.model == SMALL
    role.switcher.by_hand = BEST
    role.memory.free = {"cuda:0": 500, "cpu": 100}
    await role.switcher.look()
    assert role.chair.place.model == SMALL
    assert (role.switcher.not_followed.model, role.switcher.not_followed.code) == (BEST, "not_enough_memory")
    role.memory.free["cuda:0"] = 1500
    await role.switcher.look()
    assert (role.chair.place.model, role.switcher.standing.code) == (BEST, "by_hand")
    assert role.switcher.not_followed is None


async def test_a_model_that_is_refused_does_not_serve_and_says_why(seated):
    role = seated(cuda_0=500, cpu=4000)
    why = Unavailable("people_not_covered", "3 of 12 people have no template in its space")
    role.switcher.refused = lambda name: why if name == BEST else None
    role.memory.free["cuda:0"] = 4000
    role.clock.now_s = 1000
    await role.switcher.look()
    assert role.chair.place.model == SMALL
    assert role.switcher.choice.why_not(BEST).code == "people_not_covered"
    role.switcher.refused = lambda _: None
    await role.switcher.look()
    assert role.chair.place.model == BEST


async def test_a_model_held_back_is_left_at_once(seated):
    role = seated()
    role.switcher.hold_back(BEST, "unhealthy", "gave NaN")
    await role.switcher.look()
    assert (role.chair.place.model, role.switcher.standing.code) == (SMALL, "unhealthy")


async def test_who_is_told_before_and_after(seated):
    role = seated()
    order: list[str] = []

    async def prepare(name: str) -> None:
        order.append(f"prepare {name} while {role.chair.place.model} serves")

    role.switcher.prepare = prepare
    role.switcher.changed = lambda: order.append(f"changed to {role.chair.place.model}")
    role.switcher.by_hand = SMALL
    await role.switcher.look()
    assert order == ["prepare small while best serves", "changed to small"]
