"""How an embedder's cosines are judged: by whose threshold, with which rates."""

from collections.abc import Mapping
from typing import Any

import pytest

from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from streamer.pipeline.match_policy import MatchPolicy, enrolling_threshold, naming_threshold, verifying_threshold
from streamer.settings import Settings
from streamer.settings_reading import load
from tests.streamer.scripted import SIZES, scripted_recogniser, spec_of

A, B = spec_of("a"), spec_of("b").model_copy(update={"thresholds": load_specs()["mobileface_v2"].thresholds})
PAIR = spec_of("a").model_copy(
    update={"name": "pair", "space": "a.1--b.1", "embedding_size": 768, "members": ("a", "b"), "merge": "agree"}
)
JOINT = PAIR.model_copy(update={"name": "joint", "merge": "concat_l2"})
SPECS: Mapping[str, EmbedderSpec] = {"a": A, "b": B}


def settings(embedder: str, threshold: float | None = None) -> Settings:
    overrides = [f"recognition.embedder={embedder}"]
    return load(overrides=overrides if threshold is None else [*overrides, f"gallery.threshold={threshold}"])


def test_a_configured_threshold_is_that_of_the_configured_embedder_alone() -> None:
    own = B.identification_threshold
    assert naming_threshold(settings("b"), B) == own
    assert naming_threshold(settings("b", 0.9), B) == 0.9
    assert naming_threshold(settings("a", 0.9), B) == own
    large = B.model_copy(update={"name": "adaface_ir101"})
    assert naming_threshold(settings("adaface", 0.9), large) == 0.9


@pytest.mark.parametrize(
    ("configured", "threshold", "expected"),
    [
        ("pair", None, (0.576, 0.519)),
        ("pair", 0.9, (0.9, 0.9)),
        ("a", 0.9, (0.9, 0.519)),  # wherever it is one of two, it stays the embedder that this was set for
        ("b", 0.9, (0.576, 0.9)),
        ("c", 0.9, (0.576, 0.519)),
    ],
)
def test_who_has_to_agree_is_held_to_its_own_threshold(
    configured: str, threshold: float | None, expected: tuple[float, float]
) -> None:
    known = MatchPolicy.of(settings(configured, threshold), PAIR, scripted_recogniser(specs=SPECS))
    assert tuple(one.threshold for one in known.spaces) == expected


def test_a_known_model_is_what_its_spec_says() -> None:
    known = MatchPolicy.of(load(), B, scripted_recogniser())
    assert (known.models.detector, known.models.embedder, known.models.signature) == ("d", "b", "d+b")
    (one,) = known.spaces
    assert (one.space, one.dim, one.threshold) == ("b.1", SIZES["b"], B.identification_threshold)
    assert [tuple(rate) for rate in one.rates] == [(row.fmr, row.cosine, row.tmr) for row in B.thresholds.table]


def test_two_that_have_to_agree_are_judged_by_apart() -> None:
    known = MatchPolicy.of(load(), PAIR, scripted_recogniser(specs=SPECS))
    assert (known.models.embedder, known.models.signature) == ("pair", "d+pair")
    assert [(one.space, one.dim, one.rates[-1].cosine) for one in known.spaces] == [
        ("a.1", 512, 0.576),
        ("b.1", 256, 0.519),
    ]


def test_two_side_by_side_are_a_model_like_any_other() -> None:
    known = MatchPolicy.of(load(), JOINT, scripted_recogniser(specs=SPECS))
    (one,) = known.spaces
    assert (one.space, one.threshold) == ("a.1--b.1", JOINT.identification_threshold)


@pytest.mark.parametrize(
    "changes",
    [
        {"measured_on": "not measured: as specs before said it"},  # whatever the table claims
        {"table": [{"fmr": 1e-3, "cosine": 0.4, "tmr": 0.9}, {"fmr": 1e-5, "cosine": 0.5, "tmr": None}]},
    ],
)
def test_rates_that_nobody_measured_are_none(changes: Mapping[str, Any]) -> None:
    thresholds = type(B.thresholds).model_validate({**B.thresholds.model_dump(mode="json"), **changes})
    spec = B.model_copy(update={"thresholds": thresholds})
    (one,) = MatchPolicy.of(load(), spec, scripted_recogniser()).spaces
    assert one.rates == ()
    assert one.threshold == spec.identification_threshold


@pytest.mark.parametrize(
    ("configured", "threshold", "expected"), [("pair", None, 0.576), ("pair", 0.9, 0.9), ("b", 0.9, 0.576)]
)
def test_enrolment_compares_as_the_first_of_two_that_have_to_agree(
    configured: str, threshold: float | None, expected: float
) -> None:
    recogniser: Any = scripted_recogniser(specs=SPECS)
    recogniser.embedder.spec, recogniser.template_specs = PAIR, (A, B)
    assert enrolling_threshold(settings(configured, threshold), recogniser) == expected


@pytest.mark.parametrize(
    ("configured", "threshold", "expected"), [("a", None, 0.401), ("a", 0.9, 0.401), ("a", 0.2, 0.2), ("b", 0.2, 0.401)]
)
def test_photos_of_one_person_are_compared_one_to_one(
    configured: str, threshold: float | None, expected: float
) -> None:
    recogniser: Any = scripted_recogniser(specs=SPECS)
    recogniser.embedder.spec, recogniser.template_specs = A, (A,)
    assert verifying_threshold(settings(configured, threshold), recogniser) == expected
