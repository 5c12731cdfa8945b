"""Scores -> known, unknown or ambiguous (open-set identification), and how sure that is. Pure; any thread.

What an index found for one probe, or for the best faces of a track with their weights, goes in; one Match
comes out. A false name is worse than no name: what is in doubt stays without one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Literal, NamedTuple

Outcome = Literal["known", "unknown", "ambiguous"]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The people near to one probe: by person id how alike the probe is to them, a cosine, by whatever aggregation.

    negatives: of those of whom faces are known that are not theirs, the cosine with the nearest such face.
    """

    similarities: Mapping[str, float]
    negatives: Mapping[str, float] = field(default_factory=dict)


class Rule(NamedTuple):
    """What decide() goes by. threshold: nobody has a lower one, of their own or not."""

    threshold: float
    margin: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody whom it may be, and how alike the face is to that person, in [-1, 1]."""

    person_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Match:
    """The decision. `person_id` is None unless known; `best_person` is the nearest whatever the outcome.

    `similarity` is the best person's, in [-1, 1] (-1 where nobody is enrolled); `margin` its lead over the
    next different person, None where there is none. `candidates`: whom an ambiguous one lies between, the nearest
    first; empty otherwise.
    """

    outcome: Outcome
    person_id: str | None
    similarity: float
    margin: float | None
    best_person: str | None
    candidates: tuple[Candidate, ...] = ()


REFUTED_WITHIN = 0.05  # measured on look-alike pairs: docs/accuracy.md


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

    All of these probes list the same people. A person's vote is the weighted mean, over the probes, of the person's
    similarity; so is that of what speaks against it, the person's negatives, and whom these refute is no candidate.
    Known: the best vote is at least `threshold`, or that person's own one, and leads the next person's by at least
    `margin`; ambiguous: only the first of these; unknown: neither. For the lead to be a true one two people must be
    listed beside those who have negatives, where the gallery has them: see FaceIndex.search_people(). Raises ValueError
    for negative or missing weights, KeyError where a probe does not list somebody.
    """
    weights = _shares(len(probes), weights)
    votes = _counted([probe.similarities for probe in probes], weights)
    if probes and probes[0].negatives:
        against = _counted([probe.negatives for probe in probes], weights)
        votes = {who: vote for who, vote in votes.items() if not is_refuted(vote, against.get(who, -math.inf))}
    if not votes:
        return NOBODY
    rising = sorted(votes.values())
    highest, lead = rising[-1], rising[-1] - rising[-2] if len(rising) > 1 else None
    best = min([person for person, vote in votes.items() if vote == highest])
    similarity = _cosine(highest)
    if similarity < own_thresholds.get(best, threshold):
        return Match("unknown", None, similarity, lead, best)
    if lead is not None and lead < margin:
        near = [(-vote, person) for person, vote in votes.items() if highest - vote < margin]
        candidates = tuple(Candidate(person, _cosine(-vote)) for vote, person in sorted(near))
        return Match("ambiguous", None, similarity, lead, best, candidates)
    return Match("known", best, similarity, lead, best)


def is_refuted(similarity: float, negative: float) -> bool:
    """Whether a face that resembles a person so much is not that person's, since it resembles a face that is not.

    Both by the same probes: as much as the person, or less by no more than REFUTED_WITHIN.
    """
    return negative >= similarity - REFUTED_WITHIN


def _shares(count: int, weights: Sequence[float] | None) -> Sequence[float]:
    """Of a whole that is 1; weights of nothing are equal ones."""
    if weights is None:
        return [1.0 / count] * count if count else []
    if len(weights) != count or not all(weight >= 0 for weight in weights):
        raise ValueError(f"weights: want {count} numbers of at least 0, got {list(weights)}")
    total = math.fsum(weights)
    return [weight / total for weight in weights] if total else [1.0 / count for _ in weights]


def _counted(probes: Sequence[Mapping[str, float]], shares: Sequence[float]) -> Mapping[str, float]:
    """The vote of each person; fsum: the order in which faces were seen must not decide a close call."""
    if not probes or len(probes) == 1:
        return probes[0] if probes else {}
    return {person: math.fsum(map(mul, shares, (probe[person] for probe in probes))) for person in probes[0]}


def _cosine(vote: float) -> float:
    return vote if -1.0 <= vote <= 1.0 else math.copysign(1.0, vote)


def agree(matches: Sequence[Match], thresholds: Sequence[float]) -> tuple[Match, int]:
    """What the decisions of several models on one face come to, and the number of the weakest of them.

    Known: all are, and name one person. Unknown: one of them is. Ambiguous: none of them is unknown, but one is in
    doubt, or two name different people. The weakest is the least decided one (unknown before ambiguous before known),
    among these the one with the smallest lead over its threshold, since cosines of two models can't be compared:
    similarity and margin are its own. `best_person` is the one whom all of them have as such; `candidates` are those
    of all, each as in the first that has it. Raises ValueError for no matches.
    """
    leads = [match.similarity - threshold for match, threshold in zip(matches, thresholds, strict=True)]
    weakest = min(range(len(matches)), key=lambda number: (_DECIDED.index(matches[number].outcome), leads[number]))
    weak = matches[weakest]
    best = weak.best_person if len({match.best_person for match in matches}) == 1 else None
    outcome: Outcome = "ambiguous" if weak.outcome == "known" and best is None else weak.outcome
    person_id = best if outcome == "known" else None
    near = _candidates(matches) if outcome == "ambiguous" else ()
    return Match(outcome, person_id, weak.similarity, weak.margin, best, near), weakest


def _candidates(matches: Sequence[Match]) -> tuple[Candidate, ...]:
    """Whom models that are in doubt, or of two minds, have in mind."""
    found: dict[str, Candidate] = {}
    for match in matches:
        named = [] if match.person_id is None else [Candidate(match.person_id, match.similarity)]
        for one in (*match.candidates, *named):
            found.setdefault(one.person_id, one)
    return tuple(found.values())


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
