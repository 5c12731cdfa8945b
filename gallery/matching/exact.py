"""Cosines that are the same everywhere: vectors on a grid so coarse that float64 sums of their products are exact.

Pure; any thread. Whatever adds up a dot product (BLAS with any number of threads, fused multiply-add, a GPU) rounds in
an order of its own, and a close call would be decided by it. Products of numbers on this grid are whole multiples of
2^-48, and all their sums stay below 2, so float64 holds each of them exactly in whatever order they are added.
"""

import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32

GRID = np.float32(2.0**-24)  # float32 has no more between .5 and 1; moves a cosine by less than 1e-7

F64 = NDArray[np.float64]


def on_grid(vectors: F32) -> F32:
    """Unit vectors (d,) or (n,d), each number rounded to the grid; one that is not finite resembles nobody: zeros."""
    rounded: F32 = np.rint(vectors / GRID) * GRID
    whole = np.isfinite(rounded).all(axis=-1, keepdims=True)
    return rounded if whole.all() else np.where(whole, rounded, np.float32(0.0))


def cosines(probes: F32, templates: F32) -> F64:
    """Of (n,d) with (m,d), both on the grid: (n,m), by any means the same bits."""
    return probes.astype(np.float64) @ templates.astype(np.float64).T
