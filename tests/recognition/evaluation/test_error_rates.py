"""Error rates against tables worked out by hand."""

import numpy as np
import pytest

from recognition.evaluation.error_rates import (
    Templates,
    best_threshold,
    genuine_scores,
    identify,
    impostor_scores,
    trade_off,
    verification_accuracy,
)

NAN = float("nan")
WIDTH = 2 / (1 << 20)


def at(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane: two of them have the cosine of the angle between."""
    turns = np.radians(np.array(degrees))
    return np.stack((np.cos(turns), np.sin(turns)), axis=1).astype(np.float32)


def templates(people: list[int], degrees: list[float], missing: tuple[int, ...] = ()) -> Templates:
    found = np.ones(len(people), np.bool_)
    found[list(missing)] = False
    return Templates(at(*degrees), np.array(people, np.intp), found)


def cos(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))


@pytest.mark.parametrize(
    ("scores", "same", "threshold"),
    [
        ([0.1, 0.2, 0.6, 0.8], [0, 0, 1, 1], 0.4),
        ([0.1, 0.6, 0.2, 0.8], [0, 0, 1, 1], 0.7),  # .15, .4 and .7 tell three of four right; so does none other
        ([0.1, 0.5, 0.5, 0.9], [0, 1, 0, 1], 0.7),  # no cut between equal scores; .3 and .7 are as good
        ([0.1, NAN, 0.6, NAN], [0, 0, 1, 1], 0.35),
        ([0.7], [1], 0.7),
        ([NAN], [1], 0.0),
    ],
)
def test_the_best_threshold(scores, same, threshold):
    got = best_threshold(np.array(scores, np.float32), np.array(same, np.bool_))
    assert got == pytest.approx(threshold, abs=1e-6)


def test_an_impostor_pair_alone_must_not_pass():
    score = np.array([0.7], np.float32)
    assert not (score >= best_threshold(score, np.array([False]))).any()


def test_scores_that_are_neighbours_are_told_apart():
    scores = np.array([0.7, np.nextafter(np.float32(0.7), np.float32(1))], np.float32)
    assert list(scores >= best_threshold(scores, np.array([False, True]))) == [False, True]


def test_accuracy_takes_each_folds_threshold_from_the_others():
    """Two folds, each with other scores: what is best for one is wrong for half of the other."""
    scores = np.array([0.6, 0.6, 0.3, 0.3, 0.1, 0.1, 0.0, 0.0], np.float32)
    same = np.array([1, 1, 1, 1, 0, 0, 0, 0], np.bool_)
    # Fold 0 has .6 .6 / .1 .1 -> .35, which misses both genuine pairs of fold 1; fold 1 has .3 .3 / 0 0 -> .15.
    found = verification_accuracy(scores, same, folds=2)
    assert found.mean == pytest.approx((1.0 + 0.5) / 2)
    assert found.deviation == pytest.approx(0.25)
    assert found.threshold == pytest.approx((0.15 + 0.35) / 2, abs=1e-6)


def test_a_pair_without_a_face_is_wrong_whatever_its_kind():
    same = np.array([True] * 10 + [False] * 10)
    scores = np.where(same, 0.9, 0.1).astype(np.float32)
    scores[[0, 10, 15]] = NAN
    found = verification_accuracy(scores, same)
    assert found.mean == pytest.approx(17 / 20)
    assert found.threshold == pytest.approx(0.5)


def test_genuine_pairs_count_once_a_person():
    """Person 0 has three photos (three pairs), 1 has one photo (none), 2 has two (one pair)."""
    found = genuine_scores(templates([0, 0, 0, 1, 2, 2], [0, 10, 60, 90, 120, 130]))
    assert found.scores == pytest.approx([cos(10), cos(60), cos(50), cos(10)], abs=1e-6)
    assert found.weights == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert found.share_from(cos(20)) == pytest.approx(1 / 6 + 1 / 2)


def test_a_genuine_pair_without_a_face_never_matches():
    found = genuine_scores(templates([0, 0, 1, 1], [0, 0, 90, 90], missing=(3,)))
    assert list(np.isinf(found.scores)) == [False, True]
    assert found.share_from(-1.0) == pytest.approx(1 / 2)


def test_without_genuine_pairs_there_is_no_rate():
    assert genuine_scores(templates([0, 1], [0, 90])).share_from(0.0) is None


def test_impostor_pairs_are_all_pairs_of_two_people_once():
    """Angles across people 0 (0, 10), 1 (40) and 2 (100): 40 30, 100 90, 60; the missing face has no pair."""
    found = impostor_scores(templates([0, 0, 1, 2, 2], [0, 10, 40, 100, 0], missing=(4,)))
    assert found.total == 5
    edges = np.repeat(np.arange(len(found.counts)), found.counts) * WIDTH - 1
    assert edges == pytest.approx(sorted(map(cos, (40, 30, 100, 90, 60))), abs=2 * WIDTH)
    # Two of five may pass, those at 30 and 40 degrees: the threshold lies just above the third.
    assert found.threshold_at(0.4) == pytest.approx(cos(60), abs=2 * WIDTH)
    assert found.threshold_at(0.4) > cos(60)
    assert found.threshold_at(0.1) is None


def test_blocks_see_what_one_matrix_sees():
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(1300, 16)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    people = np.sort(rng.permutation(np.arange(1300) % 400)).astype(np.intp)
    found = impostor_scores(Templates(embeddings, people, np.ones(1300, np.bool_)))
    left, right = np.triu_indices(1300, 1)
    scores = np.sort((embeddings @ embeddings.T)[left, right][people[left] != people[right]])[::-1]
    assert found.total == len(scores)
    for fmr in (1e-2, 1e-3, 1e-4):
        threshold = found.threshold_at(fmr)
        assert threshold == pytest.approx(scores[int(fmr * len(scores))], abs=3 * WIDTH)
        assert (scores >= threshold).mean() <= fmr


def test_scores_of_the_same_and_of_opposite_faces_have_their_bins():
    counts = impostor_scores(templates([0, 1, 2], [0, 0, 180])).counts
    assert (counts[0], counts[-1], counts.sum()) == (2, 1, 3)


def test_open_set_identification():
    """0 and 2 are enrolled at 0 and 90 degrees, 1 and 3 are impostors, whose best matches are 40, 30, 35, 90 away.

    One of the four may alarm, so the threshold lies just above cos(35). 0 has probes at 10 (a hit) and at 85 (nearer
    to 2: a miss, high as it scores), 2 has one at 100 (a hit); each person counts once.
    """
    people, degrees = [0, 0, 0, 1, 1, 2, 2, 3, 3], [0, 10, 85, 50, 60, 90, 100, 35, 180]
    found = identify(templates(people, degrees), np.array([True, False, True, False]), 0.25)
    assert found.threshold == pytest.approx(cos(35), abs=1e-6)
    assert found.fnir == pytest.approx(0.5 / 2)
    assert (found.enrolled, found.genuine_probes, found.impostor_probes) == (2, 3, 4)


def test_a_threshold_hides_mates_that_are_too_far():
    people, degrees = [0, 0, 0, 1, 1], [0, 10, 50, 20, 30]
    found = identify(templates(people, degrees), np.array([True, False]), 0.5)
    assert found.threshold == pytest.approx(cos(30), abs=1e-6)
    assert found.fnir == pytest.approx(0.5)


@pytest.mark.parametrize(("missing", "fnir"), [((), 0.0), ((0,), 0.5), ((1,), 0.5), ((0, 1), 0.5), ((1, 2), 1.0)])
def test_faces_that_were_not_found_are_missed(missing, fnir):
    """Two enrolled people with two photos each, far from the impostor; one photo without a face loses the person."""
    people, degrees = [0, 0, 1, 1, 2, 2], [0, 1, 90, 91, 180, 181]
    found = identify(templates(people, degrees, missing), np.array([True, True, False]), 0.5)
    assert found.fnir == pytest.approx(fnir)


@pytest.mark.parametrize(
    ("enrolled", "missing", "fpir"),
    [
        ((1, 0), (), 1e-2),  # two impostors' faces can't tell of one in a hundred
        ((1, 1), (), 0.5),
        ((0, 0), (), 0.5),
        ((1, 0), (0,), 0.5),  # nobody in the gallery
    ],
)
def test_what_can_not_be_told_is_none(enrolled, missing, fpir):
    found = identify(templates([0, 0, 1, 1], [0, 1, 90, 91], missing), np.array(enrolled, np.bool_), fpir)
    assert (found.fnir, found.threshold) == (None, None)


def test_the_curve_rises_and_ends_where_all_pass():
    many = templates([0, 0, 1, 1, 2], [0, 10, 40, 100, 170])
    curve = trade_off(genuine_scores(many), impostor_scores(many), points=20)
    assert curve is not None
    assert (np.diff(curve.fmr) >= 0).all()
    assert (np.diff(curve.tmr) >= 0).all()
    assert (curve.fmr[-1], curve.tmr[-1]) == (1.0, 1.0)
    # One of eight impostor pairs may pass (30 degrees): person 0 matches at 10 degrees, person 1 at 60 does not.
    assert (curve.fmr[0], curve.tmr[0]) == pytest.approx((1 / 8, 0.5))


def test_without_impostors_there_is_no_curve():
    alone = templates([0, 0], [0, 10])
    assert impostor_scores(alone).total == 0
    assert trade_off(genuine_scores(alone), impostor_scores(alone)) is None


def test_people_must_be_in_order():
    with pytest.raises(ValueError, match="rise by one"):
        templates([0, 2], [0, 0])
    with pytest.raises(ValueError, match="rise by one"):
        templates([1, 1], [0, 0])
