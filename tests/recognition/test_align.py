import cv2
import numpy as np
import pytest

from recognition import embed
from recognition.align import (
    ARCFACE_TEMPLATE,
    aligned_crops,
    aligned_grey_crops,
    in_picture,
    loose_chip,
    loose_tiles,
    similarity_transforms,
)
from recognition.image import ArrayImage
from recognition.specs.files import load_specs
from tests.faces import EVERYBODY


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Umeyama (1991), equations 40 to 43, written out with the singular value decomposition."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    x, y = source - source_mean, target - target_mean
    left, values, right = np.linalg.svd(y.T @ x / len(source))
    sign = np.diag([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ sign @ right
    scale = np.trace(np.diag(values) @ sign) / x.var(axis=0).sum()
    return np.column_stack((scale * rotation, target_mean - scale * rotation @ source_mean))


@pytest.mark.parametrize("degrees", [0, 20, -75, 90, 179])
@pytest.mark.parametrize("scale", [0.1, 1.0, 7.0])
def test_transform_is_umeyamas(degrees, scale):
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wobble = np.array([[1, -2], [0, 2], [-3, 1], [2, 2], [-1, -1]])
    points = ((ARCFACE_TEMPLATE + wobble) @ turn.T + [300, -50]).astype(np.float32)
    (transform,) = similarity_transforms(points[None])
    np.testing.assert_allclose(transform, umeyama(points.astype(np.float64), ARCFACE_TEMPLATE), atol=1e-4)


def test_landmarks_land_on_the_template():
    landmarks = np.stack([portrait.landmarks for portrait in EVERYBODY])
    for face, transform in zip(landmarks, similarity_transforms(landmarks), strict=True):
        moved = face @ transform[:, :2].T + transform[:, 2]
        assert np.abs(moved - ARCFACE_TEMPLATE).max() < 16, "a turned head moves the nose, not more"


def test_landmarks_on_one_point_do_no_harm():
    image = ArrayImage(np.full((50, 50, 3), 200, np.uint8))
    crops = aligned_crops(image, np.full((1, 5, 2), 25, np.float32))
    assert crops.shape == (1, 112, 112, 3)


def test_crops_show_the_picture_in_bgr():
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[:, :112] = (250, 10, 90)
    image = ArrayImage(pixels)
    landmarks = (2 * ARCFACE_TEMPLATE)[None]
    (crop,) = aligned_crops(image, landmarks)
    assert crop[50, 20].tolist() == [250, 10, 90]
    assert crop[50, 90].tolist() == [0, 0, 0]
    (grey,) = aligned_grey_crops(image, landmarks)
    assert grey[50, 20] == cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[0, 0]


def test_no_face_no_crop():
    none = np.empty((0, 5, 2), np.float32)
    image = ArrayImage(np.zeros((9, 9, 3), np.uint8))
    assert aligned_crops(image, none).shape == (0, 112, 112, 3)
    assert aligned_grey_crops(image, none).shape == (0, 112, 112)


@pytest.mark.parametrize("name", ["arcface_w600k_mbf", "edgeface_xxs"])
def test_a_chip_keeps_what_an_embedder_needs(runners, find, group, lfw, pairs, name):
    """Through the chip and a JPEG as the gallery keeps it, the embedding stays what it was."""
    spec = load_specs()[name]
    for image in [group, *(lfw(photo) for photo, _, _ in pairs[:8])]:
        for landmarks in find(image).landmarks[:6]:
            chip, inside = loose_chip(image, landmarks)
            assert chip.shape == (256, 256, 3)
            stored = cv2.imdecode(cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], cv2.IMREAD_COLOR)
            crops = [aligned_crops(image, landmarks[None])[0], aligned_crops(ArrayImage(stored), inside[None])[0]]
            tensors = embed.prepare(spec, np.stack(crops))
            direct, again = embed.parse(spec, [runners(name).run(tensor[None]) for tensor in tensors])
            assert direct @ again > 0.98


def test_a_chip_of_a_large_face_does_not_alias():
    """A fine checkerboard is grey from afar, not black or white or stripes."""
    y, x = np.mgrid[0:2000, 0:2000]
    board = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    chip, inside = loose_chip(ArrayImage(board), ARCFACE_TEMPLATE * 14 + 200)
    assert chip[64:192, 64:192].std() < 10
    assert np.all((inside > 50) & (inside < 206))


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_points_of_a_tile_are_found_again_in_the_picture(scale, six, find):
    """Also where the tile shows so much that the picture is shrunk first."""
    image = ArrayImage(cv2.resize(six.bgr(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    landmarks = find(six, "nano_det").landmarks * np.float32(scale)
    for tile, marks in zip(loose_tiles(image, landmarks, 128, 2.0), landmarks, strict=True):
        assert tile.shape == (128, 128, 3)
        seen = find(ArrayImage(cv2.resize(tile, (256, 256))), "nano_det").landmarks[0] / 2
        back = in_picture(seen, marks, 128, 2.0)
        apart = np.hypot(*(back - marks).T) / np.hypot(*(marks[0] - marks[1]))
        assert apart.max() < 0.25
