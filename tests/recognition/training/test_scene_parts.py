import numpy as np
import pytest

from recognition.training.scene_parts import _noisy, backdrop, cover, decoy, faceless_patch, seen_by_camera
from tests.recognition.training.marked import BOX, LANDMARKS, marked_photo

PHOTO = marked_photo()


def test_a_faceless_patch_shows_nothing_of_the_face():
    for seed in range(30):
        patch = faceless_patch([PHOTO], np.random.default_rng(seed))
        assert (np.abs(patch.astype(int) - 128) <= 2).all() or (patch == patch[0, 0]).all()


@pytest.mark.parametrize("seed", range(20))
def test_decoys_and_backdrops_have_their_size(seed):
    rng = np.random.default_rng(seed)
    assert backdrop([PHOTO], 96, rng).shape == (96, 96, 3)
    thing = decoy([PHOTO], 40, rng)
    assert thing.dtype == np.uint8
    assert thing.shape[1] == 40
    assert 20 <= thing.shape[0] <= 64


def test_a_camera_keeps_size_and_spoils_pixels():
    picture = PHOTO.pixels()
    seen = [seen_by_camera(picture, np.random.default_rng(seed)) for seed in range(30)]
    assert {one.shape for one in seen} == {picture.shape}
    assert sum((one != picture).any() for one in seen) > 20


def test_a_cover_stays_near_its_face():
    changed = np.zeros((250, 250), bool)
    for seed in range(20):
        picture = PHOTO.pixels().copy()
        cover(picture, BOX[0], LANDMARKS[0], np.random.default_rng(seed))
        changed |= (picture != PHOTO.pixels()).any(axis=2)
    assert changed[130:200, 80:170].mean() > 0.5
    assert not changed[:40].any()
    assert not changed[:, :40].any()


def test_noise_is_as_strong_in_every_channel():
    grey = np.full((96, 96, 3), 128, np.uint8)
    noise = _noisy(grey, 8.0, np.random.default_rng(0)).astype(int) - 128
    np.testing.assert_allclose(noise.std(axis=(0, 1)), 8.0, rtol=0.1)
    np.testing.assert_allclose(noise.mean(axis=(0, 1)), 0.0, atol=0.5)
