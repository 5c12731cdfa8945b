"""Embeddings and their people -> error rates. Arrays in, figures out: pure NumPy, no model, any thread.

Terms after ISO/IEC 19795-1, 10-fold accuracy after the LFW protocol (Huang et al. 2007). A score is a cosine, a
comparison passes at `score >= threshold`, and a rate is None where there are too few comparisons to tell it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

FOLDS = 10
# 2e-6 of cosine each: fine enough for any threshold, and 8 MB however many comparisons there are.
_BINS = 1 << 20
_BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """One embedding a photo. embeddings (n,d) float32 unit vectors; people (n,) each photo's person, from 0.

    The photos of a person are neighbours, first photo first, and numbers rise by one. found (n,) is False where
    a photo showed no face: its row is not looked at.
    """

    embeddings: F32
    people: Ints
    found: Bools

    def __post_init__(self) -> None:
        n = len(self.people)
        if self.embeddings.ndim != 2 or len(self.embeddings) != n or self.found.shape != (n,):
            raise ValueError(f"want {n} embeddings and flags, got {self.embeddings.shape} and {self.found.shape}")
        if n and (self.people[0] != 0 or not np.isin(np.diff(self.people), (0, 1)).all()):
            raise ValueError("people: want numbers that begin with 0 and rise by one")

    @property
    def first_photos(self) -> Ints:
        """(people,) the row of each person's first photo."""
        return np.flatnonzero(np.diff(self.people, prepend=-1))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Mean and standard deviation over the folds, and the mean of their thresholds."""

    mean: float
    deviation: float
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class GenuineScores:
    """Every comparison within a person: scores (k,), -inf where a photo showed no face; weights (k,) sum up to 1."""

    scores: F32
    weights: F64

    def share_from(self, threshold: float) -> float | None:
        """The true-match rate: each person counts once, and a face that was not found does not match."""
        return float(self.weights[self.scores >= threshold].sum()) if len(self.scores) else None


@dataclass(frozen=True, slots=True, eq=False)
class ImpostorScores:
    """Every comparison across people, counted in equal bins of cosine from -1 to 1."""

    counts: NDArray[np.int64]

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def threshold_at(self, fmr: float) -> float | None:
        """The lowest cosine at which no larger share than `fmr` passes."""
        allowed = int(fmr * self.total + 1e-6)
        if allowed < 1:
            return None
        bins = int(np.searchsorted(np.cumsum(self.counts[::-1]), allowed, side="right"))
        return 1.0 - bins * 2.0 / _BINS


@dataclass(frozen=True, slots=True)
class Identification:
    """Open-set identification at `threshold`: the false-negative rate, and what it was measured over."""

    fnir: float | None
    threshold: float | None
    enrolled: int
    genuine_probes: int
    impostor_probes: int


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Points of the ROC and of the DET curve, false-match rate rising; fmr (p,), tmr (p,)."""

    fmr: F64
    tmr: F64


def verification_accuracy(scores: F32, same: Bools, folds: int = FOLDS) -> Accuracy:
    """Pairs (n,) -> accuracy, each fold judged by the threshold that is best for all others.

    Folds are cut in the order of the pairs, each with its share of both kinds. NaN is the score of a pair with a
    face that was not found: it is wrong, whatever kind it is of.
    """
    fold = np.empty(len(same), np.intp)
    for kind in (True, False):
        places = np.flatnonzero(same == kind)
        fold[places] = np.arange(len(places)) * folds // max(1, len(places))
    shares, thresholds = [], []
    for number in range(folds):
        judged = fold == number
        threshold = best_threshold(scores[~judged], same[~judged])
        right = ((scores[judged] >= threshold) == same[judged]) & ~np.isnan(scores[judged])
        shares.append(right.mean())
        thresholds.append(threshold)
    return Accuracy(float(np.mean(shares)), float(np.std(shares)), float(np.mean(thresholds)))


