import numpy as np
import pytest

from recognition.align import aligned_crops, facenet_crops, quarter_turned
from recognition.faces import Detections
from recognition.image import ArrayImage
from recognition.quarter_turns import turned, turned_back


def spotted(points: np.ndarray) -> ArrayImage:
    """A picture of 70x50 with another grey at each point."""
    bgr = np.zeros((50, 70, 3), np.uint8)
    for number, (x, y) in enumerate(points.astype(int)):
        bgr[y, x] = 50 + number
    return ArrayImage(bgr)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_points_go_where_their_pixels_go(quarters: int) -> None:
    points = np.array([[3, 4], [60, 9], [30, 49], [0, 20], [69, 0]], np.float32)
    image = spotted(points)
    there = quarter_turned(points, quarters, image.width, image.height).astype(int)
    picture = turned(image, quarters).bgr()
    assert [int(picture[y, x, 0]) for x, y in there] == [50, 51, 52, 53, 54]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_what_was_found_comes_back(quarters: int) -> None:
    image = spotted(np.zeros((0, 2)))
    marks = np.array([[[20, 10], [30, 10], [25, 15], [21, 20], [29, 20]]], np.float32)
    boxes = np.array([[15, 5, 35, 25]], np.float32)
    corners = quarter_turned(boxes.reshape(-1, 2, 2), quarters, 70, 50)
    there = Detections(
        np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1).astype(np.float32),
        np.ones(1, np.float32),
        quarter_turned(marks, quarters, 70, 50).astype(np.float32),
    )
    back = turned_back(there, quarters, turned(image, quarters))
    np.testing.assert_array_equal(back.boxes, boxes)
    np.testing.assert_array_equal(back.landmarks, marks)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_crops_of_a_lying_photo_are_those_of_the_upright_one(quarters: int, six, find) -> None:
    """Also facenet's, which follow the box and not the landmarks."""
    marks = find(six, "nano_det").landmarks
    lying = turned(six, quarters)
    there = quarter_turned(marks, quarters, six.width, six.height)
    for crops in (aligned_crops, facenet_crops):
        apart = np.abs(crops(six, marks).astype(int) - crops(lying, there).astype(int))
        assert apart.mean() < 3
