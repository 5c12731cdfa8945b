import numpy as np
import pytest

from recognition import detect
from recognition.image import ArrayImage
from recognition.specs.files import load_specs
from recognition.specs.spec import DetectorSpec
from tests.faces import place_of

DETECTORS = ["scrfd_500m", "scrfd_2.5g", "yunet_n"]

# group_of_six.jpg from left to right, as each detector saw it when its code was written.
BOXES = {
    "scrfd_500m": [
        [55.6, 260.8, 168.6, 397.9],
        [270.0, 144.9, 371.9, 270.3],
        [463.5, 266.5, 572.7, 415.4],
        [745.3, 342.2, 847.3, 480.1],
        [906.0, 59.5, 1011.1, 206.3],
        [1130.3, 272.8, 1227.3, 400.6],
    ],
    "scrfd_2.5g": [
        [58.5, 262.9, 168.8, 395.6],
        [269.0, 147.3, 371.2, 265.1],
        [465.4, 265.4, 573.4, 416.1],
        [745.8, 339.2, 845.7, 480.6],
        [904.8, 54.2, 1013.2, 204.2],
        [1131.4, 271.1, 1225.7, 398.9],
    ],
    "yunet_n": [
        [57.4, 262.4, 172.5, 397.4],
        [269.1, 148.4, 373.0, 272.1],
        [464.6, 266.6, 576.6, 420.0],
        [744.4, 347.0, 843.8, 475.7],
        [906.0, 59.6, 1009.5, 204.1],
        [1129.1, 269.7, 1226.5, 398.8],
    ],
}
SCORES = {
    "scrfd_500m": [0.872, 0.823, 0.873, 0.879, 0.865, 0.859],
    "scrfd_2.5g": [0.882, 0.858, 0.911, 0.917, 0.861, 0.879],
    "yunet_n": [0.891, 0.897, 0.924, 0.929, 0.910, 0.926],
}
# The six noses alone: they tell a swapped order of landmarks at once.
NOSES = {
    "scrfd_500m": [[117.9, 335.1], [302.7, 223.9], [513.6, 361.8], [774.6, 429.0], [920.3, 150.9], [1170.6, 344.2]],
    "scrfd_2.5g": [[120.6, 336.8], [305.1, 227.9], [507.1, 360.7], [770.8, 430.7], [919.3, 149.6], [1167.5, 350.1]],
    "yunet_n": [[126.3, 341.0], [307.8, 222.1], [511.5, 359.1], [774.4, 426.9], [917.5, 148.0], [1169.0, 344.4]],
}


def spec_of(name: str) -> DetectorSpec:
    spec = load_specs()[name]
    assert isinstance(spec, DetectorSpec)
    return spec


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("trim", [False, True])
def test_six_of_six_where_they_were(find, group, name, trim):
    found = find(group, name, trim=trim)
    left_to_right = np.argsort(found.boxes[:, 0])
    assert np.all(np.diff(found.scores) <= 0), "highest score first"
    np.testing.assert_allclose(found.boxes[left_to_right], BOXES[name], atol=0.5)
    np.testing.assert_allclose(found.scores[left_to_right], SCORES[name], atol=0.005)
    np.testing.assert_allclose(found.landmarks[left_to_right, 2], NOSES[name], atol=0.5)


