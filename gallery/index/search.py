"""The people near to a probe: found by FAISS in float32, then measured exactly. Pure but for FAISS; any thread.

FAISS rounds as the processor and the number of probes have it, so it says who is near and nothing else: how near is
computed anew, the same everywhere.
"""

from collections.abc import Sequence
from itertools import accumulate, chain, islice
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gallery.index.contents import Contents
from gallery.index.person_rows import PersonRows
from gallery.matching.aggregate import aggregate
from gallery.matching.aggregation import Aggregation
from gallery.matching.decide import Candidates, Rule
from gallery.matching.exact import F64
from recognition.arrays import F32

_TIE = np.float32(1e-5)  # cosines in float32 differ by less, however they are added up
_ROWS_AT_ONCE = 4096  # in float64: 16 MiB of 512 numbers
_FEW_ROWS = 16  # against one probe: many such faces of unlike lengths are faster pair by pair than kind by kind

_Numbers = NDArray[np.intp]


class Nearest(NamedTuple):
    """Of n probes the k nearest rows: cosines (n,k) float32, falling, and whose they are, by number; -1: nobody's."""

    cosines: F32
    owners: NDArray[np.intp]


def nearest(
    faiss: ModuleType,
    contents: Contents,
    whose: PersonRows,
    probes: F32,
    top_k: int,
    doubted: NDArray[np.bool_],
    rule: Rule | None,
    of_several: NDArray[np.bool_],
) -> list[list[int]]:
    """For each probe (n,d) the people, by number, of its top_k rows or more: until two people are surely the nearest of
    those who are not doubted (p,). Near to a probe of zeros is nobody.

    rule: who can't matter to a decision by it is left out, where a person's nearest row is the person's vote: that is
    not so with a probe of_several (n,) of its face.
    """
    found = _top(faiss, contents, whose, probes, top_k)
    first, second = _leaders(found, doubted)
    near: list[list[int]] = found.owners.tolist()
    if rule is not None:
        line = np.where(of_several, -np.inf, _line(found, first, second, rule))
        counts = (found.cosines >= line[:, None]).sum(axis=1)
        near = [owners[:count] for owners, count in zip(near, counts.tolist(), strict=True)]
    if len(whose.people) < len(contents):  # else nobody is listed twice
        near = [list(dict.fromkeys(owners)) for owners in near]
    for probe in np.flatnonzero(_is_open(found, second)).tolist():
        if not probes[probe].any():
            near[probe] = []
            continue
        k, one = top_k, found.owners[probe : probe + 1]
        while k < len(contents):
            k = min(max(4 * k, int(whose.sizes[one[0, 0]]) + 1), len(contents))
            longer = _top(faiss, contents, whose, probes[probe : probe + 1], k)
            one = longer.owners
            if not _is_open(longer, _leaders(longer, doubted)[1])[0]:
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
    people: list[Sequence[int]] = []  # of each face
    for end, count in zip(accumulate(faces), faces, strict=True):
        alone = count == 1
        people.append(near[end - 1] if alone else list(dict.fromkeys(chain.from_iterable(near[end - count : end]))))
    numbers = np.fromiter(chain.from_iterable(people), np.intp)
    counts, lengths = np.array(faces, np.intp), np.array([len(here) for here in people], np.intp)
    each = _each(numbers, lengths, counts)  # a person for each probe of each face
    found = _exact(probes, counts, whose.rows_of(numbers), _sums(whose.sizes[numbers], lengths), contents)
    sizes = whose.sizes[each]
    scores = aggregate(found, np.cumsum(sizes) - sizes, how).tolist()
    pairs = zip([whose.people[number] for number in each.tolist()], scores, strict=True)
    return [Candidates(dict(islice(pairs, length))) for length in np.repeat(lengths, counts).tolist()]


def _exact(probes: F32, counts: _Numbers, rows: _Numbers, lengths: _Numbers, contents: Contents) -> F64:
    """Of each probe of each face, one after another, the cosines with the rows of that face; all are on the grid.

    counts (f,) and lengths (f,): how many probes and rows each face has.
    """
    sizes = counts * lengths
    found, wide = np.empty(sizes.sum()), probes.astype(np.float64)
    first_probe, first_row, first = (np.cumsum(of) - of for of in (counts, lengths, sizes))
    whose = np.repeat(np.arange(len(counts)), lengths)
    are_small = (counts == 1) & (lengths <= _FEW_ROWS)
    small = np.flatnonzero(are_small[whose])
    for some in (small[start : start + _ROWS_AT_ONCE] for start in range(0, len(small), _ROWS_AT_ONCE)):
        face = whose[some]
        places = first[face] + some - first_row[face]
        found[places] = np.vecdot(wide[first_probe[face]], contents.vectors(rows[some]))
    for count, length in set(zip(counts[~are_small].tolist(), lengths[~are_small].tolist(), strict=True)):
        alike = np.flatnonzero((counts == count) & (lengths == length))
        step = max(_ROWS_AT_ONCE // max(length, 1), 1)
        for some in (alike[start : start + step] for start in range(0, len(alike), step)):
            faces = wide[first_probe[some, None] + np.arange(count)]
            templates = contents.vectors(rows[first_row[some, None] + np.arange(length)].ravel()).astype(np.float64)
            cosines = faces @ templates.reshape(len(some), length, contents.dim).swapaxes(1, 2)
            found[first[some, None] + np.arange(count * length)] = cosines.reshape(len(some), count * length)
    return np.clip(found, -1.0, 1.0)


def _each(numbers: _Numbers, lengths: _Numbers, counts: _Numbers) -> _Numbers:
    """Parts of so many numbers one after another, each part as often as its count says."""
    if (counts == 1).all():
        return numbers
    parts = np.split(numbers, np.cumsum(lengths)[:-1])
    return np.concatenate([np.tile(part, count) for part, count in zip(parts, counts.tolist(), strict=True)])


def _sums(values: _Numbers, lengths: _Numbers) -> _Numbers:
    """Of parts of so many values the sum of each, 0 of an empty one."""
    ends = np.cumsum(lengths)
    total = np.concatenate(([0], np.cumsum(values)))
    return np.asarray(total[ends] - total[ends - lengths])


def _leaders(found: Nearest, doubted: NDArray[np.bool_]) -> tuple[F32, F32]:
    """(n,) each: the cosines of the two nearest people who are not doubted, the second's -inf where it is not found."""
    rows = np.arange(len(found.owners))
    counted = ~doubted[found.owners]
    first = counted.argmax(axis=1)
    others = counted & (found.owners != found.owners[rows, first, None])
    second = others.argmax(axis=1)
    cosines = np.where(others[rows, second], found.cosines[rows, second], np.float32(-np.inf))
    return found.cosines[rows, first], cosines


def _line(found: Nearest, first: F32, second: F32, rule: Rule) -> F64:
    """(n,): nobody who is farther matters. As near as the second are the best and the next of those whom nothing
    refutes; as near as the first, but for the margin, whoever is in doubt with them. Under every threshold nobody is.
    """
    is_near = found.cosines[:, 0] >= rule.threshold - _TIE
    return np.asarray(np.minimum(second, np.where(is_near, first - rule.margin, np.inf)) - _TIE)


def _is_open(found: Nearest, second: F32) -> NDArray[np.bool_]:
    """(n,): whether the two nearest people who are not doubted may be others than these: the last row is as near as
    the second of them.
    """
    return np.asarray(found.cosines[:, -1] > second - _TIE)


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
    each = np.arange(len(probes))[:, None]
    return Nearest(every[each, best], whose.owners[np.concatenate(rows, axis=1)[each, best]])
