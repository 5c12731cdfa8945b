"""The plan as a whole, in made-up time: the goal is kept, nobody is left out, nothing swings, all comes back."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from recognition.selection.candidates import Load, Placement
from recognition.selection.hysteresis import Hysteresis, HysteresisRules
from recognition.selection.selector import choose
from streamer.shedding.turns import LEAST_SHARE
from tests.recognition.ladder import candidate
from tests.streamer.shedding.simulation import Machine, MadeUpCamera, play

GOAL_S = 0.4


def cameras(
    count: int, faces: Callable[[int], int] = lambda number: 0, fps: Callable[[float], float] = lambda now_s: 10.0
) -> Callable[[Machine], list[MadeUpCamera]]:
    def make(machine: Machine) -> list[MadeUpCamera]:
        return [
            MadeUpCamera(f"cam{number}", machine, fps, lambda _, n=number: faces(n), phase_s=0.013 * number)  # type: ignore[misc]
            for number in range(count)
        ]

    return make


# What a frame and each of its faces take, s; how many cameras; how many faces on each.
LOADS = {
    "twice too much": ({}, cameras(10)),
    "with faces": ({}, cameras(8, lambda number: 3)),
    "a slow machine": ({"run_s": 0.1, "face_s": 0.02}, cameras(8, lambda number: 2)),
    "one core": ({"runners": 1, "run_s": 0.1, "face_s": 0.02}, cameras(2, lambda number: 3)),
    "many cameras": ({"run_s": 0.02}, cameras(40, lambda number: 1)),
    "a GPU": ({"runners": 1, "run_s": 0.05, "batch": 16}, cameras(50)),
}


@pytest.mark.parametrize("load", LOADS)
def test_the_goal_is_kept_by_frames_that_are_left_out_and_as_many_are_done(load):
    kind, make = LOADS[load]
    before = play(lambda: Machine(sheds=False, **kind), make, 20)
    after = play(lambda: Machine(**kind), make, 20)
    assert before.latency_s(5, 20) > GOAL_S, "else there is nothing to shed"
    assert after.latency_s(5, 20) < GOAL_S
    assert after.per_s(5, 20) >= 0.95 * before.per_s(5, 20)
    assert after.shed(what="frame") > 0


@pytest.mark.parametrize("load", LOADS)
def test_it_comes_to_rest(load):
    kind, make = LOADS[load]
    machine = play(lambda: Machine(**kind), make, 40)
    sizes = [size for at_s, size in machine.sizes if at_s > 10]
    middle = sorted(sizes)[len(sizes) // 2]
    assert all(abs(size - middle) <= max(2, 0.35 * middle) for size in sizes)
    seconds = [machine.per_s(second, second + 5) for second in range(10, 40, 5)]
    assert max(seconds) - min(seconds) < 0.15 * max(seconds)


@pytest.mark.parametrize("with_faces", [1, 4, 7])
def test_cameras_with_faces_fall_last_and_no_other_under_half_of_the_mean(with_faces):
    machine = play(Machine, cameras(8, lambda number: 2 if number < with_faces else 0), 60)
    mean = machine.per_s(10, 60) / 8
    shares = [machine.per_s(10, 60, f"cam{number}") for number in range(8)]
    assert min(shares) > mean / 2
    assert min(shares[:with_faces]) > max(shares[with_faces:])
    assert min(shares[with_faces:]) >= (LEAST_SHARE - 0.05) * mean


def test_a_machine_that_keeps_up_is_left_alone():
    machine = play(Machine, cameras(3, lambda number: 1), 30)
    assert machine.per_s(5, 30) == pytest.approx(30.0, abs=0.2)
    assert machine.shed(what="frame") == 0
    assert machine.shedder.held_s() is not None


def test_large_batches_are_filled():
    """32 frames take as long as one: what was let in at first must not be all that ever is."""
    kind = {"runners": 1, "run_s": 0.05, "batch": 32}
    before = play(lambda: Machine(sheds=False, **kind), cameras(50), 10)
    after = play(lambda: Machine(**kind), cameras(50), 10)
    assert before.latency_s(2, 10) < GOAL_S
    assert after.per_s(2, 10) >= 0.95 * before.per_s(2, 10)
    assert after.shed(what="frame") == 0


def test_a_server_that_answers_late_but_many_at_once_is_kept_busy():
    """As over a network: each answer takes its time, however many are asked for."""
    kind = {"runners": 64, "run_s": 0.15}
    before = play(lambda: Machine(sheds=False, **kind), cameras(30), 10)
    after = play(lambda: Machine(**kind), cameras(30), 10)
    assert after.per_s(3, 10) >= 0.95 * before.per_s(3, 10)


def test_it_acts_within_a_second_and_all_comes_back_when_the_load_falls():
    machine = play(Machine, cameras(8, lambda number: 2, lambda now_s: 10.0 if 20 <= now_s < 40 else 4.0), 60)
    assert machine.shed(what="frame") > 0
    assert machine.latency_s(21, 40) < GOAL_S
    assert machine.latency_s(20, 21) < 1.5 * GOAL_S
    for calm in ((5, 20), (42, 60)):
        assert machine.per_s(*calm) == pytest.approx(32.0, abs=0.5)
        assert machine.latency_s(*calm) < GOAL_S / 2


def test_who_walks_by_is_seen_often_enough_even_where_the_machine_is_far_too_slow():
    """Six seconds before each camera, again and again; a name takes three frames that follow each other closely."""

    def walkers(machine: Machine) -> list[MadeUpCamera]:
        def faces(number: int) -> Callable[[float], int]:
            return lambda now_s: 1 if (now_s + 1.5 * number) % 12 < 6 else 0

        return [
            MadeUpCamera(f"cam{number}", machine, faces=faces(number), phase_s=0.01 * number) for number in range(8)
        ]

    def named(sheds: bool) -> int:
        machine = play(lambda: Machine(sheds=sheds, run_s=0.4, face_s=0.1), walkers, 120)
        return len({(camera, int(at_s + 1.5 * int(camera[3:])) // 12) for camera, at_s in machine.named})

    before, after = named(False), named(True)
    assert before < 20 < 50 < after, (before, after)


# The ladder after it.

BEST, SMALL = Placement("best", "cpu", 1), Placement("small", "cpu", 1)
FACE_S = {"best": 0.15, "small": 0.01}
GOAL_MS, MINIMUM_S = 300.0, 20.0


class Ladder:
    """Two embedders, looked at each second by the real selector and hysteresis; `faces`: of each frame."""

    def __init__(self, faces: int, sees_shedding: bool = True) -> None:
        self.faces, self.sees_shedding = faces, sees_shedding
        self.stay = Hysteresis(HysteresisRules(minimum_s=MINIMUM_S))
        self.stay.chosen_by_hand(0.0, BEST, 50.0)
        self.switches: list[tuple[float, str, str]] = []
        self.asked_before: list[float] = []

    async def look(self, machine: Machine) -> None:
        loop = asyncio.get_running_loop()
        models = [
            candidate(name, {"cpu": {1: (50.0, 1000 * FACE_S[name])}}, accuracy, runners=machine.runners)
            for name, accuracy in (("best", 0.99), ("small", 0.9))
        ]
        while True:
            await asyncio.sleep(1.0)
            now_s = loop.time()
            recent = [took_s for at_s, took_s in machine.faces_s if at_s > now_s - 5.0]
            assert self.stay.serving is not None
            run_s = machine.face_s * self.faces
            waits_ms = sorted(1000 * max(took_s - run_s, 0.0) for took_s in recent)
            delay_ms = waits_ms[int(0.9 * len(waits_ms))] if waits_ms else 0.0
            shed_s = machine.shedder.held_s() if self.sees_shedding else None
            load = Load(len(recent) * self.faces / 5.0, delay_ms, GOAL_MS, self.stay.serving, shed_s)
            verdict = self.stay.weigh(now_s, choose(models, {"cpu": 4000.0}, "accuracy", load), load.shed_s)
            if verdict.switch_to is not None:
                self.stay.switched(now_s, verdict)
                self.switches.append((now_s, verdict.switch_to.place.model, verdict.code))
                machine.face_s = FACE_S[verdict.switch_to.place.model]


def climbed(faces: int, seconds: float, *, sheds: bool = True, count: int = 8, **kind: float) -> tuple[Ladder, Machine]:
    ladder = Ladder(faces, sees_shedding=sheds)
    make = cameras(count, lambda number: faces)
    kind = {"run_s": 0.04, "face_s": FACE_S["best"], **kind}
    return ladder, play(lambda: Machine(sheds=sheds, **kind), make, seconds, ladder.look)  # type: ignore[arg-type]


def test_where_fewer_frames_are_enough_the_better_model_goes_on():
    ladder, machine = climbed(1, 120)
    assert machine.shed(what="frame") > 0
    assert machine.latency_s(10, 120) < GOAL_S
    assert ladder.switches == []
    before, _ = climbed(1, 60, sheds=False)
    assert before.switches, "without shedding a worse one would serve"


def test_a_faster_model_serves_only_after_shedding_has_held_for_the_minimum_stay_and_it_stays():
    ladder, machine = climbed(4, 200)
    first_s, model, _ = ladder.switches[0]
    assert model == "small"
    assert first_s >= MINIMUM_S
    assert machine.latency_s(first_s + 10, 200) < GOAL_S
    later = [at_s for at_s, *_ in ladder.switches]
    assert all(other - one >= MINIMUM_S for one, other in pairwise(later))
    assert len(later) <= 3, ladder.switches
