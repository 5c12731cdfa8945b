"""A photo turned by quarters, and what was found in it told in the photo's own pixels.

Pure NumPy; runs on the CPU pool. Alignment turns a face upright whatever its roll, so nothing else need be turned.
"""

import numpy as np

from recognition.align import quarter_turned
from recognition.faces import Detections, Quality
from recognition.image import ArrayImage, Image

QUARTERS = (2, 1, 3)  # upside down first


def turned(image: Image, quarters: int) -> ArrayImage:
    """The picture turned clockwise."""
    return ArrayImage(np.ascontiguousarray(np.rot90(image.bgr(), -quarters)))


def turned_back(found: Detections, quarters: int, picture: Image) -> Detections:
    """What was found in the picture, which was turned clockwise by so many quarters, in that of before."""
    back = -quarters % 4
    corners = quarter_turned(found.boxes.reshape(-1, 2, 2), back, picture.width, picture.height)
    boxes = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    landmarks = quarter_turned(found.landmarks, back, picture.width, picture.height)
    return Detections(boxes.astype(np.float32), found.scores, landmarks.astype(np.float32))


def settled(found: Detections, quality: Quality) -> bool:
    """Whether the largest face stands upright: then the photo does."""
    if not len(found):
        return False
    return bool(standing(quality)[np.argmax(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1))])


def surest(found: Detections, quality: Quality) -> float:
    """The highest score of a face that stands upright; 0 without one."""
    return float(found.scores[standing(quality)].max(initial=0.0))


def standing(quality: Quality) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which faces (n,) a second look saw upright, by a roll that landmarks can be trusted at."""
    return np.asarray((quality.turn == 0) & (np.abs(quality.roll) <= 45.0))