def best_threshold(scores: F32, same: Bools) -> float:
    """The cosine that tells most pairs right; the middle one where several do. Without any score 0."""
    known = ~np.isnan(scores)
    if not known.any():
        return 0.0
    order = np.argsort(scores[known], kind="stable")
    rising, genuine = scores[known][order], same[known][order]
    # Cut number p passes rising[p:].
    impostors_below = np.concatenate(([0], np.cumsum(~genuine)))
    genuine_above = genuine.sum() - np.concatenate(([0], np.cumsum(genuine)))
    right = impostors_below + genuine_above
    right[1:-1][rising[1:] == rising[:-1]] = -1
    just_above = np.nextafter(rising, np.float32(np.inf))
    middles = np.maximum((rising[1:] + rising[:-1]) / 2, just_above[:-1])
    edges = np.concatenate((rising[:1], middles, just_above[-1:]))
    best = np.flatnonzero(right == right.max())
    return float(edges[best[len(best) // 2]])


def genuine_scores(templates: Templates) -> GenuineScores:
    """Compare each photo with every other one of its person; people with one photo have nothing to compare."""
    scores, weights = [np.empty(0, np.float32)], [np.empty(0)]
    for rows in np.split(np.arange(len(templates.people)), templates.first_photos[1:]):
        left, right = np.triu_indices(len(rows), 1)
        if len(left):
            ours, found = templates.embeddings[rows], templates.found[rows]
            scores.append(np.where(found[left] & found[right], (ours @ ours.T)[left, right], -np.inf))
            weights.append(np.full(len(left), 1 / len(left)))
    people = len(weights) - 1
    return GenuineScores(np.concatenate(scores).astype(np.float32), np.concatenate(weights) / max(1, people))


def impostor_scores(templates: Templates) -> ImpostorScores:
    """Compare each photo with every photo of every other person, all of one weight; those without a face left out.

    Works in blocks: 9500 photos (45 million comparisons) take seconds and under 100 MB.
    """
    embeddings, people = templates.embeddings[templates.found], templates.people[templates.found]
    counts = np.zeros(_BINS, np.int64)
    for start in range(0, len(people), _BLOCK):
        scores = embeddings[start : start + _BLOCK] @ embeddings[start:].T
        # Numbers rise: each pair of two people is met once.
        across = people[start : start + _BLOCK, None] < people[None, start:]
        places = ((scores[across] + np.float32(1)) * np.float32(_BINS / 2)).astype(np.int32)
        counts += np.bincount(np.clip(places, 0, _BINS - 1), minlength=_BINS)
    return ImpostorScores(counts)


def identify(templates: Templates, enrolled: Bools, fpir: float) -> Identification:
    """Open-set identification: the first photo of each enrolled person (people,) is the gallery.

    The enrolled people's other photos are the genuine probes, each person counting once: a probe fails whose best
    match is somebody else or below the threshold, and so does one whose own face, or whose person's enrolled one,
    was not found. The other people's faces are the impostors: no larger share of them than `fpir` may find a match.
    """
    first = templates.first_photos
    gallery = first[enrolled & templates.found[first]]
    of_enrolled = enrolled[templates.people] if len(first) else np.zeros(0, np.bool_)
    is_probe = of_enrolled.copy()
    is_probe[first] = False
    genuine = np.flatnonzero(is_probe)
    impostors = np.flatnonzero(~of_enrolled & templates.found)
    threshold = None
    allowed = int(fpir * len(impostors) + 1e-6)
    if allowed >= 1 and len(gallery):
        alarms = np.sort(_best_match(templates, impostors, gallery)[0])[::-1]
        threshold = float(np.nextafter(alarms[allowed], np.float32(np.inf)))
    fnir = None
    if threshold is not None and len(genuine):
        best, who = _best_match(templates, genuine, gallery)
        hit = (best >= threshold) & (who == templates.people[genuine]) & templates.found[genuine]
        photos = np.bincount(templates.people[genuine], minlength=len(first))
        weights = 1 / photos[templates.people[genuine]]
        fnir = float(1 - weights[hit].sum() / weights.sum())
    return Identification(fnir, threshold, int(enrolled.sum()), len(genuine), len(impostors))


def _best_match(templates: Templates, probes: Ints, gallery: Ints) -> tuple[F32, Ints]:
    """Each probe's highest score (k,) in the gallery, and the person (k,) it belongs to."""
    best, who = np.empty(len(probes), np.float32), np.empty(len(probes), np.intp)
    for start in range(0, len(probes), _BLOCK):
        block = slice(start, start + _BLOCK)
        scores = templates.embeddings[probes[block]] @ templates.embeddings[gallery].T
        best[block], who[block] = scores.max(axis=1), templates.people[gallery[scores.argmax(axis=1)]]
    return best, who


def trade_off(genuine: GenuineScores, impostors: ImpostorScores, points: int = 200) -> Curve | None:
    """The curve from one false match among all comparisons up to all; None where one of the two kinds is missing."""
    if not len(genuine.scores) or not impostors.total:
        return None
    passing = np.cumsum(impostors.counts[::-1])
    wanted = np.geomspace(1, impostors.total, points)
    bins = np.minimum(np.searchsorted(passing, wanted, side="right"), _BINS)
    order = np.argsort(genuine.scores)
    missed = np.concatenate(([0.0], np.cumsum(genuine.weights[order])))
    below = np.searchsorted(genuine.scores[order], 1.0 - bins * 2.0 / _BINS, side="left")
    fmr = np.where(bins > 0, passing[np.maximum(bins, 1) - 1], 0) / impostors.total
    return Curve(fmr, np.clip(1 - missed[below], 0.0, 1.0))
