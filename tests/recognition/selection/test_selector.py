"""What is chosen, and why every other model is not: tables, and what holds for any models and any load."""

import re
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recognition.reason import Reason
from recognition.selection.candidates import BatchCap, Candidate, Load, Measurement, Placement, Requirement
from recognition.selection.selector import Choice, choose
from tests.recognition.ladder import MBF, NANO, R100, Table, candidate, ladder

PLENTY = {"cuda:0": 16000.0, "cpu": 8000.0}
REQUIREMENTS = get_args(Requirement)


def where(choice: Choice) -> str | None:
    return str(choice.best.place) if choice.best else None


def codes(choice: Choice) -> dict[tuple[str, str | None], str]:
    return {(refusal.model, refusal.device): refusal.code for refusal in choice.refused}


@pytest.mark.parametrize(
    ("requirement", "free", "faces_per_s", "expected"),
    [
        ("accuracy", PLENTY, 100, "r100 on cuda:0 in batches of 32"),
        ("accuracy", {"cuda:0": 1100, "cpu": 8000}, 100, "r100 on cuda:0 in batches of 8"),
        ("accuracy", {"cuda:0": 800, "cpu": 8000}, 100, "mbf on cuda:0 in batches of 32"),
        ("accuracy", {"cuda:0": 0, "cpu": 8000}, 40, "mbf on cpu in batches of 8"),
        ("accuracy", {"cpu": 8000}, 100, "nano on cpu in batches of 8"),
        ("accuracy", {"cuda:0": 0, "cpu": 8000}, 1, "r100 on cpu in batches of 8"),
        # r100 does 914 faces/s: 80 % of that is too little for 800, so the next takes over
        ("accuracy", PLENTY, 800, "mbf on cuda:0 in batches of 32"),
        ("balanced", PLENTY, 100, "mbf on cuda:0 in batches of 32"),
        ("speed", PLENTY, 100, "mbf on cuda:0 in batches of 32"),
        ("speed", {"cpu": 8000}, 1, "nano on cpu in batches of 8"),
        ("minimal_memory", PLENTY, 1, "nano on cpu in batches of 1"),
        ("minimal_memory", PLENTY, 1000, "mbf on cuda:0 in batches of 8"),
    ],
)
def test_the_choice(requirement: Requirement, free: dict[str, float], faces_per_s: float, expected: str):
    choice = choose(ladder(), free, requirement, Load(faces_per_s))

    assert (where(choice), choice.code) == (expected, "chosen")
    assert str(choice.best and choice.best.place) in choice.why


def test_every_other_model_and_device_has_its_reason_with_numbers():
    choice = choose(ladder(), {"cuda:0": 350, "cpu": 200}, "accuracy", Load(30))

    assert where(choice) == "mbf on cuda:0 in batches of 8"
    assert codes(choice) == {
        ("r100", "cuda:0"): "not_enough_memory",
        ("r100", "cpu"): "not_enough_memory",
        ("mbf", "cpu"): "slower",
        ("nano", "cpu"): "less_accurate",
    }
    assert "900 MiB (measured here) on cuda:0 at least; 350 MiB are free" in choice.why_not("r100").why
    assert "0.9500 (measured here); mbf on cuda:0" in choice.why_not("nano").why
    assert "61.5 faces/s" in choice.why_not("mbf", "cpu").why
    assert choice.why_not("mbf") is None
    assert choice.why_not("mbf", "cuda:0") is None


def test_a_figure_of_the_spec_is_called_one():
    choice = choose([candidate("r100", R100, 0.998, measured=False)], {"cuda:0": 100, "cpu": 100}, "speed", Load())

    assert choice.code == "nothing_fits"
    assert "900 MiB (spec)" in choice.why


