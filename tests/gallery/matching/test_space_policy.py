"""Which threshold counts, how sure a decision is by it, and what is said of a calibration that no longer holds."""

from dataclasses import replace

import pytest

from gallery.matching.calibration import Calibration, Conditions, calibrate
from gallery.matching.decide import NOBODY, Match, Rate, confidence
from gallery.matching.space_policy import SpacePolicy, standing
from tests.gallery.matching.test_calibration import scores_as_measured

SPACE = "nano_embed.2"
NOW = Conditions("signature", "class_mean", 0.05, 0.15)
RATES = (Rate(1e-3, 0.4, 0.9), Rate(1e-5, 0.58, 0.6))
SPEC = SpacePolicy(SPACE, 256, 0.576, RATES, signature="signature")
SET = replace(SPEC, threshold=0.5, is_configured=True)
HUNDRED = {f"p{number}": 1 for number in range(100)}


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(SPACE, scores_as_measured(100), NOW, 0.01, 5.0)[0]


def test_the_calibration_counts_before_the_specs_and_after_the_users(calibration: Calibration):
    assert SPEC.under(None, NOW).threshold == 0.576
    assert SPEC.under(calibration, NOW).threshold == calibration.threshold
    assert SET.under(calibration, NOW).threshold == 0.5
    assert SPEC.under(calibration, replace(NOW, aggregation="best")).threshold == 0.576
    assert SPEC.under(calibration, replace(NOW, margin=0.2)).threshold == calibration.threshold


@pytest.mark.parametrize("outcome", ["known", "unknown"])
@pytest.mark.parametrize("similarity", [0.1, 0.45, 0.8])
def test_how_sure_a_decision_is_comes_from_the_calibration(calibration: Calibration, outcome, similarity):
    match = Match(outcome, None, similarity, None, "pa")
    sure = SPEC.under(calibration, NOW).confidence(match, 100)

    assert sure == calibration.confidence(similarity, known=outcome == "known")
    assert SPEC.confidence(match, 100) == confidence(match, RATES, 100)
    assert SET.under(calibration, NOW).confidence(match, 100) == sure


def test_nobody_in_the_gallery_is_surely_unknown_and_a_doubt_is_no_figure(calibration: Calibration):
    policy = SPEC.under(calibration, NOW)
    assert policy.confidence(NOBODY, 0) == 1.0
    assert policy.confidence(Match("ambiguous", None, 0.7, 0.01, "pa"), 100) is None


@pytest.mark.parametrize(
    ("policy", "now", "people", "state", "told"),
    [
        (SPEC, NOW, 100, "used", "calibrated for FPIR 0.01 with 100 people"),
        (SPEC, NOW, 140, "used", "about 0.01"),
        (SPEC, NOW, 170, "outgrown", "with 170 about 0.017 of strangers would be named"),
        (SPEC, replace(NOW, margin=0.1), 100, "stale", "gallery.margin 0.05 (now 0.1)"),
        (SPEC, replace(NOW, min_quality=0.4), 100, "stale", "recognition.min_quality 0.15 (now 0.4)"),
        (SPEC, replace(NOW, signature="other"), 100, "stale", "other models (signature, now other)"),
        (SPEC, replace(NOW, aggregation="best"), 100, "set_aside", "threshold 0.576; it was"),
        (SET, NOW, 100, "overridden", "threshold 0.500 of gallery.threshold, which lets about"),
        (SET, NOW, 900, "overridden", "that is not used: take gallery.threshold out"),
    ],
)
def test_what_is_said_of_a_calibration(calibration: Calibration, policy, now, people, state, told):
    found = standing(policy, calibration, now, {f"p{number}": 1 for number in range(people)}, {})
    assert (found.state, told in found.told) == (state, True), found.told


@pytest.mark.parametrize("policy", [SPEC, SET])
def test_what_is_expected_is_so_under_the_margin_of_now(calibration: Calibration, policy):
    margins = (0.0, 0.05, 0.2)
    rates = [standing(policy, calibration, replace(NOW, margin=one), HUNDRED, {}).expected_fpir for one in margins]
    assert rates[0] > 1.01 * rates[1]
    assert rates[1] > 1.05 * rates[2]


@pytest.mark.parametrize(("policy", "told"), [(SPEC, "the spec's"), (SET, "(gallery.threshold)")])
def test_without_a_calibration_that_is_said(policy, told):
    found = standing(policy, None, NOW, HUNDRED, {})
    assert (found.state, found.expected_fpir) == ("none", None)
    assert told in found.told


def test_a_low_threshold_of_somebodys_own_makes_it_outgrown(calibration: Calibration):
    few = dict.fromkeys(("p1", "p2", "p3"), 1)
    assert standing(SPEC, calibration, NOW, few, {"p1": 0.2}).state == "outgrown"
    assert standing(SPEC, calibration, NOW, few, {"p1": 0.9}).state == "used"
