"""Augmentation and blending: right shapes, repeatable, and faces stay where the template has them."""

import numpy as np
import pytest

from recognition.align import CROP_SIZE
from recognition.checks.spaces import probe_faces
from recognition.training.augment import augment
from recognition.training.blends import bend, blend
from recognition.training.crops import MARGIN, SIDE, inner


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return probe_faces((SIDE, SIDE))


def test_an_augmented_crop_is_what_a_network_eats_and_follows_from_its_seed(crops):
    for seed in range(60):
        first, again = (augment(crops[seed % 4], np.random.default_rng(seed)) for _ in range(2))
        assert first.shape == (CROP_SIZE, CROP_SIZE, 3)
        assert first.dtype == np.uint8
        assert np.array_equal(first, again)
    assert len({augment(crops[0], np.random.default_rng(seed)).tobytes() for seed in range(20)}) == 20


def test_an_unspoiled_crop_is_only_moved():
    """Moving takes every pixel from its neighbours: one flat grey stays that grey, and so do two halves."""
    halves = np.full((SIDE, SIDE, 3), 60, np.uint8)
    halves[SIDE // 2 :] = 190
    for seed in range(40):
        seen = augment(halves, np.random.default_rng(seed), unspoiled=1.0)
        assert set(np.unique(seen[:8])) == {60}
        assert set(np.unique(seen[-8:])) == {190}
        assert np.isin(seen, (60, 190)).mean() > 0.95
    spoiled = [augment(halves, np.random.default_rng(seed), unspoiled=0.0) for seed in range(40)]
    assert sum(set(np.unique(one[:8])) != {60} for one in spoiled) > 20


def test_a_share_of_the_crops_is_unspoiled(crops):
    """The same seed moves a crop alike, whatever comes after."""
    moved, often, seldom = (
        [augment(crops[0], np.random.default_rng(seed), share).tobytes() for seed in range(200)]
        for share in (1.0, 0.6, 0.2)
    )
    clean = [sum(one == other for one, other in zip(moved, seen, strict=True)) for seen in (often, seldom)]
    assert clean[0] > 100 > 70 > clean[1] > 20


def test_augmenting_leaves_the_crop_as_it_was(crops):
    kept = crops.copy()
    for seed in range(60):
        augment(crops[seed % 4], np.random.default_rng(seed))
    assert np.array_equal(crops, kept)


def test_most_augmented_faces_are_still_that_face_and_not_another(crops):
    """Half of them correlate with their own clean crop better than with any other."""
    clean = inner(crops[:3]).astype(np.float64).reshape(3, -1)
    right = 0
    for seed in range(90):
        seen = augment(crops[seed % 3], np.random.default_rng(seed)).astype(np.float64).reshape(-1)
        right += int(np.argmax([np.corrcoef(seen, one)[0, 1] for one in clean]) == seed % 3)
    assert right > 45


def test_inner_is_the_crop_without_its_margin(crops):
    cut = inner(crops)
    assert cut.shape == (4, CROP_SIZE, CROP_SIZE, 3)
    assert np.array_equal(cut[1, 0, 0], crops[1, MARGIN, MARGIN])


def test_a_blend_is_a_new_face_that_follows_from_its_seed(crops):
    blends = [blend(crops, np.random.default_rng(seed)) for seed in range(12)]
    assert all(one.shape == (SIDE, SIDE, 3) and one.dtype == np.uint8 for one in blends)
    assert np.array_equal(blends[3], blend(crops, np.random.default_rng(3)))
    for one in blends:
        assert all(np.abs(one.astype(int) - crop).mean() > 1 for crop in crops)


def test_bending_moves_pixels_by_a_few_at_most(crops):
    """A lone bright dot stays within a few pixels of where it was."""
    dot = np.zeros((SIDE, SIDE, 3), np.uint8)
    dot[60:63, 70:73] = 255
    for seed in range(10):
        y, x = np.nonzero(bend(dot, np.random.default_rng(seed))[..., 0] > 100)
        assert abs(y.mean() - 61) < 10
        assert abs(x.mean() - 71) < 10
