"""k-reciprocal re-ranking written straight after the paper, set by set, in float64: slow, and easy to compare with it.

What `bench --rerank` measures ours beside, and what tests hold ours to. Pure.
"""

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def plain_scores(points: NDArray[np.floating], k1: int, k2: int, original_share: float) -> F64:
    """(n+1,d) unit vectors, the probe first, -> (n,): one less the final distance (equation 12) of each candidate.

    The numbers are those of the paper's equations. Like the authors' program it counts a point as its own nearest.
    """
    all_points = points.astype(np.float64)
    squared = np.maximum(2.0 - 2.0 * all_points @ all_points.T, 0.0)
    np.fill_diagonal(squared, 0.0)
    ranking = np.argsort(squared, axis=1, kind="stable")
    n = len(all_points)

    def nearest(p: int, k: int) -> set[int]:  # (1), and p itself
        return set(ranking[p, : k + 1].tolist())

    def reciprocal(p: int, k: int) -> set[int]:  # (2)
        return {g for g in nearest(p, k) if p in nearest(g, k)}

    def expanded(p: int) -> set[int]:  # (3)
        own = reciprocal(p, k1)
        found = set(own)
        for q in own:
            theirs = reciprocal(q, k1 // 2)
            if len(own & theirs) >= 2 / 3 * len(theirs):
                found |= theirs
        return found

    encoded = np.zeros((n, n))  # (7)
    for p in range(n):
        members = sorted(expanded(p))
        encoded[p, members] = np.exp(-squared[p, members])
        encoded[p] /= encoded[p].sum()
    averaged = np.stack([encoded[ranking[p, :k2]].mean(axis=0) for p in range(n)])  # (11)
    scores = []
    for g in range(1, n):
        smaller, larger = np.minimum(averaged[0], averaged[g]).sum(), np.maximum(averaged[0], averaged[g]).sum()
        jaccard = 1.0 - smaller / larger  # (10)
        scores.append(1.0 - (1.0 - original_share) * jaccard - original_share * squared[0, g] / 4.0)  # (12)
    return np.array(scores)