@pytest.mark.parametrize("unavailable", ["weights_missing", "unhealthy", "people_not_covered"])
def test_a_model_that_is_not_available_says_its_own_reason(unavailable: str):
    best = candidate("r100", R100, 0.998, unavailable=Reason(unavailable, "3 of 12 people have no template"))
    choice = choose([best, *ladder()[1:]], PLENTY, "accuracy", Load())

    assert where(choice) == "mbf on cuda:0 in batches of 32"
    assert choice.why_not("r100").code == unavailable
    assert choice.why_not("r100").why == "3 of 12 people have no template"


def test_a_device_that_is_not_there_and_a_policy_that_leaves_none():
    choice = choose([candidate("r100", R100, 0.9), candidate("mbf", {}, 0.8)], {"cpu": 8000}, "accuracy", Load())

    assert codes(choice) == {("r100", "cuda:0"): "device_missing", ("mbf", None): "no_device"}
    assert "there is no cuda:0; the devices are cpu" in choice.why_not("r100", "cuda:0").why


def test_nothing_fits_and_nothing_is_named():
    none = choose(ladder(), {"cuda:0": 1, "cpu": 1}, "speed", Load())

    assert (none.best, none.code, none.options) == (None, "nothing_fits", ())
    assert {refusal.model for refusal in none.refused} == {"r100", "mbf", "nano"}
    assert choose([], PLENTY, "speed", Load()).code == "nothing_fits"


def test_where_nothing_keeps_up_the_fastest_serves_and_it_says_so():
    choice = choose(ladder(), {"cpu": 8000}, "accuracy", Load(1000))

    assert (where(choice), choice.code) == ("nano on cpu in batches of 1", "nothing_keeps_up")
    assert set(codes(choice).values()) == {"device_missing", "too_slow"}


def test_a_batch_and_the_one_before_it_have_to_fit_the_latency_goal():
    def chosen(goal_ms: float) -> str | None:
        return where(choose(ladder()[:1], PLENTY, "accuracy", Load(latency_goal_ms=goal_ms)))

    assert chosen(70) == "r100 on cuda:0 in batches of 32"
    assert chosen(69) == "r100 on cuda:0 in batches of 8"
    assert chosen(12) == "r100 on cuda:0 in batches of 1"
    too_tight = choose(ladder()[:1], PLENTY, "accuracy", Load(latency_goal_ms=11))
    assert (where(too_tight), too_tight.code) == ("r100 on cuda:0 in batches of 1", "nothing_keeps_up")
    assert too_tight.best.trouble.code == "latency_goal_missed"


def test_runners_side_by_side_count():
    one, four = (candidate("mbf", {"cpu": MBF["cpu"]}, 0.9, runners=n) for n in (1, 4))

    assert choose([one], PLENTY, "speed", Load(100)).code == "nothing_keeps_up"
    assert choose([four], PLENTY, "speed", Load(100)).code == "chosen"


def test_the_serving_place_only_has_to_keep_up_a_new_one_needs_a_reserve():
    serving = Placement("r100", "cuda:0", 32)

    def chosen(faces_per_s: float, serving: Placement | None) -> str | None:
        return where(choose(ladder(), PLENTY, "accuracy", Load(faces_per_s, serving=serving)))

    assert chosen(800, None) == "mbf on cuda:0 in batches of 32"
    assert chosen(800, serving) == str(serving)
    assert chosen(915, serving) == "mbf on cuda:0 in batches of 32"


def test_a_queue_over_the_goal_refuses_what_serves_and_all_that_is_no_faster():
    serving = Placement("mbf", "cpu", 8)
    late = Load(10, queue_delay_ms=400, latency_goal_ms=500, serving=serving)
    choice = choose(ladder(), {"cpu": 8000}, "accuracy", late)

    assert where(choice) == "nano on cpu in batches of 8"
    assert choice.why_not("mbf").code == "queue_too_long"
    assert "400 ms, the goal is 500 ms in all" in choice.why_not("mbf").why
    assert choice.why_not("r100", "cpu").code == "queue_too_long"
    calm = Load(10, queue_delay_ms=300, latency_goal_ms=500, serving=serving)
    assert where(choose(ladder(), {"cpu": 8000}, "accuracy", calm)) == str(serving)


