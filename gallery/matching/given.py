"""An embedding held against others that come with it, and are in no gallery of ours: 1:N, and 1:1 where there is one.

Unit vectors and how their spaces are judged go in; how alike each identity is and the decision come out. Pure; any
thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gallery.matching.decide import Candidates, Match, Outcome, agree, decide
from gallery.matching.exact import F64, cosines, on_grid
from gallery.matching.space_policy import SpacePolicy
from recognition.arrays import F32
from recognition.models.ensemble import halves


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike the probe is to one identity, by the best of its embeddings; of members that have to agree the weakest
    one's word. confidence: how likely it is right that it is that person, or is not; None: nobody measured that."""

    identity_id: str
    similarity: float
    threshold: float
    is_match: bool
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Given:
    """likenesses: of every identity, the most alike first, equal ones by id. identity_id: None unless known."""

    outcome: Outcome
    identity_id: str | None
    likenesses: tuple[Likeness, ...]


def held_against(
    probe: F32, ids: Sequence[str], embeddings: F32, spaces: Sequence[SpacePolicy], margin: float
) -> Given:
    """probe (d,), embeddings (n,d), one an id; an id may be there several times. `spaces`: as a MatchPolicy has them,
    their sizes together d. Known: as decide() and agree() have it, the lead over the next identity `margin` at least.
    """
    dims = [one.dim for one in spaces]
    parts = zip(_parts(probe[np.newaxis], dims), _parts(embeddings, dims), strict=True)
    found = [_best(ids, cosines(on_grid(mine), on_grid(theirs))[0]) for mine, theirs in parts]
    decided = [
        decide([Candidates(similarities)], one.threshold, margin)
        for one, similarities in zip(spaces, found, strict=True)
    ]
    match, _ = agree(decided, [one.threshold for one in spaces])
    likenesses = [_likeness(who, [of[who] for of in found], spaces, len(ids)) for who in found[0]]
    likenesses.sort(key=lambda one: (-one.similarity, one.identity_id))
    return Given(match.outcome, match.person_id, tuple(likenesses))


def _parts(rows: F32, dims: Sequence[int]) -> list[F32]:
    """What each space sees of them: unit vectors; of a part that is all zeros, zeros."""
    if len(dims) == 1:
        return [rows]
    parts = halves(rows, dims)
    return [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), np.float32(1e-12)) for part in parts]


def _best(ids: Sequence[str], similarities: F64) -> dict[str, float]:
    best: dict[str, float] = {}
    for who, similarity in zip(ids, np.clip(similarities, -1.0, 1.0).tolist(), strict=True):
        if similarity > best.get(who, -2.0):
            best[who] = similarity
    return best


def _likeness(who: str, similarities: Sequence[float], spaces: Sequence[SpacePolicy], templates: int) -> Likeness:
    """Of the space in which it is least alike, by the thresholds."""
    leads = [similarity - one.threshold for similarity, one in zip(similarities, spaces, strict=True)]
    weakest = min(range(len(leads)), key=leads.__getitem__)
    similarity, space = similarities[weakest], spaces[weakest]
    is_match = similarity >= space.threshold
    match = Match("known" if is_match else "unknown", who if is_match else None, similarity, None, who)
    return Likeness(who, similarity, space.threshold, is_match, space.confidence(match, templates))
