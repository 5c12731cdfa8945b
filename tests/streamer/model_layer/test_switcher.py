"""A role's switcher over a scripted place to sit: what it does about memory, load, failures and people's wishes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from recognition.errors import (
    GpuFailed,
    InsufficientGpuMemory,
    InsufficientMemory,
    SelfTestFailed,
    TritonModelMismatch,
    TritonUnavailable,
    UnsupportedRuntime,
    WeightsDigestMismatch,
)
from recognition.models.device_memory import DeviceMemory
from recognition.models.manager import ModelManager
from recognition.reason import Reason
from recognition.selection.candidates import Placement
from recognition.serving.queue_load import QueueLoad
from recognition.specs.files import load_specs
from recognition.specs.spec import BatchNeeds, EmbedderSpec, Needs
from streamer.model_layer.selection_input import SwitchRules
from streamer.model_layer.switcher import HELD_BACK_S, Switcher
from streamer.telemetry.metrics import Metrics

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
    """A slot; `refuses` says which places can't be had, and why."""

    place: Placement
    refuses: dict[tuple[str, str], Exception] = field(default_factory=dict)
    asked: QueueLoad = field(default_factory=lambda: QueueLoad(10.0, 0.0))
    tried: list[str] = field(default_factory=list)
    room_first: list[bool] = field(default_factory=list)
    needs: list[float | None] = field(default_factory=list)
    asked_of_the_next: QueueLoad | None = None  # a new queue knows nothing yet

    def load(self) -> QueueLoad:
        return self.asked

    async def switch(self, place: Placement, *, need_mib: float | None, room_first: bool) -> None:
        self.tried.append(str(place))
        self.room_first.append(room_first)
        self.needs.append(need_mib)
        if place.key in self.refuses:
            raise self.refuses[place.key]
        self.place = place
        self.asked = self.asked_of_the_next or self.asked


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

    manager: ModelManager

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"whosthere_{name}_total", labels) or 0.0

    def active(self, model: str, device: str) -> float:
        labels = {"model": model, "device": device}
        return self.metrics.registry.get_sample_value("whosthere_model_active", labels) or 0.0

    @contextmanager
    def holding(self, model: str, device: str, mib: float) -> Iterator[None]:
        """The model serves and holds so much."""
        with self.manager.ledger.reserve(model, device, None) as reservation, reservation.in_use():
            reservation.settle(mib)
            yield


@pytest.fixture
def begin() -> Callable[..., Role]:
    def make(
        device: str = "auto",
        goal_ms: float | None = 300,
        names: tuple[str, ...] = (BEST, SMALL),
        minimum_s: float = 60.0,
        **free: float,
    ) -> Role:
        memory = Memory({key.replace("_", ":"): mib for key, mib in (free or {"cuda_0": 4000, "cpu": 4000}).items()})
        manager = ModelManager([], specs=SPECS, reader=memory)
        clock, metrics = Clock(), Metrics()
        rules = SwitchRules(names, "accuracy", device, goal_ms, minimum_s, 8, lambda _: 1)
        manager.why_not = lambda name: None  # type: ignore[method-assign]
        switcher = Switcher(manager, rules, None, metrics, clock=clock)
        return Role(switcher, memory, clock, metrics, Chair(switcher.first()), manager)

    return make


@pytest.fixture
def seated(begin) -> Callable[..., Role]:
    def make(**options: object) -> Role:
        role = begin(**options)
        role.switcher.attached(role.chair)
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
    role.switcher.attached(role.chair)
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
    role.chair.place = Placement(role.chair.place.model, "cpu", role.chair.place.bucket)
    role.switcher.attached(role.chair)
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


