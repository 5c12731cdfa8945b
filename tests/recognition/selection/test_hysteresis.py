"""When a choice is followed: the rules one by one, a story of a day, and what holds for any readings at all."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recognition.models.ledger import Ledger, Reservation
from recognition.reason import Reason
from recognition.selection.candidates import Candidate, Load, Placement
from recognition.selection.hysteresis import Hysteresis, HysteresisRules, SwitchDecision
from recognition.selection.selector import Choice, choose
from tests.recognition.ladder import MBF, R100, Table, candidate, ladder
from tests.recognition.scripted_memory import ScriptedMemory

RULES = HysteresisRules(minimum_s=60, margin_share=0.1, margin_mib=100)
R100_32, MBF_32, MBF_CPU = Placement("r100", "cuda:0", 32), Placement("mbf", "cuda:0", 32), Placement("mbf", "cpu", 8)


def chosen(stay: Hysteresis, cuda_mib: float, cpu_mib: float = 8000, **load: float) -> Choice:
    """As if the models held nothing but what serves."""
    free = {"cuda:0": cuda_mib, "cpu": cpu_mib}
    return choose(ladder()[:2], free, "accuracy", Load(30, **load, serving=stay.serving))


def serving(place: Placement, since_s: float = 0, memory_mib: float | None = 400) -> Hysteresis:
    stay = Hysteresis(RULES)
    stay.chosen_by_hand(since_s, place, memory_mib)
    return stay


def said(verdict: SwitchDecision) -> tuple[str, str | None]:
    return verdict.code, str(verdict.switch_to.place) if verdict.switch_to else None


def test_the_first_place_is_taken_at_once_even_without_a_margin():
    stay = Hysteresis(RULES)
    verdict = stay.weigh(5, chosen(stay, 1200))

    assert said(verdict) == ("first", str(R100_32))
    stay.switched(5, verdict)
    assert said(stay.weigh(6, chosen(stay, 0))) == ("best", None)


def test_a_step_up_waits_for_the_minimum_stay_and_for_the_margin():
    stay = serving(MBF_32)

    assert said(stay.weigh(59.9, chosen(stay, 8000))) == ("minimum_stay", None)
    assert said(stay.weigh(60, chosen(stay, 8000))) == ("better", str(R100_32))
    # 32 needs 1200 MiB and a tenth of that stays free; 8 needs 1000; 1 needs 900
    assert said(stay.weigh(60, chosen(stay, 1320))) == ("better", str(R100_32))
    assert said(stay.weigh(60, chosen(stay, 1319))) == ("better", "r100 on cuda:0 in batches of 8")
    assert said(stay.weigh(60, chosen(stay, 1000))) == ("better", "r100 on cuda:0 in batches of 1")
    assert said(stay.weigh(60, chosen(stay, 999))) == ("margin", None)
    assert "takes 900 of 999 MiB, and 100 MiB have to stay free" in stay.weigh(60, chosen(stay, 999)).why


def test_what_is_asked_is_cut_down_first_where_it_is_too_much_and_only_there():
    stay = serving(R100_32, memory_mib=1200)
    late = chosen(stay, 8000, queue_delay_ms=900.0, latency_goal_ms=500.0)
    assert said(stay.weigh(100, late, 0.0)) == ("shedding_first", None)
    assert "cut down for 59 s of at least 60" in stay.weigh(100, late, 59.0).why
    assert said(stay.weigh(100, late, 60.0)) == ("queue_too_long", str(MBF_32))
    assert said(stay.weigh(100, late)) == ("queue_too_long", str(MBF_32)), "nothing is ever cut down"
    slow = chosen(stay, 8000, latency_goal_ms=60.0)  # by its own time, however little is asked
    assert said(stay.weigh(100, slow, 0.0)) == ("latency_goal_missed", "r100 on cuda:0 in batches of 8")
    up = serving(MBF_32)
    assert said(up.weigh(100, chosen(up, 8000), 0.0)) == ("better", str(R100_32))


def test_weighing_changes_nothing():
    stay = serving(MBF_32)

    assert [said(stay.weigh(70, chosen(stay, 8000))) for _ in range(3)] == [("better", str(R100_32))] * 3
    assert stay.serving == MBF_32


def test_a_step_up_to_what_nobody_measured_is_not_taken():
    unknown: Table = {"cuda:0": {1: (None, None)}}
    stay = serving(Placement("old", "cpu", 1), memory_mib=None)
    models = [candidate("new", unknown, 0.9), candidate("old", {"cpu": {1: (None, None)}}, 0.9)]

    verdict = stay.weigh(100, choose(models, {"cuda:0": 9000, "cpu": 9000}, "accuracy", Load(serving=stay.serving)))
    assert said(verdict) == ("margin", None)
    assert "never measured" in verdict.why


def test_out_of_memory_steps_down_at_once_bucket_by_bucket_then_model_then_cpu():
    stay = serving(R100_32, since_s=0, memory_mib=1200)
    walk = []
    for _ in range(7):
        assert stay.serving is not None
        stay.out_of_memory(1, stay.serving)
        bars = {model.model: {d: stay.bar(1, model.model, d) for d in model.devices} for model in ladder()}
        held = {"cuda:0": 1200.0} if stay.serving.model == "r100" else {"cuda:0": 400.0}
        models = [
            candidate(name, table, accuracy, bars=bars[name], held=held if stay.serving.model == name else None)
            for name, table, accuracy in (("r100", R100, 0.998), ("mbf", MBF, 0.992))
        ]
        verdict = stay.weigh(1, choose(models, {"cuda:0": 0, "cpu": 400}, "accuracy", Load(serving=stay.serving)))
        assert (verdict.forced, verdict.code) == (True, "out_of_memory")
        stay.switched(1, verdict)
        walk.append(str(verdict.switch_to.place))

    assert walk == [
        "r100 on cuda:0 in batches of 8",
        "r100 on cuda:0 in batches of 1",
        "mbf on cuda:0 in batches of 32",
        "mbf on cuda:0 in batches of 8",
        "mbf on cuda:0 in batches of 1",
        "mbf on cpu in batches of 8",
        "mbf on cpu in batches of 1",
    ]


def test_where_memory_ran_out_is_barred_for_a_while_and_longer_each_time():
    stay = serving(MBF_32)
    holds = []
    now_s = 0.0
    for _ in range(8):
        stay.out_of_memory(now_s, Placement("r100", "cuda:0", 1))
        assert said(stay.weigh(now_s, chosen(stay, 1500))) == ("held_back", None)
        bar = stay.bar(now_s, "r100", "cuda:0")
        assert (bar.bucket, bar.code) == (1, "out_of_memory")
        held_s = next(s for s in range(100_000) if stay.bar(now_s + s, "r100", "cuda:0") is None)
        holds.append(held_s)
        now_s += held_s
    assert holds == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    now_s += 7200
    stay.out_of_memory(now_s, R100_32)
    assert stay.bar(now_s + 60, "r100", "cuda:0") is None, "it went well for as long: the count begins anew"


def test_a_smaller_bucket_that_runs_out_lowers_the_bar():
    stay = serving(R100_32)
    stay.out_of_memory(0, R100_32)
    stay.out_of_memory(1, Placement("r100", "cuda:0", 8))
    stay.out_of_memory(2, R100_32)

    assert stay.bar(3, "r100", "cuda:0").bucket == 8
    assert stay.bar(3, "r100", "cpu") is None


def test_a_choice_from_before_memory_ran_out_does_not_keep_the_place():
    stay = serving(R100_32, memory_mib=1200)
    choice = chosen(stay, 8000)
    stay.out_of_memory(1, R100_32)

    assert said(stay.weigh(1, choice)) == ("out_of_memory", "r100 on cuda:0 in batches of 8")


def test_a_late_place_is_left_after_the_minimum_stay_and_not_taken_again_at_once():
    stay = serving(R100_32, memory_mib=1200)
    late = {"queue_delay_ms": 900.0, "latency_goal_ms": 500.0}

    assert said(stay.weigh(30, chosen(stay, 500, **late))) == ("minimum_stay", None)
    verdict = stay.weigh(60, chosen(stay, 500, **late))
    assert said(verdict) == ("queue_too_long", str(MBF_32))
    assert not verdict.forced
    stay.switched(60, verdict)
    assert said(stay.weigh(119, chosen(stay, 8000))) == ("held_back", None)
    back = stay.weigh(120, chosen(stay, 8000))
    assert said(back) == ("better", str(R100_32))
    stay.switched(120, back)
    again = stay.weigh(180, chosen(stay, 500, **late))
    stay.switched(180, again)
    assert said(stay.weigh(299, chosen(stay, 8000))) == ("held_back", None), "twice as long the second time"
    assert said(stay.weigh(300, chosen(stay, 8000))) == ("better", str(R100_32))


def test_a_place_that_was_late_still_serves_where_nothing_else_can():
    stay = serving(MBF_CPU, memory_mib=90)
    free = {"cuda:0": 8000.0, "cpu": 8000.0}
    late = Load(queue_delay_ms=900, latency_goal_ms=500, serving=MBF_CPU)
    verdict = stay.weigh(60, choose(ladder()[1:2], free, "accuracy", late))
    stay.switched(60, verdict)
    assert verdict.switch_to.place == MBF_32

    stay.out_of_memory(61, Placement("mbf", "cuda:0", 1))
    only_cpu = choose(ladder()[1:2], {"cpu": 8000}, "accuracy", Load(serving=MBF_32))
    assert said(stay.weigh(61, only_cpu)) == ("out_of_memory", str(MBF_CPU))


@pytest.mark.parametrize(("code", "why"), [("unhealthy", "gave NaN"), ("people_not_covered", "3 of 12 are missing")])
def test_a_model_that_cannot_go_on_is_left_at_once_for_its_reason(code: str, why: str):
    stay = serving(R100_32, memory_mib=1200)
    models = [candidate("r100", R100, 0.998, unavailable=Reason(code, why)), ladder()[1]]

    verdict = stay.weigh(1, choose(models, {"cuda:0": 500, "cpu": 500}, "accuracy", Load(serving=R100_32)))
    assert (said(verdict), verdict.forced) == ((code, str(MBF_32)), True)
    assert why in verdict.why


def test_forced_away_it_rather_goes_down_than_up_without_a_margin():
    stay = serving(Placement("nano", "cpu", 8), memory_mib=30)
    models = [*ladder()[:2], candidate("nano", {}, 0.95)]

    def target(cuda_mib: float, cpu_mib: float) -> tuple[str, str | None]:
        free = {"cuda:0": cuda_mib, "cpu": cpu_mib}
        return said(stay.weigh(1, choose(models, free, "accuracy", Load(1, serving=stay.serving))))

    assert target(8000, 300) == ("no_device", str(R100_32))
    assert target(901, 300) == ("no_device", str(MBF_32)), "leaves its margin"
    assert target(301, 300) == ("no_device", str(MBF_CPU)), "more than nano on the same device, with a margin"
    assert target(301, 61) == ("no_device", "mbf on cuda:0 in batches of 1"), "no margin anywhere: the best that fits"


def test_nothing_fits_leaves_things_as_they_are():
    stay = Hysteresis(RULES)

    assert said(stay.weigh(0, chosen(stay, 0, 0))) == ("nothing_fits", None)
    with pytest.raises(ValueError, match="to stay"):
        stay.switched(0, stay.weigh(0, chosen(stay, 0, 0)))


@dataclass
class Machine:
    """The part of a service that switches: reads memory, chooses, and does what Hysteresis says, without any model."""

    memory: ScriptedMemory
    stay: Hysteresis
    models: tuple[tuple[str, Table, float], ...] = (("r100", R100, 0.998), ("mbf", MBF, 0.992))

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.memory)
        self.loaded: dict[tuple[str, str], Reservation] = {}

    def candidates(self, now_s: float, unhealthy: str | None = None) -> list[Candidate]:
        return [
            candidate(
                name,
                table,
                accuracy,
                held={d: r.holding().held_mib for (owner, d), r in self.loaded.items() if owner == name},
                bars={device: self.stay.bar(now_s, name, device) for device in table},
                unavailable=Reason("unhealthy", "gave NaN") if name == unhealthy else None,
            )
            for name, table, accuracy in self.models
        ]

    def look(self, now_s: float, unhealthy: str | None = None, **load: float) -> tuple[SwitchDecision, Choice]:
        choice = choose(
            self.candidates(now_s, unhealthy),
            self.ledger.room_mib(),
            "accuracy",
            Load(**load, serving=self.stay.serving),
        )
        return self.stay.weigh(now_s, choice), choice

    def follow(self, now_s: float, verdict: SwitchDecision) -> None:
        """Unload what has to go, load the new one beside the old one, then unload the old one."""
        option = verdict.switch_to
        for key in [key for key in self.loaded if key[0] in option.unload_first and key[1] == option.place.device]:
            self.unload(key)
        if option.place.key not in self.loaded:
            with self.ledger.reserve(option.place.model, option.place.device, option.memory_mib) as reservation:
                self.settle(reservation, option.memory_mib)
            self.loaded[option.place.key] = reservation
        else:
            self.settle(self.loaded[option.place.key], option.memory_mib)
        for key in [key for key in self.loaded if key != option.place.key]:
            self.unload(key)
        self.stay.switched(now_s, verdict)

    def settle(self, reservation: Reservation, mib: float) -> None:
        self.memory.ours[reservation.device] += mib - reservation.holding().held_mib
        reservation.settle(mib)

    def unload(self, key: tuple[str, str]) -> None:
        reservation = self.loaded.pop(key)
        self.memory.ours[key[1]] -= reservation.holding().held_mib
        assert reservation.retire()


def test_a_day_plenty_taken_out_of_memory_free_again():
    memory = ScriptedMemory(cuda_0=4000, cpu=4000)
    machine = Machine(memory, Hysteresis(RULES))
    steps: list[str] = []

    def turn(now_s: float) -> None:
        while (verdict := machine.look(now_s, faces_per_s=30)[0]).switch_to is not None:
            machine.follow(now_s, verdict)
            steps.append(f"{now_s:.0f} {verdict.code}: {verdict.switch_to.place}")

    turn(0)
    memory.others["cuda:0"] = 2800  # another program takes all that is left: what is loaded goes on
    turn(100)
    for _ in range(3):  # ... until a batch needs more than there is
        machine.stay.out_of_memory(101, machine.stay.serving)
        turn(101)
    for _ in range(3):
        memory.others["cuda:0"] = 4000 - memory.ours["cuda:0"]
        machine.stay.out_of_memory(110, machine.stay.serving)
        turn(110)
    assert memory.ours == {"cuda:0": 0, "cpu": 90}
    turn(400)
    memory.others["cuda:0"] = 4000 - 450  # a little comes free: enough for the small one and its margin
    turn(500)
    turn(530)
    memory.others["cuda:0"] = 0
    turn(559)
    turn(560)
    turn(10_000)

    assert steps == [
        "0 first: r100 on cuda:0 in batches of 32",
        "101 out_of_memory: r100 on cuda:0 in batches of 8",
        "101 out_of_memory: r100 on cuda:0 in batches of 1",
        "101 out_of_memory: mbf on cuda:0 in batches of 32",
        "110 out_of_memory: mbf on cuda:0 in batches of 8",
        "110 out_of_memory: mbf on cuda:0 in batches of 1",
        "110 out_of_memory: mbf on cpu in batches of 8",
        "500 better: mbf on cuda:0 in batches of 8",
        "560 better: r100 on cuda:0 in batches of 32",
    ]
    assert [holding.owner for holding in machine.ledger.holdings()] == ["r100"]


@dataclass(frozen=True)
class Reading:
    after_s: float
    cuda_taken: float
    cpu_taken: float
    faces_per_s: float
    queue_delay_ms: float
    event: str


READINGS = st.lists(
    st.builds(
        Reading,
        after_s=st.sampled_from([0.0, 0.5, 10.0, 59.9, 60.0, 61.0, 500.0]),
        cuda_taken=st.sampled_from([0.0, 600.0, 700.0, 800.0, 1100.0, 1600.0, 2000.0]),
        cpu_taken=st.sampled_from([0.0, 0.0, 1900.0]),
        faces_per_s=st.sampled_from([0.0, 30.0, 400.0, 900.0]),
        queue_delay_ms=st.sampled_from([0.0, 0.0, 300.0, 2000.0]),
        event=st.sampled_from(["", "", "", "out_of_memory", "r100", "mbf"]),
    ),
    max_size=40,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(READINGS)
def test_whatever_happens_it_never_flaps(readings: list[Reading]):
    memory = ScriptedMemory(cuda_0=2000, cpu=2000)
    machine = Machine(memory, Hysteresis(RULES))
    now_s, last_voluntary_s = 0.0, -1e9
    ran_out: dict[Placement, float] = {}
    for reading in readings:
        now_s += reading.after_s
        for device, taken in (("cuda:0", reading.cuda_taken), ("cpu", reading.cpu_taken)):
            memory.others[device] = min(taken, memory.total_mib[device] - memory.ours[device])
        left = machine.stay.serving
        if reading.event == "out_of_memory" and left is not None:
            machine.stay.out_of_memory(now_s, left)
            ran_out[left] = now_s
        verdict, choice = machine.look(
            now_s,
            unhealthy=reading.event if reading.event in ("r100", "mbf") else None,
            faces_per_s=reading.faces_per_s,
            queue_delay_ms=reading.queue_delay_ms,
            latency_goal_ms=500.0,
        )
        target = verdict.switch_to
        can_go_on = left in [option.place for option in choice.options]
        if choice.options and not can_go_on:
            assert target is not None, "what can't go on is left at once"
        if target is None:
            continue
        assert target in choice.options
        assert target.place != left
        assert now_s - ran_out.get(target.place, -1e9) >= RULES.minimum_s, "back where memory just ran out"
        assert verdict.forced == (not can_go_on)
        if not verdict.forced:
            assert now_s - last_voluntary_s >= RULES.minimum_s, "two voluntary switches within the minimum stay"
            if machine.stay.is_step_up(target):
                assert target.room_mib - target.more_mib >= RULES.margin_of(target), "a step up without a margin"
            last_voluntary_s = now_s
        machine.follow(now_s, verdict)
        assert all(holding.promised_mib == 0 for holding in machine.ledger.holdings())
        assert memory.read()["cuda:0"].free_mib >= 0