def test_a_model_without_figures_is_chosen_only_when_nothing_else_is():
    unknown: Table = {"cuda:0": {1: (None, None), 8: (None, None)}, "cpu": {1: (None, None)}}
    new, other = candidate("new", unknown, 0.999), candidate("other", unknown, 0.999)

    choice = choose([new, candidate("mbf", MBF, 0.992)], {"cpu": 8000, "cuda:0": 10}, "accuracy", Load(1000))
    assert where(choice) == "mbf on cpu in batches of 8", "even where it does not keep up"
    assert choice.why_not("new").code == "figures_missing"
    alone = choose([new, other], PLENTY, "accuracy", Load(1000))
    assert (where(alone), alone.code) == ("new on cuda:0 in batches of 1", "figures_missing")
    assert "nobody measured its memory and speed" in alone.why
    assert alone.why_not("other").code == "figures_missing"


def test_accuracy_that_nobody_measured_counts_only_where_accuracy_is_asked_for():
    models = [candidate("nano", NANO, None), candidate("mbf", {"cpu": MBF["cpu"]}, 0.9)]

    assert where(choose(models, PLENTY, "accuracy", Load())) == "mbf on cpu in batches of 8"
    assert where(choose(models, PLENTY, "balanced", Load())) == "mbf on cpu in batches of 8"
    assert where(choose(models, PLENTY, "speed", Load())) == "nano on cpu in batches of 8"


def test_equals_go_by_their_order():
    twins = [candidate("a", NANO, 0.9), candidate("b", NANO, 0.9)]

    choice = choose(twins, PLENTY, "balanced", Load())
    assert choice.best.place.model == "a"
    assert choice.why_not("b").code == "later_in_order"
    assert choose(twins[::-1], PLENTY, "balanced", Load()).best.place.model == "b"


def test_what_a_model_holds_already_is_not_asked_for_again():
    table = {"cuda:0": R100["cuda:0"]}

    def chosen(held: float, serving: Placement | None = None) -> str | None:
        held_there = candidate("r100", table, 0.998, held={"cuda:0": held})
        return where(choose([held_there], {"cuda:0": 150}, "accuracy", Load(serving=serving)))

    assert chosen(0) is None
    assert chosen(1000) == "r100 on cuda:0 in batches of 8"
    assert chosen(1050) == "r100 on cuda:0 in batches of 32"
    assert chosen(0, Placement("r100", "cuda:0", 8)) == "r100 on cuda:0 in batches of 8", "it is in memory: it serves"


def test_barred_buckets_are_left_out_and_a_model_barred_whole_gives_its_memory_up():
    bar = BatchCap("out_of_memory", "ran out", 8)
    smaller = choose([candidate("r100", R100, 0.9, bars={"cuda:0": bar})], PLENTY, "accuracy", Load(10))
    assert where(smaller) == "r100 on cuda:0 in batches of 1"

    barred = candidate(
        "r100", R100, 0.9, held={"cuda:0": 1200}, bars={"cuda:0": BatchCap("out_of_memory", "ran out", 1)}
    )
    choice = choose([barred, *ladder()[1:]], {"cuda:0": 10, "cpu": 8000}, "accuracy", Load(100))
    assert where(choice) == "mbf on cuda:0 in batches of 32"
    assert choice.best.unload_first == ("r100",)
    assert choice.why_not("r100", "cuda:0").code == "out_of_memory"
    roomy = choose([barred, *ladder()[1:]], PLENTY, "accuracy", Load(100))
    assert roomy.best.unload_first == (), "there is room for both"