async def test_a_queue_is_cut_down_for_the_minimum_stay_before_a_faster_model_serves(seated):
    role, held = seated(), [0.0]
    role.switcher.hooks.shed_s = lambda: held[0]
    role.chair.asked = QueueLoad(100.0, 900.0)
    role.clock.now_s = 1000
    for held[0] in (0.0, 59.0):
        await role.switcher.look()
        assert role.chair.place.model == BEST
        assert role.switcher.put_off.code == "shedding_first"
    held[0] = 60.0
    await role.switcher.look()
    assert (role.chair.place.model, role.switcher.standing.code) == (SMALL, "queue_too_long")


async def test_memory_that_runs_out_waits_for_no_shedding(seated):
    role = seated()
    role.switcher.hooks.shed_s = lambda: 0.0
    role.memory.free["cuda:0"] = 0
    assert await role.switcher.trouble(role.chair.place, InsufficientGpuMemory("out"))
    assert role.chair.place.model == SMALL


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
    why = Reason("people_not_covered", "3 of 12 people have no template in its space")
    role.switcher.hooks.refused = lambda name: why if name == BEST else None
    role.memory.free["cuda:0"] = 4000
    role.clock.now_s = 1000
    await role.switcher.look()
    assert role.chair.place.model == SMALL
    assert role.switcher.choice.why_not(BEST).code == "people_not_covered"
    role.switcher.hooks.refused = lambda _: None
    await role.switcher.look()
    assert role.chair.place.model == BEST


async def test_a_model_held_back_is_left_at_once(seated):
    role = seated()
    role.switcher.hold_back(BEST, Reason("unhealthy", "gave NaN"))
    await role.switcher.look()
    assert (role.chair.place.model, role.switcher.standing.code) == (SMALL, "unhealthy")


async def test_who_is_told_before_and_after(seated):
    role = seated()
    order: list[str] = []

    async def prepare(name: str) -> None:
        order.append(f"prepare {name} while {role.chair.place.model} serves")

    role.switcher.hooks.prepare = prepare
    role.switcher.hooks.changed = lambda: order.append(f"changed to {role.chair.place.model}")
    role.switcher.by_hand = SMALL
    await role.switcher.look()
    assert order == ["prepare small while best serves", "changed to small"]


def test_where_to_begin_is_asked_again_while_another_role_could_not_begin(begin):
    role = begin()
    assert role.switcher.first() == role.chair.place


@pytest.mark.parametrize("error", [TritonUnavailable("away"), WeightsDigestMismatch("other weights")])
def test_what_can_not_be_loaded_at_start_is_left_for_another_and_told_as_it_is_where_there_is_none(begin, error):
    role = begin(goal_ms=None, cpu=4000)
    assert role.switcher.could_not_begin(error)
    assert role.switcher.first().model == SMALL
    assert role.switcher.choice.why_not(BEST).code == error.code
    assert not role.switcher.could_not_begin(error)
    assert not begin(names=(SMALL,), cpu=4000).switcher.could_not_begin(error)


async def test_out_of_memory_steps_down_without_a_minimum_stay_too(seated):
    role = seated(minimum_s=0)
    role.memory.free["cuda:0"] = 0
    assert await role.switcher.trouble(role.chair.place, InsufficientGpuMemory("out"))
    assert role.chair.place.device == "cpu"


async def test_a_place_that_fails_again_is_not_tried_for_ever(seated):
    """Each attempt takes longer than what failed is held back for."""
    role = seated(minimum_s=1)

    class Slow(Chair):
        async def switch(self, place: Placement, *, need_mib: float | None, room_first: bool) -> None:
            role.clock.now_s += 3600
            assert len(self.tried) < 100
            await super().switch(place, need_mib=need_mib, room_first=room_first)

    refuses: dict[tuple[str, str], Exception] = dict.fromkeys(
        [(SMALL, "cuda:0"), (BEST, "cuda:0"), (SMALL, "cpu"), (BEST, "cpu")], InsufficientMemory("no")
    )
    chair = Slow(role.chair.place, refuses)
    role.switcher.attached(chair)
    assert not await role.switcher.trouble(chair.place, InsufficientGpuMemory("out"))


