"""How alike a probe is to a person who has several templates: out of its cosines with them, or with their mean.

Pure; any thread. Every step is exact, or in a fixed order: the same templates give the same bits on every processor.
"""

import numpy as np
from numpy.typing import NDArray

from gallery.matching.aggregation import Aggregation
from gallery.matching.exact import F64, GRID, on_grid
from recognition.arrays import F32

OUTLIER = 0.15  # so far under the median of the person's templates one resembles the others: it is left out
_MOST = 3
_AT_ONCE = 1 << 22  # numbers of templates in one piece of work, float64


def aggregate(cosines: F64, starts: NDArray[np.intp], how: Aggregation) -> F64:
    """Of cosines (m,) or (n,m) one score a person: (p,) or (n,p). A person's stand side by side, from starts (p,) on.

    `best` is the highest; `mean_of_three` the mean of the three highest, or of all where there are fewer; for
    `class_mean` the cosines are those with class_means(), one a person.
    """
    if not len(starts):
        return np.empty((*cosines.shape[:-1], 0))
    if how != "mean_of_three":
        return np.asarray(np.maximum.reduceat(cosines, starts, axis=-1))
    if cosines.ndim > 1:
        rows = [aggregate(row, starts, how) for row in cosines]
        return np.array(rows).reshape(len(rows), len(starts))
    counts = np.diff(np.append(starts, len(cosines)))
    falling = np.lexsort((-cosines, np.repeat(np.arange(len(starts)), counts)))
    rank = np.arange(len(cosines)) - np.repeat(starts, counts)
    highest = np.where(rank < _MOST, cosines[falling], 0.0)
    return np.asarray(np.add.reduceat(highest, starts) / np.minimum(counts, _MOST))


def class_mean(templates: F32) -> F32:
    """Of one person's templates (m,d) on the grid, at least one: the unit vector (d,) of their mean, on the grid.

    From three on those are left out that resemble the others by more than OUTLIER less than the median does.
    """
    return np.asarray(_means(templates[None])[0])


def class_means(templates: F32, starts: NDArray[np.intp]) -> F32:
    """class_mean() of each person (p,d), whose templates of (m,d) stand side by side, from starts (p,) on."""
    counts = np.diff(np.append(starts, len(templates)))
    means = np.empty((len(starts), templates.shape[1]), np.float32)
    for count in np.unique(counts):
        people = np.flatnonzero(counts == count)
        step = max(_AT_ONCE // max(int(count) * templates.shape[1], 1), 1)
        for first in range(0, len(people), step):
            some = people[first : first + step]
            means[some] = _means(templates[starts[some, None] + np.arange(count)])
    return means


def _means(templates: F32) -> F32:
    """(q,m,d), m of each of q people -> (q,d)."""
    count = templates.shape[1]
    if count == 1:
        return np.asarray(templates[:, 0])
    stack = templates.astype(np.float64)
    kept = np.ones(stack.shape[:2], np.bool_)
    if count >= 3:
        alike = _rounded(stack @ stack.swapaxes(1, 2))
        others = (alike.sum(axis=2) - np.diagonal(alike, axis1=1, axis2=2)) / (count - 1)
        kept = others >= np.median(others, axis=1, keepdims=True) - OUTLIER
    mean = _rounded((stack * kept[:, :, None]).sum(axis=1) / kept.sum(axis=1, keepdims=True))
    length = np.sqrt((mean * mean).sum(axis=1, keepdims=True))
    opposite = length[:, 0] == 0.0
    mean[opposite], length[opposite] = stack[opposite, 0], 1.0
    means: F32 = on_grid((mean / length).astype(np.float32))
    return means


def _rounded(values: F64) -> F64:
    """To the grid, on which sums of some thousands, and of products of such, are exact in whatever order."""
    return np.rint(values / float(GRID)) * float(GRID)
