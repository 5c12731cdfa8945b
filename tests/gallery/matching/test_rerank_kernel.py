"""The built-in kernel against the paper's sets, written out one by one."""

import numpy as np
import pytest

from gallery.matching import rerank_kernel
from gallery.matching.rerank_kernel import K1, K2, ORIGINAL_SHARE, Neighbourhood, rerank_scores
from recognition.arrays import F32
from streamer.bench.gallery.plain_rerank import plain_scores


def units(rows: np.ndarray) -> F32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def faces(seed: int, count: int, dim: int, each: int, noise: float = 0.8) -> F32:
    """(count, dim): made-up people with so many faces each."""
    rng = np.random.default_rng(seed)
    people = rng.standard_normal((-(-count // each), dim))
    return units(people[np.arange(count) % len(people)] + noise * rng.standard_normal((count, dim)))


@pytest.mark.parametrize("dim", [8, 128, 512])
@pytest.mark.parametrize(("count", "each"), [(1, 1), (2, 1), (3, 2), (19, 4), (60, 6), (200, 20), (230, 1)])
def test_the_kernel_does_what_the_paper_says(dim: int, count: int, each: int) -> None:
    points = faces(count + dim, count + 1, dim, each)
    for one in (Neighbourhood(), Neighbourhood.among(count), Neighbourhood(7, 3, 0.5), Neighbourhood(1, 1, 0.0)):
        plain = plain_scores(points, one.k1, one.k2, one.original_share)
        assert rerank_scores(points, one) == pytest.approx(plain, abs=1e-5), one


def test_the_numbers_are_the_papers_from_200_candidates_on() -> None:
    assert (K1, K2, ORIGINAL_SHARE) == (20, 6, 0.3)
    assert Neighbourhood.among(200) == Neighbourhood.among(1000) == Neighbourhood(20, 6, 0.3)


@pytest.mark.parametrize(("candidates", "k1"), [(1, 1), (2, 1), (19, 1), (40, 4), (100, 10), (199, 19)])
def test_fewer_candidates_have_smaller_neighbourhoods_and_no_averages(candidates: int, k1: int) -> None:
    assert Neighbourhood.among(candidates) == Neighbourhood(k1, 1)


@pytest.mark.parametrize("count", [1, 10, 50, 100, 150, 199, 200, 400])
def test_strangers_do_not_score_as_the_person_does_however_many_they_are(count: int) -> None:
    points = np.concatenate([faces(3, 1, 512, 1), faces(4, count, 512, 1)])
    points[1] = units(points[:1] + 0.7 * points[1:2])[0]  # cosine .8
    scores = rerank_scores(points, Neighbourhood.among(count))
    assert scores[0] > max(scores[1:].max(initial=0.0) + 0.1, 0.5)


def test_of_one_candidate_the_score_follows_from_its_cosine() -> None:
    for cosine in (1.0, 0.5, 0.0, -1.0):
        points = np.array([[1.0, 0.0], [cosine, (1.0 - cosine**2) ** 0.5]], np.float32)
        jaccard = 1.0 - np.exp(2.0 * cosine - 2.0)
        wanted = 1.0 - 0.7 * jaccard - 0.3 * (1.0 - cosine) / 2.0
        assert rerank_scores(points, Neighbourhood.among(1)) == pytest.approx([wanted], abs=1e-6)


def test_whose_neighbours_are_other_people_goes_down() -> None:
    """The nearest of all is a stranger, of a crowd of its own; the person's other faces are the probe's neighbours."""
    rng = np.random.default_rng(4)
    person, crowd, probe = np.linalg.qr(rng.standard_normal((128, 3)))[0].T
    seen, theirs = (
        units(middle + 0.03 * rng.standard_normal((count, 128))) for middle, count in ((person, 10), (crowd, 12))
    )
    probe = units((0.6 * person + 0.8 * probe)[np.newaxis])
    stranger = units(0.65 * probe + 0.76 * crowd)
    others = faces(5, 60, 128, 1)
    points = np.concatenate([probe, stranger, seen, theirs, others])
    cosines, scores = points[1:] @ points[0], rerank_scores(points, Neighbourhood(10, 3))
    assert cosines[0] > cosines[1:11].max() + 0.03
    assert scores[0] < scores[1:11].min() - 0.1


@pytest.mark.parametrize("same", [2, 25, 201])
def test_equal_faces_get_equal_scores(same: int) -> None:
    points = faces(8, 201, 512, 10)
    copies = np.random.default_rng(9).permutation(200)[: same - 1] + 1
    points[copies] = points[copies[0]]
    scores = rerank_scores(points, Neighbourhood())[copies - 1]
    assert np.ptp(scores) < 1e-5


@pytest.mark.parametrize("most", [1, 50, 1000])
def test_neighbours_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    points = faces(6, 230, 64, 9)
    points[40:90] = points[40]
    whole = rerank_scores(points, Neighbourhood())
    monkeypatch.setattr(rerank_kernel, "_MOST_PAIRS", most)
    assert (rerank_scores(points, Neighbourhood()) == whole).all()


@pytest.mark.parametrize("count", [1, 2, 20, 200])
def test_the_same_face_scores_one_and_all_scores_lie_in_0_to_1(count: int) -> None:
    points = faces(count, count + 1, 512, 3)
    points[1] = points[0]
    scores = rerank_scores(points, Neighbourhood.among(count))
    assert scores[0] == pytest.approx(1.0, abs=1e-5)
    assert scores.min() >= 0.0
    assert scores.max() <= 1.0
    opposite = np.concatenate([points[:1], -points[:1]])
    assert rerank_scores(opposite, Neighbourhood.among(1))[0] == pytest.approx(0.7 * np.exp(-4.0), abs=1e-6)