async def test_a_gpu_that_fails_after_it_was_out_of_memory_is_left(seated):
    role = seated()
    assert await role.switcher.trouble(role.chair.place, InsufficientGpuMemory("out"))
    assert str(role.chair.place) == "best on cuda:0 in batches of 1"
    assert await role.switcher.trouble(role.chair.place, GpuFailed("CUDA failure 700"))
    assert str(role.chair.place) == "small on cuda:0 in batches of 8"
    assert await role.switcher.trouble(role.chair.place, GpuFailed("CUDA failure 700"))
    assert str(role.chair.place) == "small on cpu in batches of 8"


async def test_what_fails_its_tests_on_one_device_goes_on_serving_on_another(seated):
    role = seated(cuda_0=100, cpu=4000, goal_ms=None)
    role.chair.asked = QueueLoad(1.0, 0.0)
    assert role.chair.place.key == (BEST, "cpu")
    role.memory.free["cuda:0"] = 4000
    role.chair.refuses = {(BEST, "cuda:0"): SelfTestFailed("another answer")}
    role.clock.now_s = 100
    await role.switcher.look()
    await role.switcher.look()
    assert role.chair.tried == ["best on cuda:0 in batches of 8"], "nor is it left, or tried again at once"
    assert role.chair.place.key == (BEST, "cpu")
    assert role.switcher.choice.why_not(BEST, "cuda:0").code == "self_test_failed"
    assert role.switcher.fallback.code == "self_test_failed"
    role.chair.refuses = {}
    role.clock.now_s = 100 + HELD_BACK_S
    await role.switcher.look()
    assert role.chair.place.key == (BEST, "cuda:0")


async def test_what_fails_wherever_it_is_loaded_is_unavailable(seated):
    role = seated(cuda_0=500, cpu=4000)
    role.chair.refuses = dict.fromkeys([(BEST, "cuda:0"), (BEST, "cpu")], WeightsDigestMismatch("other weights"))
    role.switcher.by_hand = BEST
    role.memory.free["cuda:0"] = 4000
    await role.switcher.look()
    assert role.chair.place.model == SMALL
    assert len(role.chair.tried) == 2
    (best,) = [one for one in role.switcher.candidates() if one.model == BEST]
    assert best.unavailable.code == "weights_digest_mismatch"
    assert role.switcher.not_followed.code == "weights_digest_mismatch"


async def test_a_model_that_went_for_another_which_then_could_not_be_had_is_said_to_serve_no_more(seated, caplog):
    role = seated(cuda_0=1000, cpu=50)
    place = role.chair.place
    for bucket in (8, 1):
        role.switcher._hysteresis.out_of_memory(0, Placement(BEST, "cuda:0", bucket))
    role.memory.free["cuda:0"] = 0
    role.chair.refuses = {(SMALL, "cuda:0"): InsufficientGpuMemory("no")}
    told: list[str] = []
    role.switcher.hooks.changed = lambda: told.append(role.switcher.standing.code)
    with role.holding(BEST, "cuda:0", 1000):
        assert not await role.switcher.trouble(place, InsufficientGpuMemory("out"))
    assert role.chair.room_first == [True, False], "the second time there is nobody to go"
    assert (role.switcher.standing.code, role.switcher.vacant) == ("nothing_fits", True)
    assert role.active(BEST, "cuda:0") == 0
    tried = len(role.chair.tried)
    role.clock.now_s = 59
    await role.switcher.look()
    assert told == ["nothing_fits"]
    assert not await role.switcher.trouble(place, InsufficientGpuMemory("out")), "who asks does not put it off"
    role.clock.now_s = 61
    role.memory.free["cuda:0"] = 4000
    role.chair.refuses = {}
    await role.switcher.look()
    assert len(role.chair.tried) == tried + 1
    assert str(role.chair.place) == "best on cuda:0 in batches of 8"
    assert (role.switcher.vacant, role.active(BEST, "cuda:0")) == (False, 1)


