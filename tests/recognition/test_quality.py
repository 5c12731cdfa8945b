from itertools import islice

import cv2
import numpy as np
import pytest

from recognition.align import ARCFACE_TEMPLATE, aligned_crops, aligned_grey_crops
from recognition.image import ArrayImage
from recognition.quality import _HEAD, grade, head_pose, thumbnails
from tests.faces import EVERYBODY

FRONT = ARCFACE_TEMPLATE[None]


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The mean head seen from elsewhere, by the rotations' matrices: (1,5,2) landmarks."""
    (sy, sp, sr), (cy, cp, cr) = (np.sin(np.radians([yaw, pitch, roll])), np.cos(np.radians([yaw, pitch, roll])))
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    head = (_HEAD - _HEAD.mean(axis=0)) @ (around_z @ around_y @ around_x).T
    return (300 + 2 * head[None, :, :2]).astype(np.float32)


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, 0, 0), (-65, 0, 0), (0, 25, 0), (0, -40, 0), (0, 0, 50), (0, 0, -90)])
def test_pose_of_a_turned_head(pose):
    np.testing.assert_allclose(head_pose(turned(*pose))[:, 0], pose, atol=0.5)


def test_pose_when_everything_turns_at_once():
    np.testing.assert_allclose(head_pose(turned(30, 20, 10))[:, 0], (30, 20, 10), atol=6)


def test_nose_to_the_right_is_a_positive_yaw():
    nose_right = ARCFACE_TEMPLATE + np.array([[0, 0], [0, 0], [6, 0], [0, 0], [0, 0]], np.float32)
    assert head_pose(nose_right[None])[0, 0] > 10


def test_size_is_the_face_s_height_in_image_pixels():
    crop = np.zeros((1, 112, 112), np.uint8)
    small, large = (grade(crop, FRONT * scale).size_px[0] for scale in (0.25, 3.0))
    assert large == pytest.approx(3.0 * 81.4, abs=1)
    assert small == pytest.approx(0.25 * 81.4, abs=1)


def test_light_of_a_known_crop():
    """Waves of four pixels at half size: their second derivative is twice as large as they are."""
    x = np.arange(112) // 2
    wave = 100 + 80 * np.where(x % 4 < 2, 1, -1)
    crop = np.broadcast_to(wave, (112, 112)).astype(np.uint8)
    both = np.where(crop == crop.T, np.uint8(180), np.uint8(20))
    quality = grade(np.stack((crop, both)), np.concatenate((FRONT, FRONT)))
    np.testing.assert_allclose(quality.brightness, 100 / 255, rtol=1e-3)
    np.testing.assert_allclose(quality.contrast, 80 / 255, rtol=1e-3)
    assert quality.sharpness[0] == 0, "nothing changes from row to row: blurred along one axis is blurred"
    assert quality.sharpness[1] == pytest.approx(4.0, rel=0.05)


def test_no_face():
    none = grade(np.empty((0, 112, 112), np.uint8), np.empty((0, 5, 2), np.float32))
    assert len(none) == 0
    assert thumbnails(np.empty((0, 112, 112), np.uint8)).shape == (0, 16, 16)


@pytest.fixture(scope="module")
def frontal(lfw, pairs, central):
    """Twelve photos of people who look at the camera, with their landmarks."""
    photos = (lfw(photo) for photo, _, _ in pairs)
    faces = ((image, central(image)) for image in photos)
    return list(islice((face for face in faces if np.abs(head_pose(face[1])[:2, 0]).max() < 20), 12))


def scores(faces, change) -> np.ndarray:
    changed = [(ArrayImage(change(image.bgr())), landmarks) for image, landmarks in faces]
    return np.array([grade(aligned_grey_crops(i, marks), marks).score[0] for i, marks in changed])


def test_good_photos_are_good(frontal):
    assert len(frontal) == 12
    assert scores(frontal, lambda pixels: pixels).min() > 0.6


SPOILT = {
    "out of focus": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 4),
    "moved sideways": lambda pixels: cv2.blur(pixels, (19, 1)),
    "moved upwards": lambda pixels: cv2.blur(pixels, (1, 19)),
    "dark": lambda pixels: (pixels * 0.06).astype(np.uint8),
    "flat": lambda pixels: (120 + pixels * 0.06).astype(np.uint8),
    "burnt out": lambda pixels: np.clip(pixels * 5.0 + 120, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("how", SPOILT)
def test_spoilt_photos_are_bad(frontal, how):
    assert np.median(scores(frontal, SPOILT[how])) < 0.15


def test_tiny_faces_are_bad(frontal):
    for image, landmarks in frontal:
        pixels = image.bgr()
        shrink = 18 / grade(aligned_grey_crops(image, landmarks), landmarks).size_px[0]
        small = ArrayImage(cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))
        marks = landmarks * np.float32(shrink)
        assert grade(aligned_grey_crops(small, marks), marks).score[0] < 0.15


def test_profiles_are_bad(frontal):
    image, landmarks = frontal[0]
    crops = aligned_grey_crops(image, landmarks)
    front, half, profile = (grade(crops, turned(yaw, 0, 0)).score[0] for yaw in (0, 40, 60))
    assert front > 0.6
    assert 0.15 < half < front
    assert profile < 0.15


def test_thumbnails_tell_faces_apart():
    crops = np.concatenate([aligned_grey_crops(one.image(), one.landmarks[None]) for one in EVERYBODY])
    thumbs = thumbnails(crops)
    alike = np.einsum("nij,mij->nm", thumbs, thumbs)
    np.testing.assert_allclose(np.diag(alike), 1, atol=1e-5)
    np.testing.assert_allclose(thumbs.mean(axis=(1, 2)), 0, atol=1e-6)
    assert np.max(alike - np.eye(6)) < 0.9
    brighter = thumbnails(np.clip(crops * 0.8 + 30, 0, 255).astype(np.uint8))
    assert np.einsum("nij,nij->n", thumbs, brighter).min() > 0.99
    flat = thumbnails(np.full((1, 112, 112), 80, np.uint8))
    assert not flat.any()


@pytest.mark.parametrize("portrait", EVERYBODY, ids=lambda portrait: portrait.file.stem)
def test_grey_is_the_colour_crop_s_brightness(portrait):
    image, landmarks = portrait.image(), portrait.landmarks[None]
    (grey,), (colour,) = aligned_grey_crops(image, landmarks), aligned_crops(image, landmarks)
    assert np.abs(grey.astype(int) - cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)).mean() < 1


@pytest.mark.parametrize(("roll", "worth"), [(0, 1.0), (40, 1.0), (-49, 1.0), (54, 0.5), (-70, 0.0), (180, 0.0)])
def test_a_head_may_be_tilted_but_not_lie(roll, worth):
    crop = np.random.default_rng(0).integers(60, 200, (1, 112, 112), np.uint8)
    upright, tilted = (grade(crop, turned(0, 0, angle)).score[0] for angle in (0, roll))
    assert tilted / upright == pytest.approx(worth, abs=0.05)


def test_what_a_second_look_does_not_confirm_is_worth_nothing():
    crops = np.random.default_rng(0).integers(60, 200, (4, 112, 112), np.uint8)
    before = grade(crops, np.repeat(FRONT, 4, axis=0))
    after = before.looked_at(np.array([0, 180, 90, np.nan], np.float32))
    np.testing.assert_array_equal(after.score, [before.score[0], 0, 0, 0])
    np.testing.assert_array_equal(after.sharpness, before.sharpness)
    assert (before.turn == 0).all()
