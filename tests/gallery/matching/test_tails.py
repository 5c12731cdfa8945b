"""Tails: what is between, beyond and before the points that are known."""

import numpy as np
import pytest

from gallery.matching.tails import GRID, Tail, bin_of, place_of


def test_it_goes_through_its_points_and_straight_on_by_the_logarithm():
    tail = Tail.through([0.0, 0.2, 0.4], [0.5, 0.05, 0.0005])

    assert [tail.at(cosine) for cosine in (0.0, 0.2, 0.4)] == pytest.approx([0.5, 0.05, 0.0005])
    assert tail.at(0.1) == pytest.approx((0.5 * 0.05) ** 0.5)
    assert tail.at(0.6) == pytest.approx(0.0005 / 100)
    assert tail.at(-0.8) == 1.0


@pytest.mark.parametrize(("rate", "cosine"), [(0.5, 0.0), (0.05, 0.2), (0.0005, 0.4), (5e-6, 0.6)])
def test_the_cosine_of_a_rate_is_the_lowest_that_no_more_reach(rate, cosine):
    tail = Tail.through([0.0, 0.2, 0.4], [0.5, 0.05, 0.0005])
    assert tail.cosine_at(rate) == pytest.approx(cosine, abs=1e-3)
    assert tail.at(tail.cosine_at(rate)) <= rate * 1.0001


@pytest.mark.parametrize(("shift", "scale"), [(0.1, 1.0), (-0.2, 1.0), (0.05, 0.5), (0.0, 1.5)])
def test_a_moved_one_is_that_of_moved_scores(shift, scale):
    scores = np.random.default_rng(1).normal(0.0, 0.12, 200_000)
    counted = Tail.counted(np.bincount(bin_of(scores), minlength=len(GRID)).astype(float))
    moved = Tail.counted(np.bincount(bin_of(shift + scale * scores), minlength=len(GRID)).astype(float))

    for rate in (0.3, 0.01, 0.001):
        assert counted.moved(shift, scale).cosine_at(rate) == pytest.approx(moved.cosine_at(rate), abs=2e-3)


def test_the_mean_of_two_kinds_counts_each_by_its_weight():
    low, high = Tail.through([0.0, 0.2], [0.1, 0.01]), Tail.through([0.0, 0.2], [0.5, 0.3])
    assert Tail.mean([low, high], [3, 1]).at(0.2) == pytest.approx((3 * 0.01 + 0.3) / 4)


@pytest.mark.parametrize(("cosines", "rates"), [([0.1], [0.5]), ([0.2, 0.1], [0.5, 0.1]), ([0.1, 0.2], [0.1, 0.5])])
def test_points_that_make_no_tail_are_refused(cosines, rates):
    with pytest.raises(ValueError, match="tail"):
        Tail.through(cosines, rates)


@pytest.mark.parametrize(("cosine", "place"), [(-1.0, 0), (0.0, 2000), (0.5514, 3102), (1.0, 4000), (1.0000001, 4000)])
def test_a_score_is_counted_at_the_last_cosine_that_it_reaches(cosine, place):
    assert place_of(cosine) == place