@pytest.mark.parametrize(("names", "goes"), [((BEST, SMALL), True), ((BEST,), False)])
async def test_a_model_that_was_made_an_end_of_is_loaded_anew_in_time(seated, names, goes):
    role = seated(names=names, device="cpu", goal_ms=None, cpu=4000)
    role.chair.asked = QueueLoad(1.0, 0.0)
    place, end = role.chair.place, TritonModelMismatch("other weights")
    assert await role.switcher.trouble(place, end) is goes
    assert role.switcher.vacant is not goes
    role.clock.now_s = 40
    assert await role.switcher.trouble(place, end) is goes
    role.clock.now_s = 100
    await role.switcher.look()
    assert role.chair.place.model == BEST
    assert (len(role.chair.tried), role.switcher.vacant) == (2 if goes else 1, False)


async def test_what_was_asked_for_before_a_switch_counts_until_the_next_queue_knows(seated):
    """Else a model that is far too slow looks as if it kept up with nothing."""
    role = seated(goal_ms=None)
    role.chair.asked = QueueLoad(100.0, 0.0)
    role.chair.asked_of_the_next = QueueLoad(0.0, 0.0)
    role.memory.free["cuda:0"] = 350
    assert await role.switcher.trouble(role.chair.place, InsufficientGpuMemory("out"))
    assert str(role.chair.place) == "small on cuda:0 in batches of 8"
    role.memory.free["cuda:0"] = 0
    role.clock.now_s = 1
    assert await role.switcher.trouble(role.chair.place, InsufficientGpuMemory("out"))
    assert role.chair.place.key == (SMALL, "cpu")


async def test_runs_that_go_on_failing_are_counted_and_told_of_once(seated, caplog):
    role = seated()
    role.memory.free = {"cuda:0": 0, "cpu": 0}
    for _ in range(5):
        assert not await role.switcher.trouble(role.chair.place, InsufficientGpuMemory("out of memory"))
    assert caplog.messages == ["out of memory"]
    assert role.count("model_troubles", model=BEST, device="cuda:0", code="insufficient_gpu_memory") == 5
    caplog.clear()
    asked_for = seated(device="cuda:0")
    for _ in range(5):
        assert not await asked_for.switcher.trouble(asked_for.chair.place, GpuFailed("CUDA failure 700"))
    assert caplog.messages == ["CUDA failure 700"]


async def test_what_serves_on_the_cpu_for_being_better_there_is_no_fallback(begin):
    role = begin(cuda_0=100, cpu=4000, names=(SMALL,))
    role.switcher.attached(role.chair)
    assert role.switcher.fallback.code == "not_enough_memory"
    role.memory.free["cuda:0"] = 4000
    await role.switcher.look()
    assert role.chair.place.device == "cpu"
    assert role.switcher.fallback.code == "minimum_stay", "it would be on the GPU, and is not yet"
    role.switcher.weighed.rules = replace(role.switcher.weighed.rules, requirement="minimal_memory")
    await role.switcher.look()
    assert role.switcher.fallback is None


async def test_room_is_asked_for_wherever_a_model_is_loaded_anew(seated):
    role = seated()
    role.switcher.hold_back(BEST, Reason("gpu_failed", "scripted"), "cuda:0")
    role.switcher.by_hand = BEST
    await role.switcher.look()
    assert role.chair.tried == ["best on cpu in batches of 1"]
    assert role.chair.needs == [500]


async def test_who_chooses_by_hand_has_it_tried_again_at_once(seated):
    role = seated()
    role.switcher.hold_back(SMALL, Reason("weights_digest_mismatch", "other weights"))
    role.switcher.choose_by_hand(SMALL)
    await role.switcher.look()
    assert role.chair.place.model == SMALL
    role.switcher.choose_by_hand(None)
    await role.switcher.look()
    assert role.chair.place.model == SMALL, "it has the minimum stay"
