"""Expected rates beside what made-up searches with those scores give."""

from functools import cache

import numpy as np
import pytest

from gallery.matching.expected_rates import false_negative_rates, false_positive_rates, trust
from gallery.matching.tails import GRID, Tail, bin_of, place_of


@cache
def normal(mean: float, deviation: float, scores: int = 500_000) -> Tail:
    drawn = np.random.default_rng(7).normal(mean, deviation, scores)
    return Tail.counted(np.bincount(bin_of(drawn), minlength=len(GRID)).astype(float))


@pytest.mark.parametrize(("people", "margin"), [(1, 0.05), (2, 0.05), (50, 0.0), (50, 0.05), (400, 0.1)])
def test_so_many_strangers_are_named_as_searches_name(people, margin):
    rng = np.random.default_rng(people)
    scores = np.sort(rng.normal(0.1, 0.1, (40_000, people)), axis=1)
    lead = scores[:, -1] - scores[:, -2] if people > 1 else np.full(len(scores), 2.0)
    rates = false_positive_rates(normal(0.1, 0.1), people, margin)

    for threshold in (0.3, 0.4):
        measured = ((scores[:, -1] >= threshold) & (lead >= margin)).mean()
        assert rates[place_of(threshold)] == pytest.approx(measured, rel=0.15, abs=1e-3)


def test_thresholds_of_their_own_count():
    tail = normal(0.1, 0.1)
    strict = false_positive_rates(tail, 9, 0.0, [(0.9, tail)])
    loose = false_positive_rates(tail, 9, 0.0, [(0.2, tail)])
    usual = false_positive_rates(tail, 10, 0.0)

    place = place_of(0.35)
    assert strict[place] == pytest.approx(usual[place] * 0.9, rel=0.02)
    assert loose[-1] == pytest.approx(tail.at(0.2) * np.exp(-10 * tail.at(0.35)), rel=0.5)
    assert loose[place] > usual[place]
    assert (np.diff(loose) <= 1e-12).all()


def test_nobody_is_named_where_nobody_is_enrolled():
    assert not false_positive_rates(normal(0.1, 0.1), 0, 0.05).any()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_so_many_are_missed_as_score_too_low_or_have_no_lead(threshold):
    rng = np.random.default_rng(3)
    own, others = rng.normal(0.6, 0.1, 60_000), rng.normal(0.1, 0.1, (60_000, 29)).max(axis=1)
    measured = ((own < threshold) | (own - others < 0.05)).mean()

    rates = false_negative_rates(normal(0.6, 0.1), normal(0.1, 0.1), 30, 0.05)
    assert rates[place_of(threshold)] == pytest.approx(measured, rel=0.1, abs=2e-3)


@pytest.mark.parametrize("people", [1, 20, 200])
def test_trust_is_the_share_of_true_ones_among_those_of_a_similarity(people):
    rng = np.random.default_rng(5)
    own, strangers = rng.normal(0.55, 0.1, 400_000), rng.normal(0.1, 0.1, (400_000 // people, people)).max(axis=1)
    own = own[: len(strangers)]
    shares = trust(normal(0.55, 0.1), normal(0.1, 0.1), people)

    assert (np.diff(shares) >= 0).all()
    for cosine in (0.2, 0.3, 0.35, 0.45):
        near_own = (np.abs(own - cosine) < 0.01).sum()
        near = near_own + (np.abs(strangers - cosine) < 0.01).sum()
        if near > 300 and cosine > np.median(strangers):
            assert shares[place_of(cosine)] == pytest.approx(near_own / near, abs=0.06)


@pytest.mark.parametrize("wrong", [-0.9, -0.4, 0.0])
def test_a_wrong_photo_among_a_persons_own_makes_nothing_sure(wrong):
    scores = np.append(np.random.default_rng(2).normal(0.6, 0.1, 200), wrong)
    genuine = Tail.counted(np.bincount(bin_of(scores), minlength=len(GRID)).astype(float))
    shares = trust(genuine, normal(0.1, 0.1), 20)

    assert shares[place_of(0.1)] < 0.01
    assert shares[place_of(0.3)] < 0.1
    assert shares[place_of(0.6)] > 0.99
