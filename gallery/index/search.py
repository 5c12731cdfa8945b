"""The people near to a probe: found by FAISS in float32, then measured exactly. Pure but for FAISS; any thread.

FAISS rounds as the processor and the number of probes have it, so it says who is near and nothing else: how near is
computed anew, the same everywhere.
"""

from collections.abc import Sequence
from itertools import accumulate, chain
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gallery.index.contents import Contents
from gallery.index.person_rows import PersonRows
from gallery.matching.aggregate import Aggregation, aggregate
from gallery.matching.decide import Candidates
from gallery.matching.exact import F64
from recognition.arrays import F32

_TIE = np.float32(1e-5)  # cosines in float32 differ by less, however they are added up
_PAIRS_AT_ONCE = 4096  # of a probe and a template: 32 MiB of 512 numbers in float64


class Nearest(NamedTuple):
    """Of n probes the k nearest rows: cosines (n,k) float32, falling, and whose they are, by number; -1: nobody's."""

    cosines: F32
    owners: NDArray[np.intp]


def nearest(faiss: ModuleType, contents: Contents, whose: PersonRows, probes: F32, top_k: int) -> list[list[int]]:
    """For each probe (n,d) the people, by number, of its top_k rows or more: until two people are surely the nearest.

    Near to a probe of zeros is nobody.
    """
    found = _top(faiss, contents, whose, probes, top_k)
    near = [list(dict.fromkeys(owners)) for owners in found.owners.tolist()]
    blank = ~probes.any(axis=1)
    for probe in np.flatnonzero(blank).tolist():
        near[probe] = []
    for probe in np.flatnonzero(_is_open(found) & ~blank).tolist():
        k, one = top_k, found.owners[probe : probe + 1]
        while k < len(contents):
            k = min(max(4 * k, int(whose.sizes[one[0, 0]]) + 1), len(contents))
            longer = _top(faiss, contents, whose, probes[probe : probe + 1], k)
            one = longer.owners
            if not _is_open(longer)[0]:
                break
        near[probe] = list(dict.fromkeys(one[0].tolist()))
    return near


def exactly(
    probes: F32,
    near: Sequence[Sequence[int]],
    faces: Sequence[int],
    contents: Contents,
    whose: PersonRows,
    how: Aggregation,
) -> list[Candidates]:
    """How alike each probe is to the people who are near to it, or to another probe of its face."""
    people: list[Sequence[int]] = []
    of_probe: list[int] = []
    of_person: list[int] = []
    for end, count in zip(accumulate(faces), faces, strict=True):
        here = near[end - 1] if count == 1 else list(dict.fromkeys(chain.from_iterable(near[end - count : end])))
        for probe in range(end - count, end):
            people.append(here)
            of_probe += [probe] * len(here)
            of_person += here
    numbers = np.array(of_person, np.intp)
    sizes = whose.sizes[numbers]
    exact = _exact(probes, np.repeat(np.array(of_probe, np.intp), sizes), contents, whose.rows_of(numbers))
    scores = iter(aggregate(exact, np.cumsum(sizes) - sizes, how).tolist())
    return [Candidates({whose.people[number]: next(scores) for number in here}) for here in people]


def _exact(probes: F32, which: NDArray[np.intp], contents: Contents, rows: NDArray[np.intp]) -> F64:
    """The cosine of each pair (p,) of a probe and a row; both are on the grid."""
    found = np.empty(len(rows))
    for first in range(0, len(rows), _PAIRS_AT_ONCE):
        some = slice(first, first + _PAIRS_AT_ONCE)
        np.einsum("pd,pd->p", probes[which[some]], contents.vectors(rows[some]), out=found[some], dtype=np.float64)
    return np.clip(found, -1.0, 1.0)


def _is_open(found: Nearest) -> NDArray[np.bool_]:
    """(n,): whether the two nearest people may be others than these: the last row is as near as the second person."""
    others = found.owners != found.owners[:, :1]
    second = others.argmax(axis=1)
    rows = np.arange(len(second))
    is_alone = ~others[rows, second]
    return np.asarray(is_alone | (found.cosines[:, -1] > found.cosines[rows, second] - _TIE))


def _top(faiss: ModuleType, contents: Contents, whose: PersonRows, probes: F32, top_k: int) -> Nearest:
    k = min(top_k, len(contents))
    # OpenMP keeps this number for each calling thread; a search must not take the cores of its neighbours.
    faiss.omp_set_num_threads(1)
    cosines, rows = [], []
    for start, block in zip(contents.firsts.tolist(), contents.blocks, strict=True):
        theirs, places = faiss.knn(probes, block.vectors, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        cosines.append(theirs)
        rows.append(places + start)
    if len(rows) == 1:
        return Nearest(cosines[0], whose.owners[rows[0]])
    every = np.concatenate(cosines, axis=1)
    best = np.argsort(-every, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(np.concatenate(rows, axis=1), best, axis=1)
    return Nearest(np.take_along_axis(every, best, axis=1), whose.owners[found])
