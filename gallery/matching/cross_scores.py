"""CrossScores: a gallery's people held against each other, each as a stranger to all others. Pure NumPy, blocks.

Templates go in; out comes how alike different people's are (and who is most alike), and how alike a person's own are,
each left out of the others in turn. Scores are aggregated as decisions are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gallery.matching.aggregate import aggregate, class_means
from gallery.matching.aggregation import Aggregation
from gallery.matching.decide import is_refuted
from gallery.matching.exact import cosines, on_grid
from gallery.matching.negatives import Negatives
from gallery.matching.tails import F64, GRID, bin_of
from gallery.people import Templates
from recognition.arrays import F32

_BLOCK = 256
# Of larger galleries so many faces, evenly chosen, are held against everybody: 20,000 people take a minute.
_MOST_PROBES = 4000
_MOST_ALIKE = 20


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Two people, by their ids, and the highest similarity of a photo of one to the other."""

    first: str
    second: str
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class CrossScores:
    """`people`: how many templates each has. impostor (4001,), genuine (4001,): by bins of GRID, each ordered pair of
    people of weight 1, and each person who has two templates at least.

    `pairs`: of how many pairs of templates, of different people, the impostor scores were made, each pair once.
    `look_alikes`: the most alike first.
    """

    people: Mapping[str, int]
    impostor: F64
    genuine: F64
    pairs: int
    look_alikes: tuple[LookAlike, ...]


def cross_scores(
    templates: Templates,
    how: Aggregation,
    negatives: Negatives | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CrossScores:
    """Seconds for thousands of people. `negatives`: what they keep from being named as somebody resembles nobody.

    `progress` is told (faces done, all).
    """
    vectors, owners, starts = _by_person(templates)
    gallery, columns = _gallery(vectors, starts, how)
    sizes = np.diff(starts, append=len(vectors))
    person_of = np.repeat(np.arange(len(owners)), sizes)
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _MOST_PROBES)).astype(np.intp))
    chosen = np.bincount(person_of[rows], minlength=len(owners))
    impostor, nearest = np.zeros(len(GRID)), _Nearest(owners)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        scores = aggregate(cosines(vectors[block], gallery), columns, how)
        own = person_of[block]
        _refute(scores, vectors[block], owners, negatives)
        weights = np.repeat(1.0 / chosen[own][:, None], len(owners), axis=1)
        weights[np.arange(len(block)), own] = 0.0
        impostor += np.bincount(bin_of(scores).ravel(), weights=weights.ravel(), minlength=len(GRID))
        scores[np.arange(len(block)), own] = -2.0
        nearest.see(own, scores)
        progress(start + len(block), len(rows))
    pairs = (len(vectors) ** 2 - int((sizes**2).sum())) // 2
    counted = dict(zip(owners, sizes.tolist(), strict=True))
    return CrossScores(counted, impostor, _own_scores(vectors, starts, how), pairs, nearest.pairs())


def _by_person(templates: Templates) -> tuple[F32, list[str], NDArray[np.intp]]:
    """On the exact grid, a person's side by side; whose they are, and where each begins."""
    order = sorted(range(len(templates)), key=lambda row: (templates.person_ids[row], row))
    names = [templates.person_ids[row] for row in order]
    starts = np.flatnonzero([place == 0 or names[place - 1] != name for place, name in enumerate(names)])
    return on_grid(templates.matrix[order]), [names[start] for start in starts], starts


def _gallery(vectors: F32, starts: NDArray[np.intp], how: Aggregation) -> tuple[F32, NDArray[np.intp]]:
    if how != "class_mean" or not len(starts):
        return vectors, starts
    return class_means(vectors, starts), np.arange(len(starts))


def _refute(scores: F64, probes: F32, owners: Sequence[str], negatives: Negatives | None) -> None:
    """Take away, in place, what a decision would."""
    if negatives is None or not negatives.people:
        return
    column = {owner: place for place, owner in enumerate(owners)}
    for row, found in enumerate(negatives.nearest(probes, column.keys())):
        for person, cosine in found.items():
            if is_refuted(float(scores[row, column[person]]), cosine):
                scores[row, column[person]] = -1.0


class _Nearest:
    """Of each pair of people the highest score, as far as it is that of somebody's nearest."""

    def __init__(self, owners: Sequence[str]) -> None:
        self._owners = owners
        self._best: dict[tuple[int, int], float] = {}

    def see(self, own: NDArray[np.intp], scores: F64) -> None:
        """scores (n,p) of probes of these people, -2 with themselves."""
        if scores.shape[1] < 2:
            return
        for mine, other, score in zip(own.tolist(), scores.argmax(axis=1).tolist(), scores.max(axis=1), strict=True):
            pair = (min(mine, other), max(mine, other))
            self._best[pair] = max(self._best.get(pair, -1.0), float(score))

    def pairs(self) -> tuple[LookAlike, ...]:
        ranked = sorted(self._best.items(), key=lambda item: (-item[1], item[0]))[:_MOST_ALIKE]
        return tuple(LookAlike(self._owners[a], self._owners[b], score) for (a, b), score in ranked)


def _own_scores(vectors: F32, starts: NDArray[np.intp], how: Aggregation) -> F64:
    """Each template against its person's others, aggregated; a person counts once."""
    found = np.zeros(len(GRID))
    for part in np.split(vectors, starts[1:]):
        if len(part) < 2:
            continue
        part = part[:50]
        scores = [_against(part[row : row + 1], np.delete(part, row, axis=0), how) for row in range(len(part))]
        found += np.bincount(bin_of(np.array(scores)), minlength=len(GRID)) / len(part)
    return found


def _against(probe: F32, others: F32, how: Aggregation) -> float:
    gallery = class_means(others, np.zeros(1, np.intp)) if how == "class_mean" else others
    return float(aggregate(cosines(probe, gallery), np.zeros(1, np.intp), how)[0, 0])
