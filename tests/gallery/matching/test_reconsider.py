"""A name that re-ranking looks at again: kept or taken away, never given."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from gallery.errors import RerankFailed
from gallery.index.faiss_index import FaceIndex
from gallery.matching.decide import Candidates, Match, decide
from gallery.matching.reconsider import MOST_TEMPLATES, NeighbourCheck
from gallery.matching.rerank import Reranked, Reranker
from gallery.matching.rerank_kernel import Neighbourhood, rerank_scores
from gallery.people import Templates
from recognition.arrays import F32
from tests.gallery.fakes import near, unit

THRESHOLD, MARGIN, DIM = 0.35, 0.05, 64


def templates_of(people: Mapping[str, Sequence[F32]]) -> Templates:
    rows = [(who, row) for who, theirs in people.items() for row in theirs]
    ids = np.arange(1, len(rows) + 1, dtype=np.int64)
    return Templates("test.1", ids, tuple(who for who, _ in rows), np.stack([row for _, row in rows]))


def crowd(seed: int, between: float = 0.8, dim: int = DIM, noise: float = 1.0) -> tuple[F32, Templates]:
    """Ten people with five faces each, and a probe of p0 that has much of p1."""
    rng = np.random.default_rng(seed)
    middles = rng.standard_normal((10, dim))
    rows = np.repeat(middles, 5, axis=0) + noise * rng.standard_normal((50, dim))
    probe = middles[0] + noise * rng.standard_normal(dim) + between * middles[1]
    units = np.concatenate([rows, probe[np.newaxis]]).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return units[-1], templates_of({f"p{number}": units[5 * number : 5 * number + 5] for number in range(10)})


def looked_at(
    probes: F32,
    templates: Templates,
    check: NeighbourCheck | None = None,
    negatives: Mapping[str, float] | None = None,
    weights: Sequence[float] | None = None,
) -> tuple[Match, Match]:
    """The decision on the probes (n,d) of one face, and what re-ranking leaves of it."""
    index = FaceIndex.of(templates, "class_mean")
    listed = index.search_people(probes, 10, faces=[len(probes)])
    listed = [Candidates(one.similarities, negatives or {}) for one in listed]
    weights = [1.0] * len(probes) if weights is None else weights
    match = decide(listed, THRESHOLD, MARGIN, weights)
    check = check or NeighbourCheck(Reranker(), None, lambda found: None)
    theirs = index.templates_of(listed[0].similarities)
    return match, check.reconsidered(match, listed, probes, weights, theirs)


@pytest.mark.parametrize("seed", [2, 3, 4, 5, 7])
def test_a_name_that_the_neighbours_have_too_stays(seed: int) -> None:
    probe, templates = crowd(seed, between=0.0)
    match, again = looked_at(probe[np.newaxis], templates)
    assert (match.outcome, match.person_id) == ("known", "p0")
    assert again == match


@pytest.mark.parametrize("seed", [1, 36, 51])
def test_a_name_whose_neighbours_speak_for_another_is_taken_away(seed: int) -> None:
    probe, templates = crowd(seed)
    match, again = looked_at(probe[np.newaxis], templates)
    assert (match.outcome, match.person_id) == ("known", "p0")
    assert (again.outcome, again.person_id) == ("ambiguous", None)
    assert [one.person_id for one in again.candidates] == ["p0", "p1"]
    assert (again.similarity, again.margin, again.best_person) == (match.similarity, match.margin, "p0")
    assert again.candidates[1].similarity == pytest.approx(match.similarity - (match.margin or 0.0))


@pytest.mark.parametrize("seed", [1, 36, 51])
def test_whom_a_negative_refutes_takes_no_name_away(seed: int) -> None:
    probe, templates = crowd(seed)
    match, again = looked_at(probe[np.newaxis], templates, negatives={"p1": 0.99})
    assert again == match
    assert match.person_id == "p0"


def scored(**scores: float) -> Reranker:
    """A kernel that gives everybody's templates, told apart by their person's first number, these scores."""
    people = dict(zip(scores, PEOPLE.values(), strict=False))

    def kernel(points: F32, neighbourhood: Neighbourhood) -> F32:
        who = [max(people, key=lambda name: float(people[name] @ row)) for row in points[1:]]
        return np.array([scores[one] for one in who], np.float32)

    return Reranker(kernel=kernel)


PEOPLE = {"ada": unit(1, DIM), "bob": unit(2, DIM), "eve": unit(3, DIM)}
ALL_OF_THEM = templates_of({who: [face] for who, face in PEOPLE.items()})
ADA = near(PEOPLE["ada"], 0.7)[np.newaxis]


@pytest.mark.parametrize(
    ("ada", "bob", "eve", "bar", "outcome", "candidates"),
    [
        (0.6, 0.5, 0.1, None, "known", []),
        (0.6, 0.6, 0.1, None, "known", []),
        (0.1, 0.0, 0.1, None, "known", []),
        (0.6, 0.61, 0.1, None, "ambiguous", ["ada", "bob"]),
        (0.6, 0.7, 0.8, None, "ambiguous", ["ada", "eve", "bob"]),
        (0.5, 0.4, 0.4, 0.5, "known", []),
        (0.49, 0.4, 0.4, 0.5, "unknown", []),
        (0.3, 0.4, 0.2, 0.5, "ambiguous", ["ada", "bob"]),
    ],
)
def test_the_order_counts_and_a_bar_where_there_is_one(
    ada: float, bob: float, eve: float, bar: float | None, outcome: str, candidates: list[str]
) -> None:
    check = NeighbourCheck(scored(ada=ada, bob=bob, eve=eve), bar, lambda found: None)
    match, again = looked_at(ADA, ALL_OF_THEM, check)
    assert (match.outcome, match.person_id) == ("known", "ada")
    assert (again.outcome, [one.person_id for one in again.candidates]) == (outcome, candidates)
    assert again.person_id == ("ada" if outcome == "known" else None)
    assert again.is_overruled == (outcome != "known")


@pytest.mark.parametrize("cosine", [0.0, 0.2, 0.34])
def test_nobody_gets_a_name_by_it(cosine: float) -> None:
    sure = NeighbourCheck(scored(ada=1.0, bob=0.0, eve=0.0), None, lambda found: None)
    match, again = looked_at(near(PEOPLE["ada"], cosine)[np.newaxis], ALL_OF_THEM, sure)
    assert match.outcome == "unknown"
    assert again == match
    between = (PEOPLE["ada"] + PEOPLE["bob"])[np.newaxis]
    doubt, still = looked_at(between / np.linalg.norm(between), ALL_OF_THEM, sure)
    assert doubt.outcome == "ambiguous"
    assert still == doubt


def test_faces_of_a_track_vote_by_their_weight() -> None:
    def kernel(points: F32, neighbourhood: Neighbourhood) -> F32:
        alike = points[1:] @ points[0]
        return np.asarray(np.where(alike > 0.5, float(points[0] @ PEOPLE["ada"] > 0.75), 0.4), np.float32)

    check = NeighbourCheck(Reranker(kernel=kernel), None, lambda found: None)
    probes = np.stack([near(PEOPLE["ada"], 0.8), near(PEOPLE["ada"], 0.7)])  # ada has 1 by the first, 0 by the other
    outcomes = [
        looked_at(probes, ALL_OF_THEM, check, weights=weights)[1].outcome for weights in ([5, 5], [3, 7], [0, 0])
    ]
    assert outcomes == ["known", "ambiguous", "known"]


def test_a_face_without_a_direction_has_no_vote() -> None:
    probes = np.stack([PEOPLE["ada"], np.zeros(DIM, np.float32)])
    match, again = looked_at(probes, ALL_OF_THEM)
    assert match.outcome == "known"
    assert again == match


def test_of_many_templates_the_nearest_are_looked_at() -> None:
    told: list[Reranked | RerankFailed] = []
    people = {who: [near(face, 0.8, seed) for seed in range(300)] for who, face in PEOPLE.items()}
    _, again = looked_at(ADA, templates_of(people), NeighbourCheck(Reranker(), None, told.append))
    assert again.person_id == "ada"
    assert [found.candidates for found in told if isinstance(found, Reranked)] == [MOST_TEMPLATES]


def test_what_a_library_fails_at_the_built_in_kernel_does() -> None:
    told: list[Reranked | RerankFailed] = []

    def fails(points: F32, neighbourhood: Neighbourhood) -> F32:
        raise RerankFailed("gave error -5")

    probe, templates = crowd(1)
    _, again = looked_at(probe[np.newaxis], templates, NeighbourCheck(Reranker(kernel=fails), None, told.append))
    assert again.outcome == "ambiguous"
    assert [type(found) for found in told] == [RerankFailed, Reranked]
    assert rerank_scores is Reranker().kernel
