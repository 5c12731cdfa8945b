"""Scores -> known, unknown or ambiguous (open-set identification), and how sure that is. Pure; any thread.

What an index found for one probe, or for the best faces of a track with their weights, goes in; one Match
comes out. A false name is worse than no name: what is in doubt stays without one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Outcome = Literal["known", "unknown", "ambiguous"]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The people nearest to one probe: `similarities` has, by person id, the cosine of their best template.

    Nobody who is not listed is more similar than `floor` (-1 where everybody is listed).
    """

    similarities: Mapping[str, float]
    floor: float = -1.0

    def __post_init__(self) -> None:
        if any(similarity < self.floor for similarity in self.similarities.values()):
            raise ValueError("candidates: one is less similar than the floor; want floor <= every similarity")


@dataclass(frozen=True, slots=True)
class Match:
    """The decision. `person_id` is None unless known; `best_person` is the nearest whatever the outcome.

    `similarity` is the best person's, in [-1, 1] (-1 where nobody is enrolled); `margin` its lead over the
    next different person, None where there is none.
    """

    outcome: Outcome
    person_id: str | None
    similarity: float
    margin: float | None
    best_person: str | None


class Rate(NamedTuple):
    """At this cosine a share `fmr` of impostor pairs passes and a share `tmr` of genuine ones."""

    fmr: float
    cosine: float
    tmr: float


NOBODY = Match("unknown", None, -1.0, None, None)
_DECIDED: Sequence[Outcome] = ("unknown", "ambiguous", "known")


def decide(
    probes: Sequence[Candidates],
    threshold: float,
    margin: float,
    weights: Sequence[float] | None = None,
    own_thresholds: Mapping[str, float] = {},
) -> Match:
    """Count the votes of one or several probes of one face. `weights` (the faces' quality) None: all equal.

    A person's vote is the weighted mean, over the probes, of the person's similarity; where a probe does not
    list the person its floor stands in, the most that it can have been. Known: the best vote is at least
    `threshold`, or that person's own one, and leads the next person's by at least `margin`; ambiguous: only the first
    of these; unknown: neither. For the lead to be a true one each probe must list two people where the gallery has
    two, as FaceIndex.search_people does. Raises ValueError for negative or missing weights.
    """
    weights = [1.0] * len(probes) if weights is None else weights
    if len(weights) != len(probes) or any(not weight >= 0 for weight in weights):
        raise ValueError(f"weights: want {len(probes)} numbers of at least 0, got {list(weights)}")
    total = math.fsum(weights)
    if not total:
        weights, total = [1.0] * len(probes), float(len(probes))
    people = {person for probe in probes for person in probe.similarities}
    if not people:
        return NOBODY
    # fsum: the order in which faces were seen must not decide a close call.
    votes = {
        person: math.fsum(w * p.similarities.get(person, p.floor) for w, p in zip(weights, probes, strict=True)) / total
        for person in people
    }
    ranked = sorted(people, key=lambda person: (-votes[person], person))
    best = ranked[0]
    lead = votes[best] - votes[ranked[1]] if len(ranked) > 1 else None
    similarity = min(max(votes[best], -1.0), 1.0)
    if similarity < own_thresholds.get(best, threshold):
        return Match("unknown", None, similarity, lead, best)
    if lead is not None and lead < margin:
        return Match("ambiguous", None, similarity, lead, best)
    return Match("known", best, similarity, lead, best)


def agree(matches: Sequence[Match], thresholds: Sequence[float]) -> tuple[Match, int]:
    """What the decisions of several models on one face come to, and the number of the weakest of them.

    Known: all are, and name one person. Unknown: one of them is. Ambiguous: none of them is unknown, but one is in
    doubt, or two name different people. The weakest is the least decided one (unknown before ambiguous before known),
    among these the one with the smallest lead over its threshold, since cosines of two models can't be compared:
    similarity and margin are its own. `best_person` is the one whom all of them have as such. Raises ValueError for
    no matches.
    """
    leads = [match.similarity - threshold for match, threshold in zip(matches, thresholds, strict=True)]
    weakest = min(range(len(matches)), key=lambda number: (_DECIDED.index(matches[number].outcome), leads[number]))
    weak = matches[weakest]
    best = weak.best_person if len({match.best_person for match in matches}) == 1 else None
    outcome: Outcome = "ambiguous" if weak.outcome == "known" and best is None else weak.outcome
    person_id = best if outcome == "known" else None
    return Match(outcome, person_id, weak.similarity, weak.margin, best), weakest


def confidence(match: Match, rates: Sequence[tuple[float, float, float]], templates: int) -> float | None:
    """How far a match may be trusted, in [0, 1], by (fmr, cosine, tmr) rows as the embedder's spec has them.

    Known: the chance that none of `templates` impostor comparisons would have reached this similarity, at
    least 1 - templates * FMR. The FMR is log-linear between the rows and before the first; beyond the last it
    stays at that row's, since nothing rarer was measured: no match is claimed surer than the measurement.
    Unknown: the share of genuine probes that would have scored higher, the TMR at this similarity, likewise
    never above the best that was measured; 1 where nobody is enrolled. Ambiguous: None. No rows, because nobody
    measured any: None whatever the match.
    """
    if not rates:
        return None
    if match.best_person is None:
        return 1.0
    rows = sorted((Rate(*rate) for rate in rates), key=lambda rate: rate.cosine)
    if match.outcome == "known":
        return 1.0 - min(1.0, templates * _false_match_rate(match.similarity, rows))
    if match.outcome == "unknown":
        return _true_match_rate(match.similarity, rows)
    return None


def _false_match_rate(similarity: float, rows: Sequence[Rate]) -> float:
    """The share of impostor pairs above this cosine; `rows` by rising cosine. See confidence()."""
    points = [(row.cosine, math.log(row.fmr)) for row in rows]
    if similarity >= points[-1][0]:
        return rows[-1].fmr
    if len(points) == 1:
        return 1.0
    return min(1.0, math.exp(_on_line(similarity, points)))


def _true_match_rate(similarity: float, rows: Sequence[Rate]) -> float:
    if similarity <= rows[0].cosine:
        return rows[0].tmr
    if len(rows) == 1:
        return 0.0
    return min(max(_on_line(similarity, [(row.cosine, row.tmr) for row in rows]), 0.0), 1.0)


def _on_line(at: float, points: Sequence[tuple[float, float]]) -> float:
    """The broken line through the points, its first and last pieces prolonged."""
    upper = next((place for place in range(1, len(points) - 1) if at < points[place][0]), len(points) - 1)
    (x0, y0), (x1, y1) = points[upper - 1], points[upper]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
