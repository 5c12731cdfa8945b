"""Groups of one person's: the ways of people and of crowds, held against scikit-learn's average linkage."""

import numpy as np
import pytest

from streamer.review.clustering import grouped

DIM, NEAR = 128, 0.4


def crowd(people: int, visits: int, seed: int, spread: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of visits, in any order, and whose they are; two of one person's have a cosine of 1/(1+spread²)."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(people, DIM)) / np.sqrt(DIM)
    whose = random.permutation(np.repeat(np.arange(people), visits))
    vectors = centres[whose] + spread * random.normal(size=(len(whose), DIM)) / np.sqrt(DIM)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), whose


def as_sets(groups) -> set[frozenset[int]]:
    return {frozenset(map(int, rows)) for rows in groups}


@pytest.mark.parametrize(("people", "visits"), [(1, 1), (1, 40), (40, 1), (30, 10), (7, 100)])
def test_each_person_is_a_group(people, visits):
    vectors, whose = crowd(people, visits, 7)
    groups = grouped(vectors, NEAR)
    assert as_sets(groups) == as_sets(np.flatnonzero(whose == person) for person in range(people))
    assert [int(rows[0]) for rows in groups] == sorted(int(rows.min()) for rows in groups)


def test_nobody_is_no_group():
    assert grouped(np.zeros((0, DIM), np.float32), NEAR) == []


def test_it_is_the_same_each_time_and_each_row_is_there_once():
    vectors, _ = crowd(60, 8, 11, spread=1.3)
    groups = grouped(vectors, NEAR)
    assert as_sets(groups) == as_sets(grouped(vectors.copy(), NEAR))
    assert sorted(int(row) for rows in groups for row in rows) == list(range(len(vectors)))


def test_a_chain_of_likenesses_joins_no_two_people():
    """Each is like the next, the first and the last are nothing alike: an arc from one axis to another."""
    angles = np.linspace(0.0, np.pi / 2, 31)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    groups = grouped(arc, 0.9)
    assert len(groups) > 1
    assert all(float((arc[rows] @ arc[rows].T).min()) > 0.3 for rows in groups)


def test_it_groups_as_average_linkage_does_where_faces_are_hard_to_tell():
    cluster = pytest.importorskip("sklearn.cluster")
    vectors, _ = crowd(50, 10, 3, spread=1.15)
    wanted = cluster.AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=1.0 - NEAR
    ).fit_predict(vectors)
    found = np.empty(len(vectors), int)
    for number, rows in enumerate(grouped(vectors, NEAR)):
        found[rows] = number
    together = np.equal.outer(wanted, wanted), np.equal.outer(found, found)
    both = np.triu(together[0] & together[1], 1).sum()
    assert both / np.triu(together[0], 1).sum() > 0.9
    assert both / np.triu(together[1], 1).sum() > 0.9
