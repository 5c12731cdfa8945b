"""Re-ranking as callers meet it: what is refused, whose score it is, and that nothing but the candidates counts."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gallery.errors import RerankInputInvalid, ThresholdInvalid
from gallery.matching.rerank import MOST_CANDIDATES, Reranked, Reranker
from gallery.matching.rerank_kernel import Neighbourhood, rerank_scores
from tests.gallery.matching.test_rerank_kernel import faces

RERANKER = Reranker(threshold=0.5)


def by_id(found: Reranked) -> dict[str, float]:
    return {score.id: score.score for score in found.scores}


def names(count: int, people: int | None = None) -> list[str]:
    return [f"p{number % (people or count)}" for number in range(count)]


@pytest.mark.parametrize(("count", "people", "dim"), [(3, 3, 2), (40, 10, 128), (200, 200, 512), (200, 50, 512)])
def test_the_order_of_candidates_changes_no_bit(count: int, people: int, dim: int) -> None:
    points, ids = faces(count, count + 1, dim, 4), names(count, people)
    points[count // 2] = points[1]  # the same face under two names
    first = RERANKER.rerank(points[0], ids, points[1:])
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(count)
        again = RERANKER.rerank(points[0], [ids[place] for place in order], points[1:][order])
        assert again.scores == first.scores


def test_scores_are_the_kernels_the_best_first() -> None:
    points = faces(1, 201, 512, 5)
    found = RERANKER.rerank(points[0], names(200), points[1:])
    wanted = dict(zip(names(200), rerank_scores(points, Neighbourhood()).tolist(), strict=True))
    assert by_id(found) == pytest.approx(wanted, abs=1e-5)
    assert [score.score for score in found.scores] == sorted(by_id(found).values(), reverse=True)
    assert found.candidates == 200
    assert found.latency_ms > 0


def test_a_person_has_the_best_score_of_its_templates() -> None:
    points = faces(2, 61, 64, 6)
    alone = by_id(RERANKER.rerank(points[0], names(60), points[1:]))
    together = by_id(RERANKER.rerank(points[0], names(60, 12), points[1:]))
    assert len(together) == 12
    for person in range(12):
        best = max(alone[f"p{template}"] for template in range(person, 60, 12))
        assert together[f"p{person}"] == pytest.approx(best, abs=1e-5)


def test_the_threshold_is_the_configured_one_unless_a_call_gives_another() -> None:
    points = faces(3, 11, 32, 4)
    found = Reranker(threshold=0.4).rerank(points[0], names(10), points[1:])
    assert found.threshold == 0.4
    assert [score.is_match for score in found.scores] == [score.score >= 0.4 for score in found.scores]
    bar = found.scores[2].score
    other = Reranker(threshold=0.4).rerank(points[0], names(10), points[1:], threshold=bar)
    assert (other.threshold, other.matches) == (bar, 3)  # exactly the threshold is a match
    assert Reranker().rerank(points[0], names(10), points[1:], threshold=0).matches == 10


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), float("inf"), "high"])
def test_a_threshold_that_no_score_can_have_is_refused(threshold: float) -> None:
    with pytest.raises(ThresholdInvalid, match="0 to 1"):
        RERANKER.rerank([1.0, 0.0], ["a"], [[1.0, 0.0]], threshold=threshold)


@pytest.mark.parametrize("none", [[], np.empty((0, 3), np.float32), ()])
def test_without_candidates_there_are_no_scores(none: object) -> None:
    found = RERANKER.rerank([1.0, 0.0, 0.0], [], none)
    assert (found.scores, found.candidates, found.threshold) == ((), 0, 0.5)


@pytest.mark.parametrize("count", [1, 2, 19])
def test_few_candidates_are_told_apart(count: int) -> None:
    points = faces(7, 20, 512, 1)
    same = points[0] + 0.3 * points[count]
    found = RERANKER.rerank(points[0], names(count), np.concatenate([same[np.newaxis], points[1:count]]))
    assert found.scores[0].id == "p0"
    assert found.scores[0].score > 0.9
    assert [score.is_match for score in found.scores] == [True] + [False] * (count - 1)


def test_directions_alone_count() -> None:
    points, ids = faces(5, 31, 64, 3), names(30)
    lengths = np.random.default_rng(6).uniform(1e-3, 1e3, (31, 1)).astype(np.float32)
    once = by_id(RERANKER.rerank(points[0], ids, points[1:]))
    scaled = points * lengths
    assert by_id(RERANKER.rerank(scaled[0].tolist(), ids, scaled[1:].tolist())) == pytest.approx(once, abs=1e-4)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("probe", "ids", "embeddings", "told"),
    [
        ([0.0, 0.0], ["a"], [[1.0, 0.0]], "the probe: all zeros"),
        ([NAN, 1.0], ["a"], [[1.0, 0.0]], "the probe: all zeros, or not all numbers"),
        ([1.0, 0.0], ["a", "b"], [[1.0, 0.0], [0.0, 0.0]], "candidate 1: all zeros"),
        ([1.0, 0.0], ["a", "b"], [[1.0, NAN], [0.0, 1.0]], "candidate 0: all zeros, or not"),
        ([1.0, 0.0], ["a", "b"], [[1.0, 1.0], [INF, 1.0]], "candidate 1: all zeros, or not"),
        ([1.0, 0.0], ["a"], [[1e300, 0.0]], "candidate 0"),
        ([1.0, 0.0], ["a"], [[1.0, 0.0, 0.0]], r"want 1 \(one an id\) of 2 numbers"),
        ([1.0, 0.0], ["a"], [[1.0]], "of 2 numbers as the probe has"),
        ([1.0, 0.0], ["a", "b"], [[1.0, 0.0]], r"want 2 .* got the shape \(1, 2\)"),
        ([1.0, 0.0], [], [[1.0, 0.0]], "want 0"),
        ([1.0, 0.0], ["a"], [1.0, 0.0], r"got the shape \(2,\)"),
        ([1.0, 0.0], ["a", "b"], [[1.0, 0.0], [1.0]], "the candidates: want rows of numbers"),
        ([1.0, 0.0], ["a"], [["x", "y"]], "the candidates: want rows of numbers"),
        ([1.0, None, "x"], ["a"], [[1.0, 0.0]], "the probe: want rows of numbers"),
        ([], ["a"], [[]], r"the probe: want one row of numbers, got the shape \(0,\)"),
        ([], [], [], "the probe: want one row"),
        ([[1.0, 0.0]], ["a"], [[1.0, 0.0]], "the probe: want one row"),
        (1.0, ["a"], [[1.0]], "the probe: want one row"),
    ],
)
def test_what_has_no_score_is_refused(probe: object, ids: list[str], embeddings: object, told: str) -> None:
    with pytest.raises(RerankInputInvalid, match=told) as refused:
        RERANKER.rerank(probe, ids, embeddings)
    assert refused.value.code == "rerank_input_invalid"
    assert "\n" not in str(refused.value)


def test_too_many_candidates_are_refused_before_anything_is_made_of_them() -> None:
    with pytest.raises(RerankInputInvalid, match=f"1001 candidates are too many.*{MOST_CANDIDATES}"):
        RERANKER.rerank([1.0, 0.0], names(MOST_CANDIDATES + 1), "never looked at")


def test_many_threads_at_once_get_what_each_gets_alone() -> None:
    together = threading.Barrier(4)
    inputs = [faces(seed, 50 + 40 * seed, 128, 4) for seed in range(4)]

    def scores(points: np.ndarray, times: int) -> list[Reranked]:
        if times > 1:
            together.wait(timeout=60)
        return [RERANKER.rerank(points[0], names(len(points) - 1), points[1:]) for _ in range(times)]

    alone = [scores(points, 1)[0].scores for points in inputs]
    with ThreadPoolExecutor(4) as threads:
        for wanted, found in zip(alone, threads.map(scores, inputs, [20] * 4), strict=True):
            assert all(one.scores == wanted for one in found)
