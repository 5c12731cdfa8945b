"""Which face of a photo counts, and who is enrolled in the open-set test."""

import numpy as np
import pytest

from recognition.evaluation.evaluate import is_enrolled
from recognition.faces import Detections
from recognition.image import ArrayImage
from recognition.photos import central_face

PHOTO = ArrayImage(np.zeros((100, 200, 3), np.uint8))


def faces(*boxes: tuple[float, float, float, float]) -> Detections:
    """Boxes of a photo; the landmarks of the n-th are all n."""
    n = len(boxes)
    landmarks = np.repeat(np.arange(n, dtype=np.float32), 10).reshape(n, 5, 2)
    scores = np.linspace(0.9, 0.5, n, dtype=np.float32)
    return Detections(np.array(boxes, np.float32).reshape(n, 4), scores, landmarks)


@pytest.mark.parametrize(
    ("boxes", "nearest"),
    [
        ([(0, 0, 40, 40), (95, 45, 105, 55), (90, 0, 110, 40)], 1),
        ([(40, 30, 80, 70), (100, 10, 130, 40)], 1),  # 40 px away to the left, 29 px along both axes
        ([(90, 40, 110, 60), (80, 30, 120, 70)], 0),  # equally near: the surer one
    ],
)
def test_the_face_nearest_to_the_middle_counts(boxes, nearest):
    assert central_face(faces(*boxes), PHOTO)[0, 0, 0] == nearest


def test_a_photo_without_a_face_has_none():
    assert central_face(faces(), PHOTO).shape == (0, 5, 2)


@pytest.mark.parametrize(("name", "enrolled"), [("Ada", False), ("a", False), ("", True), ("abc", True)])
def test_people_whose_digest_is_even_are_enrolled(name, enrolled):
    """As `md5sum` says: they end in 7, 1, e and 2."""
    assert is_enrolled(name) is enrolled
