"""Embeddings held against others that come with them: who it is, how alike each is, and where it is nobody."""

from dataclasses import replace

import numpy as np
import pytest

from gallery.matching.decide import Rate
from gallery.matching.given import held_against
from gallery.matching.space_policy import SpacePolicy
from tests.gallery.fakes import near, unit

RATES = (Rate(1e-3, 0.2, 0.99), Rate(1e-4, 0.3, 0.9), Rate(1e-5, 0.4, 0.8))
DIM = 64
SPACE = SpacePolicy("a.1", DIM, 0.4, RATES)
ADA, BOB, EVE = (unit(seed, DIM) for seed in (1, 2, 3))


def gallery(*faces: np.ndarray) -> np.ndarray:
    return np.stack(faces)


def test_the_most_alike_comes_first_and_counts_where_it_leads_by_enough():
    probe = near(ADA, 0.8)
    found = held_against(probe, ["bob", "ada", "eve"], gallery(BOB, ADA, EVE), [SPACE], 0.05)
    assert (found.outcome, found.identity_id) == ("known", "ada")
    first, *others = found.likenesses
    assert first.identity_id == "ada"
    assert first.similarity == pytest.approx(0.8, abs=1e-6)
    assert (first.threshold, first.is_match, [one.is_match for one in others]) == (0.4, True, [False, False])
    assert first.similarity >= others[0].similarity >= others[1].similarity


@pytest.mark.parametrize(
    ("cosines", "outcome", "identity"),
    [((0.8, 0.3), "known", "a"), ((0.7, 0.68), "ambiguous", None), ((0.39, 0.1), "unknown", None)],
)
def test_two_who_are_as_alike_are_nobody(cosines, outcome, identity):
    probe, other = unit(7, DIM), unit(8, DIM)
    other -= (other @ probe) * probe
    other /= np.linalg.norm(other)
    rows = [cosine * probe + np.sqrt(1 - cosine**2) * other for cosine in cosines]
    found = held_against(probe, ["a", "b"], np.stack(rows).astype(np.float32), [SPACE], 0.05)
    assert (found.outcome, found.identity_id) == (outcome, identity)


def test_of_several_embeddings_of_one_the_most_alike_counts():
    found = held_against(ADA, ["x", "bob", "x"], gallery(EVE, BOB, ADA), [SPACE], 0.05)
    first, second = found.likenesses
    assert (first.identity_id, first.is_match, second.identity_id) == ("x", True, "bob")
    assert first.similarity == pytest.approx(1.0, abs=1e-6)


def test_confidence_falls_with_how_many_there_are_and_is_none_where_nobody_measured():
    few = held_against(near(ADA, 0.5), ["ada"], gallery(ADA), [SPACE], 0.05).likenesses[0]
    many = held_against(near(ADA, 0.5), ["ada"] * 200, gallery(*[ADA] * 200), [SPACE], 0.05).likenesses[0]
    assert few.confidence is not None
    assert many.confidence is not None
    assert few.confidence > 1 - 1e-4 > many.confidence
    unmeasured = held_against(ADA, ["ada"], gallery(ADA), [replace(SPACE, rates=())], 0.05)
    assert unmeasured.likenesses[0].confidence is None


def test_members_that_have_to_agree_are_held_each_to_its_own_threshold():
    other = SpacePolicy("b.1", 32, 0.9, RATES)
    joined = np.concatenate([ADA, unit(5, 32)]) / np.float32(np.sqrt(2))
    theirs = np.stack([joined, np.concatenate([ADA, near(unit(5, 32), 0.85)]) / np.float32(np.sqrt(2))])
    found = held_against(joined, ["same", "half"], theirs, [SPACE, other], 0.05)
    by_id = {one.identity_id: one for one in found.likenesses}
    assert by_id["same"].is_match
    assert (by_id["half"].is_match, by_id["half"].threshold) == (False, 0.9)
    assert by_id["half"].similarity == pytest.approx(0.85, abs=1e-5)


def test_nobody_is_given():
    found = held_against(ADA, [], np.empty((0, DIM), np.float32), [SPACE], 0.05)
    assert (found.outcome, found.identity_id, found.likenesses) == ("unknown", None, ())
