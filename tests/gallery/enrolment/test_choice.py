"""Whose photo is it, of faces made of numbers."""

import numpy as np
import pytest

from gallery.enrolment.choice import BY_FAR, Faces, prominence, whose
from recognition.faces import Detections
from tests.gallery.fakes import DIM, near, unit

ADA, BOB, EVE, DAN = (unit(seed) for seed in (1, 2, 3, 4))
NONE = np.empty((0, DIM), np.float32)


def photo(number: int, *faces: np.ndarray, clear: bool = False) -> Faces:
    shown = [near(face, 0.8, 10 * number + place) for place, face in enumerate(faces)]
    return Faces(np.stack(shown), clear or len(faces) == 1)


def detections(*boxes: tuple[float, float, float, float], scores: tuple[float, ...]) -> Detections:
    landmarks = np.zeros((len(boxes), 5, 2), np.float32)
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), landmarks)


def test_prominence_is_the_side_of_what_is_seen_by_how_sure_the_detector_is() -> None:
    """Less for who is at the edge, or cut by it."""
    boxes = ((10, 10, 50, 50), (-40, 60, 40, 140), (58, 1, 98, 41), (58, 3, 97, 42), (10, 10, 50, 50))
    found = detections(*boxes, scores=(0.9, 0.9, 0.9, 0.9, 0.5))
    np.testing.assert_allclose(prominence(found, 100, 100), [36, 28.8, 28.8, 35.1, 20], rtol=1e-5)
    assert prominence(detections((-50, 0, -10, 40), scores=(0.9,)), 100, 100)[0] == 0
    assert BY_FAR > 1


ONE = photo(1, ADA)
TABLE = {
    "one face": ([ONE], NONE, [0]),
    "by far the largest": ([photo(1, ADA, BOB, clear=True)], NONE, [0]),
    "a group alone": ([photo(1, ADA, BOB)], NONE, [None]),
    "a group and one alone": ([photo(2, BOB, ADA), ONE], NONE, [1, 0]),
    "a group without the person": ([photo(2, BOB, EVE), ONE], NONE, [None, 0]),
    "groups, one large": ([photo(2, BOB, ADA), photo(3, ADA, EVE, clear=True), photo(4, DAN, ADA)], NONE, [1, 0, 1]),
    "a group and the gallery": ([photo(2, BOB, EVE, ADA)], ONE.embeddings, [2]),
    "nobody of the gallery": ([photo(2, BOB, EVE)], ONE.embeddings, [None]),
    "large, but another is the gallery's": ([photo(2, BOB, ADA, clear=True)], ONE.embeddings, [1]),
    "large, but another was given along": ([photo(2, BOB, ADA, clear=True), ONE], NONE, [None, 0]),
    "large, and not like the others at all": ([photo(2, BOB, EVE, clear=True), ONE], NONE, [0, 0]),
    "only one in common": ([photo(1, BOB, ADA), photo(2, ADA, EVE)], NONE, [1, 0]),
    "two in common": ([photo(1, BOB, ADA), photo(2, ADA, BOB)], NONE, [None, None]),
    "two in common, and one more": ([photo(1, BOB, ADA), photo(2, ADA, BOB), photo(3, EVE, ADA)], NONE, [1, 0, 1]),
    "two pairs": ([photo(1, ADA, BOB), photo(2, ADA, EVE), photo(3, BOB, DAN)], NONE, [None, None, None]),
    "one in common, and strangers": ([photo(1, ADA, BOB), photo(2, EVE, ADA), photo(3, DAN, EVE)], NONE, [None] * 3),
    "nobody in common": ([photo(1, ADA, BOB), photo(2, EVE, DAN)], NONE, [None, None]),
    "twice in one photo": ([photo(2, ADA, ADA), ONE], NONE, [None, 0]),
    "twice, once by far the largest": ([photo(2, ADA, ADA, clear=True), ONE], NONE, [0, 0]),
    "nothing": ([], NONE, []),
}


@pytest.mark.parametrize("situation", TABLE)
def test_whose(situation: str) -> None:
    photos, before, wanted = TABLE[situation]
    assert whose(photos, before, threshold=0.4) == wanted


def test_the_order_of_photos_does_not_matter() -> None:
    photos = [photo(2, BOB, ADA), photo(3, ADA, EVE, clear=True), photo(4, DAN, ADA), ONE]
    assert whose(photos[::-1], NONE, 0.4) == [0, 1, 0, 1]
