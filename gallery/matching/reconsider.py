"""A name looked at again by re-ranking, where `gallery.rerank` is true: it may be taken away, and none is given.

A decision goes in with what it was made of, a decision comes out. Any thread.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gallery.errors import RerankFailed
from gallery.matching.decide import Candidate, Candidates, Match, decide
from gallery.matching.rerank import Reranked, Reranker
from gallery.people import Templates
from recognition.arrays import F32

MOST_TEMPLATES = 200  # of one probe the nearest: more would take longer than they tell
_TIE = 1e-6


@dataclass(frozen=True, slots=True)
class NeighbourCheck:
    """`bar`: the score under which a name is taken away; None: the order of the scores alone counts. `tell` is told of
    each call, and of each that a user's library failed at, on the caller's thread."""

    reranker: Reranker
    bar: float | None
    tell: Callable[[Reranked | RerankFailed], None]

    def reconsidered(
        self,
        match: Match,
        candidates: Sequence[Candidates],
        probes: F32,
        weights: Sequence[float],
        templates: Templates,
    ) -> Match:
        """A known match as it is, or taken back; every other one as it is.

        `candidates`, `probes` (n,d) and `weights` are what it was decided by, `templates` those of the people listed.
        A person's score is the mean over the probes, weighted likewise. Ambiguous: somebody else, whom no negative
        refutes, has a higher one than the person named. Unknown: nobody has, but the bar is not reached.
        """
        if match.person_id is None or not len(templates):
            return match
        scores = self._voted(probes, weights, templates)
        own = scores.get(match.person_id, 0.0)
        higher = sorted((who for who in scores if scores[who] > own + _TIE), key=lambda who: (-scores[who], who))
        rivals = [rival for who in higher if (rival := _standing(who, candidates, weights)) is not None]
        if rivals:
            named = Candidate(match.person_id, match.similarity)
            return replace(match, outcome="ambiguous", person_id=None, candidates=(named, *rivals), is_overruled=True)
        if self.bar is not None and own < self.bar:
            return replace(match, outcome="unknown", person_id=None, is_overruled=True)
        return match

    def _voted(self, probes: F32, weights: Sequence[float], templates: Templates) -> Mapping[str, float]:
        """By person; where no template of somebody is near enough to a probe to be looked at, that probe says 0."""
        usable = [row for row in range(len(probes)) if 0 < float(np.linalg.norm(probes[row])) < math.inf]
        shares = [weights[row] for row in usable]
        if not math.fsum(shares):
            shares = [1.0] * len(usable)
        found: dict[str, list[float]] = {}
        for row, share in zip(usable, shares, strict=True):
            for score in self._reranked(probes[row], templates).scores:
                found.setdefault(score.id, []).append(share * score.score)
        total = math.fsum(shares)
        return {who: math.fsum(parts) / total for who, parts in found.items()}

    def _reranked(self, probe: F32, templates: Templates) -> Reranked:
        near = np.argsort(-(templates.matrix @ probe), kind="stable")[:MOST_TEMPLATES]
        ids = [templates.person_ids[row] for row in near.tolist()]
        try:
            found = self.reranker.rerank(probe, ids, templates.matrix[near])
        except RerankFailed as error:
            self.tell(error)
            found = Reranker(self.reranker.threshold).rerank(probe, ids, templates.matrix[near])
        self.tell(found)
        return found


def _standing(who: str, candidates: Sequence[Candidates], weights: Sequence[float]) -> Candidate | None:
    """Somebody who is listed, and how alike by the same vote; None where negatives refute that."""
    alone = [
        Candidates({who: one.similarities[who]}, {who: one.negatives[who]} if who in one.negatives else {})
        for one in candidates
    ]
    match = decide(alone, -1.0, 0.0, weights)
    return None if match.person_id is None else Candidate(who, match.similarity)
