"""What a photo set says of strangers, beside the population that it was drawn from."""

import numpy as np
import pytest

from gallery.matching.aggregate import aggregate
from gallery.matching.measured_impostors import RATES, SHARES, MeasuredImpostors, _aggregated, ways


def population(people: int, photos: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (people * photos, 32): a person's resemble each other by a cosine of about 0.7."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((people, 32)), photos, axis=0)
    rows = centres + 0.65 * rng.standard_normal(centres.shape)
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return vectors, np.repeat([f"somebody {number}" for number in range(people)], photos)


def test_quantiles_are_those_of_the_population():
    vectors, people = population(150, 4)
    measured = MeasuredImpostors(vectors, people)
    scores = (vectors @ vectors.T)[people[:, None] != people[None]]

    single = measured.impostor()["best"][1]
    for rate in (0.1, 0.01, 0.001):
        assert single[RATES.index(rate)] == pytest.approx(np.quantile(scores, 1 - rate), abs=0.01)
    assert len(single) < len(RATES)  # what so few can't tell is not told
    own = measured.genuine()["class_mean"]
    assert own[3][SHARES.index(0.5)] > own[1][SHARES.index(0.5)] > 0.6


def test_people_who_are_one_are_not_compared():
    vectors, people = population(40, 2)
    alike = [(f"somebody {number}", f"somebody {number + 20}") for number in range(20)]
    for one, other in alike:
        vectors[people == other] = vectors[people == one]
    told = MeasuredImpostors(vectors, people, alike)
    untold = MeasuredImpostors(vectors, people)

    assert max(untold.impostor()["best"][1]) > 0.85 > max(told.impostor()["best"][1])


def test_a_person_with_many_photos_counts_once():
    vectors, people = population(30, 3)
    many = np.concatenate((vectors, np.repeat(vectors[:1], 200, axis=0)))
    names = np.concatenate((people, np.repeat(people[:1], 200)))

    one, other = (MeasuredImpostors(*both).impostor()["best"][1] for both in ((vectors, people), (many, names)))
    assert one[RATES.index(0.1)] == pytest.approx(other[RATES.index(0.1)], abs=0.03)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_templates_are_joined_as_decisions_join_them(count):
    scores = np.random.default_rng(count).uniform(-1, 1, (7, 4 * count))
    starts = np.arange(0, 4 * count, count)
    for how in ways()[:2]:
        assert _aggregated(scores, starts, how) == pytest.approx(aggregate(scores, starts, how))