def test_an_idle_model_may_go_for_another_but_not_for_itself():
    held = candidate("mbf", MBF, 0.992, held={"cuda:0": 400}, idle=True)
    free = {"cuda:0": 800}

    choice = choose([ladder()[0], held], free, "accuracy", Load())
    assert where(choice) == "r100 on cuda:0 in batches of 32"
    assert choice.best.unload_first == ("mbf",)
    busy = candidate("mbf", MBF, 0.992, held={"cuda:0": 400})
    assert where(choose([ladder()[0], busy], free, "accuracy", Load())) == "mbf on cuda:0 in batches of 32"


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_figure_has_to_be_a_number(value: float):
    with pytest.raises(ValueError, match="figure"):
        Measurement(value, measured=True)


def test_a_model_named_twice_is_a_mistake():
    with pytest.raises(ValueError, match="twice"):
        choose([*ladder(), *ladder()], PLENTY, "speed", Load())


# Few distinct numbers, so that equals and exact fits come up, and the cases are drawn quickly.
NUMBERS = st.sampled_from([None, 0.0, 1.0, 7.5, 30.0, 400.0, 401.0, 2500.0])
TABLES = st.dictionaries(
    st.sampled_from(["cuda:0", "cuda:1", "cpu"]),
    st.dictionaries(st.sampled_from([1, 4, 16]), st.tuples(NUMBERS, NUMBERS), min_size=1),
    max_size=3,
)
CANDIDATES = st.lists(
    st.builds(
        candidate,
        st.sampled_from(["a", "b", "c", "d"]),
        TABLES,
        st.sampled_from([None, 0.9, 0.985, 0.995, 1.0]),
        held=st.sampled_from([{}, {"cuda:0": 400.0}, {"cpu": 3000.0}]),
        idle=st.booleans(),
        bars=st.sampled_from(
            [{}, {"cpu": BatchCap("out_of_memory", "ran out", 1)}, {"cuda:0": BatchCap("late", "was late", 4)}]
        ),
        unavailable=st.sampled_from([None, None, None, Reason("unhealthy", "gave NaN")]),
    ),
    max_size=4,
    unique_by=lambda made: made.model,
)
FREE = st.dictionaries(st.sampled_from(["cuda:0", "cpu"]), st.sampled_from([0.0, 10.0, 401.0, 4000.0]))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(
    models=CANDIDATES,
    free=FREE,
    requirement=st.sampled_from(REQUIREMENTS),
    faces_per_s=st.sampled_from([0.0, 20.0, 500.0]),
    goal_ms=st.sampled_from([None, 1.0, 60.0, 500.0]),
)
def test_whatever_the_models_the_choice_fits_and_all_others_have_a_reason(
    models: list[Candidate], free: dict[str, float], requirement: Requirement, faces_per_s: float, goal_ms: float | None
):
    choice = choose(models, free, requirement, Load(faces_per_s, latency_goal_ms=goal_ms))

    named = {(model.model, device) for model in models for device in model.devices}
    for model in models:
        if choice.best is None or choice.best.place.model != model.model:
            reason = choice.why_not(model.model)
            assert re.fullmatch(r"[a-z_]+", reason.code)
            assert reason.why
    for option in choice.options:
        figures = next(model for model in models if model.model == option.place.model).devices[option.place.device]
        assert option.place.device in free
        assert figures.bar is None or option.place.bucket < figures.bar.bucket
        if option.more_mib is not None:
            assert option.more_mib <= option.room_mib
        assert option.place.model not in option.unload_first
    refused = {(refusal.model, refusal.device) for refusal in choice.refused if refusal.device}
    away = {key for key in named if next(m for m in models if m.model == key[0]).unavailable}
    best = {choice.best.place.key} if choice.best else set()
    assert refused | away | best == named
    assert not refused & best
    troubles = [option.trouble.code if option.trouble else "" for option in choice.options]
    ranks = [0 if not code else 2 if code == "figures_missing" else 1 for code in troubles]
    assert ranks == sorted(ranks), "what was not measured comes last, what keeps up first"
