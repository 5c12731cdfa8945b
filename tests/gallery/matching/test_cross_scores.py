"""A gallery's people against each other, beside the same worked out one by one."""

import numpy as np
import pytest

from gallery.matching.cross_scores import cross_scores
from gallery.matching.negatives import Negatives
from gallery.matching.tails import place_of
from gallery.people import Templates
from tests.gallery.fakes import DIM, SPACE, near, unit


def templates(faces: dict[str, list[np.ndarray]]) -> Templates:
    owners = tuple(who for who, theirs in faces.items() for _ in theirs)
    rows = [face for theirs in faces.values() for face in theirs]
    matrix = np.stack(rows) if rows else np.empty((0, DIM), np.float32)
    return Templates(SPACE, np.arange(1, len(rows) + 1), owners, matrix)


FACES = {
    "pa": [unit(1), near(unit(1), 0.8, 5), near(unit(1), 0.7, 6)],
    "pb": [unit(2), near(unit(2), 0.6, 7)],
    "pc": [near(unit(1), 0.65, 8)],
}


def above(weights: np.ndarray, cosine: float) -> float:
    return float(weights[place_of(cosine) :].sum())


def test_every_pair_of_people_counts_once_each_way():
    found = cross_scores(templates(FACES), "best")
    scores, weights = [], []
    for who, theirs in FACES.items():
        for other, others in FACES.items():
            for face in theirs:
                if who != other:
                    scores.append(max(float(face @ one) for one in others))
                    weights.append(1 / len(theirs))

    assert found.people == {"pa": 3, "pb": 2, "pc": 1}
    assert found.impostor.sum() == pytest.approx(6)
    for cosine in np.linspace(-0.4, 0.8, 25):
        told = sum(weight for score, weight in zip(scores, weights, strict=True) if score >= cosine)
        assert above(found.impostor, cosine + 0.001) - 1e-9 <= told <= above(found.impostor, cosine - 0.001) + 1e-9
    assert found.pairs == 3 * 2 + 3 * 1 + 2 * 1


def test_the_most_alike_come_first():
    first, *_ = cross_scores(templates(FACES), "best").look_alikes
    assert {first.first, first.second} == {"pa", "pc"}
    assert first.similarity == pytest.approx(0.65, abs=1e-6)


def test_each_photo_is_held_against_the_others_of_its_person():
    found = cross_scores(templates(FACES), "best")
    told = [above(found.genuine, cosine) for cosine in (-1.0, 0.59, 0.61, 0.69, 0.71, 0.79, 0.81)]
    assert told == pytest.approx([2, 2, 1, 1, 2 / 3, 2 / 3, 0])


@pytest.mark.parametrize("how", ["best", "mean_of_three", "class_mean"])
def test_who_has_one_photo_is_as_alike_however_photos_are_joined(how):
    found = cross_scores(templates({"pa": [unit(1)], "pb": [near(unit(1), 0.4)]}), how)
    assert found.look_alikes[0].similarity == pytest.approx(0.4, abs=1e-6)
    assert not found.genuine.any()


def test_who_is_kept_apart_by_a_negative_is_not_alike():
    faces = {"pa": [unit(1)], "pb": [near(unit(1), 0.6)], "pc": [unit(3)]}
    not_a = Templates(SPACE, np.array([1]), ("pa",), faces["pb"][0][None])
    found = cross_scores(templates(faces), "best", Negatives(not_a))

    # pb's face is no more like pa, while pa's still is like pb.
    assert above(found.impostor, 0.59) == pytest.approx(1)


@pytest.mark.parametrize(("faces", "pairs"), [({}, 0), ({"pa": [unit(1)]}, 0), ({"pa": FACES["pa"]}, 0)])
def test_nobody_is_alike_where_there_is_nobody_else(faces, pairs):
    found = cross_scores(templates(faces), "best")
    assert (found.pairs, found.look_alikes, found.impostor.sum()) == (pairs, (), 0)


def test_progress_is_told_to_its_end():
    told: list[tuple[int, int]] = []
    cross_scores(templates(FACES), "best", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (6, 6)
