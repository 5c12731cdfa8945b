"""The same cosines whatever adds them up."""

import math

import numpy as np
import pytest

from gallery.matching.exact import GRID, cosines, on_grid


def units(seed: int, rows: int, dim: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("seed", "dim"), [(1, 128), (2, 512), (3, 1024)])
def test_every_order_gives_the_same_bits(seed: int, dim: int) -> None:
    probes, templates = on_grid(units(seed, 5, dim)), on_grid(units(seed + 10, 40, dim))
    templates[0] = probes[0]
    found = cosines(probes, templates)
    products = probes[:, None, :].astype(np.float64) * templates
    orders = [np.arange(dim), np.arange(dim)[::-1], *(np.random.default_rng(n).permutation(dim) for n in range(3))]
    for order in orders:
        one_by_one = np.zeros(found.shape)
        for place in order:
            one_by_one = one_by_one + products[:, :, place]
        assert np.array_equal(one_by_one, found)
    assert np.array_equal(np.einsum("pd,td->pt", probes, templates, dtype=np.float64), found)
    assert all(math.fsum(row) == value for row, value in zip(products[1], found[1], strict=True))


@pytest.mark.parametrize("dim", [2, 128, 512])
def test_the_grid_moves_hardly_anything(dim: int) -> None:
    vectors = units(dim, 50, dim)
    gridded = on_grid(vectors)
    assert gridded.dtype == np.float32
    assert np.abs(gridded - vectors).max() <= GRID / 2
    assert np.array_equal(on_grid(gridded), gridded)
    assert np.allclose(cosines(gridded, gridded), vectors.astype(np.float64) @ vectors.T.astype(np.float64), atol=2e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_resembles_nobody(bad: float) -> None:
    vectors = units(1, 3, 64)
    whole = on_grid(vectors)
    vectors[1, 5] = bad
    assert np.array_equal(on_grid(vectors), np.stack([whole[0], np.zeros(64), whole[2]]))
    assert not on_grid(vectors[1]).any()
