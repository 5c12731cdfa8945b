"""k-reciprocal re-ranking of one probe against its candidates (Zhong, Zheng, Cao, Li: Re-ranking Person
Re-identification with k-reciprocal Encoding, CVPR 2017): unit vectors in, scores out. Pure; any thread.

Who is near to whom counts beside how near: a candidate whose neighbours are the probe's neighbours, too, goes up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32

K1, K2, ORIGINAL_SHARE = 20, 6, 0.3  # the paper's, for its largest sets
Mask = NDArray[np.bool_]
Bits = NDArray[np.uint64]
_MOST_PAIRS = 1 << 16  # of neighbours at a time: where all faces are equal, all are neighbours
_CANDIDATES_A_NEIGHBOUR = 10
_TIE = np.float32(1e-6)  # cosines so close are equal: in float32 the same face twice differs by less


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """How many neighbours of a point count (k1), over how many its own are averaged, itself among them (k2), and the
    share of the original distance in the final one."""

    k1: int = K1
    k2: int = K2
    original_share: float = ORIGINAL_SHARE

    @classmethod
    def among(cls, candidates: int) -> "Neighbourhood":
        """The paper's from 200 candidates on; for fewer k1 goes down in proportion, to one, and nothing is averaged.

        Where a large part of all is near to everybody, all neighbourhoods are alike, and averaged over two to five
        points those of any two that are each other's nearest are: strangers score as the person does.
        """
        k1 = min(max(candidates // _CANDIDATES_A_NEIGHBOUR, 1), K1)
        return cls(k1, K2 if k1 == K1 else 1)


Kernel = Callable[[F32, Neighbourhood], F32]
"""(n+1,d) float32 unit vectors, the probe first, n and d at least 1, -> (n,) scores in [0, 1]. Must be thread-safe."""


def rerank_scores(points: F32, neighbourhood: Neighbourhood) -> F32:
    """The built-in Kernel. The score is one less the paper's final distance, of which a share is the original
    distance and the rest the Jaccard distance of the two neighbourhoods. The original distance is the squared
    Euclidean one over its maximum of 4, (1 - cosine) / 2: it needs no other candidate to be in [0, 1]. The Jaccard
    distance is in it by definition, and so is what is mixed of the two; rounding is cut off.

    As in the authors' program a point is the nearest to itself. Who is as near as the kth (within 1e-6) counts, too:
    equal embeddings get equal scores.
    """
    cosines = points @ points.T
    np.minimum(cosines, np.float32(1.0), out=cosines)
    np.fill_diagonal(cosines, 1.0)
    counts = (neighbourhood.k1, neighbourhood.k1 // 2, neighbourhood.k2 - 1)
    k1_nearest, half_nearest, k2_nearest = _nearest(cosines, counts)
    original = (1.0 - cosines[0, 1:]) / 2.0
    weights = _encoded(cosines, k1_nearest & k1_nearest.T, half_nearest & half_nearest.T)
    averaged = k2_nearest.astype(np.float32)
    sizes = averaged.sum(axis=1, keepdims=True)
    ours = averaged[0] @ weights / sizes[0]
    there = np.flatnonzero(ours)  # elsewhere nothing is common to the probe and anybody
    theirs = averaged[1:] @ weights[:, there] / sizes[1:]
    common = np.minimum(theirs, ours[there]).sum(axis=1)
    jaccard = 1.0 - common / (2.0 - common)
    share = neighbourhood.original_share
    return np.asarray(np.clip(1.0 - (1.0 - share) * jaccard - share * original, 0.0, 1.0), np.float32)


def _nearest(cosines: F32, counts: Sequence[int]) -> list[Mask]:
    """For each count (n,n): in row i the so many points nearest to i, and i."""
    rising = np.sort(cosines, axis=1)
    places = [max(len(cosines) - 1 - count, 0) for count in counts]
    return [np.asarray(cosines >= (rising[:, place] - _TIE)[:, np.newaxis]) for place in places]


def _encoded(cosines: F32, mutual: Mask, half: Mask) -> F32:
    """(n,n), written over the cosines: each point's k-reciprocal neighbours, with those of a neighbour's half as many
    where two thirds of these are its own; weighted by exp(-squared distance), each row's sum 1."""
    mine, small = _as_bits(mutual), _as_bits(half)
    step = max(_MOST_PAIRS // int(_sizes(mine).max()), 1)
    blocks = [_expanded(mine, small, mutual, slice(first, first + step)) for first in range(0, len(cosines), step)]
    weights = np.exp(np.multiply(cosines, 2.0, out=cosines), out=cosines)  # exp(-2) of each goes with the sum
    weights *= np.concatenate(blocks)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _expanded(mine: Bits, small: Bits, mutual: Mask, rows: slice) -> Mask:
    """(m,n): who is among the expanded neighbours of these points. mine, small: mutual and half neighbours as bits."""
    n = len(mutual)
    ours = mine[:, rows]
    pairs = np.flatnonzero(mutual[rows])
    points = np.repeat(np.arange(ours.shape[1]), _sizes(ours))
    neighbours = pairs - n * points
    theirs = small.take(neighbours, axis=1)
    overlaps = _sizes(ours.take(points, axis=1) & theirs)
    joined = np.flatnonzero(3 * overlaps >= 2 * _sizes(small)[neighbours])  # a point itself is
    starts = np.searchsorted(points[joined], np.arange(ours.shape[1]))
    expanded = ours | np.bitwise_or.reduceat(theirs[:, joined], starts, axis=1)
    return np.unpackbits(np.ascontiguousarray(expanded.T).view(np.uint8), axis=1, count=n).view(np.bool_)


def _as_bits(rows: Mask) -> Bits:
    """(n,m) -> (m/64,n): row i is column i, as bits."""
    packed = np.packbits(rows, axis=1)
    whole = np.zeros((len(rows), -(-packed.shape[1] // 8) * 8), np.uint8)
    whole[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(whole.view(np.uint64).T)


def _sizes(columns: Bits) -> NDArray[np.uint16]:
    """(m/64,n) -> (n,): how many bits each column has."""
    return np.asarray(np.bitwise_count(columns).astype(np.uint16).sum(axis=0, dtype=np.uint16))
