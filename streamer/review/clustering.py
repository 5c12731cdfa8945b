"""Unit vectors -> groups of one person's: average linkage, a group's vectors known by their sum alone.

Two groups are joined while the mean cosine between the vectors of one and those of the other reaches the threshold,
which two of one person's may fall short of: a chain of chance likenesses joins no two people. Pure; any thread.
"""

import heapq
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32

Groups = list[NDArray[np.intp]]

_AT_ONCE = 256  # are held against all groups by one product; a group that changes meanwhile is looked at again


def grouped(vectors: F32, threshold: float, standing: Sequence[Sequence[int]] = ()) -> Groups:
    """Rows of (n,d) in groups, each row once, in the order of their first rows. It takes n times the groups, not n²:
    each row goes to the group that it is most like, then the groups are joined, the most alike first.

    standing: rows that are a group already, by the same threshold; they stay together, and what is done is for the
    others alone.
    """
    groups = _Groups(vectors, threshold)
    groups.stand(standing)
    fresh = np.setdiff1d(np.arange(len(vectors)), np.fromiter((row for rows in standing for row in rows), np.intp))
    for first in range(0, len(fresh), _AT_ONCE):
        groups.place(fresh[first : first + _AT_ONCE])
    groups.join()
    return sorted((np.array(sorted(rows), np.intp) for rows in groups.rows if rows), key=lambda rows: int(rows[0]))


class _Groups:
    """`rows` of each group; none of one that was joined to another. `sums` (m,d) of their vectors."""

    def __init__(self, vectors: F32, threshold: float) -> None:
        self.rows: list[list[int]] = []
        self._vectors = vectors
        self._threshold = threshold
        self._sums = np.zeros_like(vectors)
        self._sizes = np.zeros(len(vectors), np.float32)
        self._touched: set[int] = set()  # no two of the others are alike

    def stand(self, groups: Sequence[Sequence[int]]) -> None:
        for number, rows in enumerate(groups):
            self.rows.append(list(rows))
            self._sums[number] = self._vectors[self.rows[number]].sum(axis=0)
            self._sizes[number] = len(rows)

    def place(self, rows: NDArray[np.intp]) -> None:
        """These rows, one after another, each with the group that it is most like, or as a group of its own."""
        before = len(self.rows)
        some = self._vectors[rows]
        likeness = some @ self._sums[:before].T / self._sizes[:before]
        changed: list[int] = []  # since the product
        for offset, row in enumerate(rows.tolist()):
            here = likeness[offset]
            here[[group for group in changed if group < before]] = -1.0
            best = int(here.argmax()) if before else -1
            cosine = float(here[best]) if before else -1.0
            if changed:
                again = self._sums[changed] @ some[offset] / self._sizes[changed]
                nearest = int(again.argmax())
                if again[nearest] > cosine:
                    best, cosine = changed[nearest], float(again[nearest])
            if cosine < self._threshold:
                best = len(self.rows)
                self.rows.append([])
            self.rows[best].append(row)
            self._sums[best] += some[offset]
            self._sizes[best] += 1.0
            if best not in changed:
                changed.append(best)
        self._touched.update(changed)

    def join(self) -> None:
        """The two most alike groups, again and again, until no two are alike."""
        count = len(self.rows)
        waiting = list(self._alike(count))
        heapq.heapify(waiting)
        age = np.zeros(count, np.intp)
        while waiting:
            _, one, other, age_one, age_other = heapq.heappop(waiting)
            if age[one] != age_one or age[other] != age_other:
                continue  # one of them is another group by now
            self.rows[one] += self.rows[other]
            self.rows[other] = []
            self._sums[one] += self._sums[other]
            self._sizes[one] += self._sizes[other]
            self._sums[other], self._sizes[other] = 0.0, 1.0
            age[[one, other]] += 1
            likeness = self._sums[:count] @ self._sums[one] / (self._sizes[:count] * self._sizes[one])
            likeness[one] = -1.0
            for near in np.flatnonzero(likeness >= self._threshold).tolist():
                if self.rows[near]:
                    first, second = min(one, near), max(one, near)
                    heapq.heappush(waiting, (-float(likeness[near]), first, second, int(age[first]), int(age[second])))

    def _alike(self, count: int) -> Iterator[tuple[float, int, int, int, int]]:
        """Pairs of groups, one of them touched, whose mean cosine reaches the threshold; some at a time."""
        means = self._sums[:count] / self._sizes[:count, None]
        touched = np.array(sorted(self._touched), np.intp)
        is_touched = np.zeros(count, np.bool_)
        is_touched[touched] = True
        for first in range(0, len(touched), _AT_ONCE):
            here = touched[first : first + _AT_ONCE]
            begin = first if len(touched) == count else 0  # of two that are touched the first one looks
            likeness = means[here] @ means[begin:].T
            for number, place in np.argwhere(likeness >= self._threshold).tolist():
                one, other = int(here[number]), begin + place
                if one < other or (one > other and not is_touched[other]):
                    yield -float(likeness[number, place]), min(one, other), max(one, other), 0, 0