@pytest.mark.parametrize("name", DETECTORS)
def test_landmarks_lie_as_seen_in_the_image(find, lfw, pairs, name):
    """Upright photos: left eye left of the right one, mouth corners too, eyes above nose above mouth."""
    for photo, _, _ in pairs[:10]:
        found = find(lfw(photo), name)
        left_eye, right_eye, nose, left_mouth, right_mouth = found.landmarks[0]
        assert left_eye[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_the_detectors_agree_on_the_eyes(find, group):
    eyes = [find(group, name) for name in DETECTORS]
    left = [np.sort(found.landmarks[:, 0, 0]) for found in eyes]
    assert np.ptp(left, axis=0).max() < 10


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("shape", [(640, 640), (90, 160), (1080, 1920), (1000, 300), (33, 1999), (1, 1)])
def test_letterbox_keeps_aspect_and_puts_the_picture_top_left(name, shape):
    spec = spec_of(name)
    image = ArrayImage(np.full((*shape, 3), 255, np.uint8))
    white, black = ((value - spec.input.mean) / spec.input.std for value in (255, 0))
    for trim in (False, True):
        prepared = detect.prepare(spec, image, trim=trim)
        assert prepared.tensor.dtype == np.float32
        picture = np.isclose(prepared.tensor, white, atol=1e-5)
        assert np.all(picture | np.isclose(prepared.tensor, black, atol=1e-5))
        height, width = (max(1, round(side * prepared.scale)) for side in shape)
        assert max(height, width) == 640
        assert np.all(picture[:, :height, :width])
        assert not np.any(picture[:, height:])
        assert not np.any(picture[:, :, width:])
        if trim and spec.input.multiple:
            spare = np.subtract(prepared.tensor.shape[1:], (height, width))
            assert np.all((spare >= 0) & (spare < 32))
        else:
            assert prepared.tensor.shape == (3, 640, 640)


@pytest.mark.parametrize(("name", "first"), [("scrfd_500m", 2), ("yunet_n", 0)])
def test_planes_come_in_the_spec_s_order(name, first):
    """A pure red picture lights up plane 0 of an RGB network and plane 2 of a BGR one."""
    red = np.zeros((64, 64, 3), np.uint8)
    red[:, :, 2] = 255
    tensor = detect.prepare(spec_of(name), ArrayImage(red)).tensor
    assert tensor.mean(axis=(1, 2)).argmax() == 2 - first


def blank_scrfd(size: int = 64) -> list[np.ndarray]:
    cells = [2 * (size // stride) ** 2 for stride in detect.STRIDES]
    return [np.zeros((n, width), np.float32) for width in (1, 4, 10) for n in cells]


@pytest.mark.parametrize(
    ("level", "row", "column", "anchor", "centre"),
    [(0, 0, 0, 0, (0, 0)), (0, 3, 5, 1, (40, 24)), (1, 2, 1, 0, (16, 32)), (2, 1, 0, 1, (0, 32))],
)
def test_scrfd_arithmetic(level, row, column, anchor, centre):
    """Two anchors a cell, distances in strides, doubled because the picture was halved."""
    outputs = blank_scrfd()
    stride = detect.STRIDES[level]
    place = 2 * (row * (64 // stride) + column) + anchor
    outputs[level][place] = 0.9
    outputs[level + 3][place] = [1, 2, 3, 4]
    outputs[level + 6][place] = [0.5, -0.5] * 5
    found = detect.parse(spec_of("scrfd_500m"), outputs, detect.Prepared(np.zeros((3, 64, 64), np.float32), 0.5), 0.5)
    x, y = centre
    expected = [2 * (x - stride), 2 * (y - 2 * stride), 2 * (x + 3 * stride), 2 * (y + 4 * stride)]
    np.testing.assert_allclose(found.boxes, [expected])
    np.testing.assert_allclose(found.landmarks, [[[2 * x + stride, 2 * y - stride]] * 5])


def test_yunet_arithmetic():
    cells = [(64 // stride) ** 2 for stride in detect.STRIDES]
    outputs = [np.zeros((1, n, width), np.float32) for width in (1, 1, 4, 10) for n in cells]
    place = 2 * 4 + 3  # stride 16: row 2, column 3
    outputs[1][0, place], outputs[4][0, place] = 0.9, 0.4
    outputs[7][0, place] = [0.5, 0.25, np.log(2), np.log(3)]
    outputs[10][0, place] = [1, -1] * 5
    found = detect.parse(spec_of("yunet_n"), outputs, detect.Prepared(np.zeros((3, 64, 64), np.float32), 1.0), 0.5)
    np.testing.assert_allclose(found.scores, [0.6], rtol=1e-6)
    np.testing.assert_allclose(found.boxes, [[56 - 16, 36 - 24, 56 + 16, 36 + 24]], rtol=1e-5)
    np.testing.assert_allclose(found.landmarks, [[[64, 16]] * 5])


@pytest.mark.parametrize(
    ("least", "most", "scores"),
    [(0.05, 300, [0.9, 0.8, 0.7, 0.1]), (0.5, 300, [0.9, 0.8, 0.7]), (0.05, 2, [0.9, 0.8]), (0.95, 9, [])],
)
def test_candidates_are_all_that_the_network_said_the_surest_first(least, most, scores):
    outputs = blank_scrfd()
    for place, score in ((0, 0.7), (1, 0.9), (5, 0.1), (2 * 63, 0.8)):
        outputs[0][place] = score
        outputs[3][place] = [2, 2, 2, 2]
    prepared = detect.Prepared(np.zeros((3, 64, 64), np.float32), 0.5)
    found = detect.candidates(spec_of("scrfd_500m"), outputs, prepared, least, most)
    np.testing.assert_allclose(found.scores, scores)
    if scores:
        np.testing.assert_allclose(found.boxes[0], [-32, -32, 32, 32])


def test_weaker_of_two_overlapping_boxes_goes():
    outputs = blank_scrfd()
    for place, score in ((0, 0.7), (1, 0.9), (2 * 63, 0.8)):
        outputs[0][place] = score
        outputs[3][place] = [2, 2, 2, 2]
    prepared = detect.Prepared(np.zeros((3, 64, 64), np.float32), 1.0)
    found = detect.parse(spec_of("scrfd_500m"), outputs, prepared, 0.5)
    np.testing.assert_allclose(found.scores, [0.9, 0.8])
    assert len(detect.parse(spec_of("scrfd_500m"), outputs, prepared, 0.95)) == 0


def test_our_own_finds_six_of_six_where_they_are(find, six):
    found = find(six, "nano_det")
    assert sorted(place_of(box) for box in found.boxes) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", [*DETECTORS, "nano_det"])
def test_a_wall_has_no_face(find, name):
    assert len(find(ArrayImage(np.full((480, 640, 3), 127, np.uint8)), name)) == 0


@pytest.mark.parametrize(
    ("boxes", "stay"),
    [
        ([[0, 0, 100, 130], [20, 60, 80, 128]], [0]),  # mouth and chin of the first
        ([[20, 60, 80, 128], [0, 0, 100, 130]], [0, 1]),  # a surer face in front of what may be none
        ([[0, 0, 100, 130], [70, 40, 170, 170]], [0, 1]),  # cheek to cheek
        ([[0, 0, 100, 130], [5, 90, 60, 160], [200, 0, 260, 80]], [0, 1, 2]),
    ],
)
def test_a_part_of_a_surer_face_is_no_other_face(boxes: list[list[int]], stay: list[int]) -> None:
    scores = np.linspace(0.95, 0.8, len(boxes), dtype=np.float32)
    kept = detect._suppress(np.array(boxes, np.float32), scores, 0.5, 0.4)
    assert kept.tolist() == stay
