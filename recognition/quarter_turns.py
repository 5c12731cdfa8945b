"""A photo turned by quarters, and what was found in it told in the photo's own pixels.

Pure NumPy; runs on the CPU pool. Alignment turns a face upright whatever its roll, so nothing else need be turned.
"""

import math

import numpy as np

from recognition.align import quarter_turned
from recognition.faces import Detections, Quality
from recognition.image import ArrayImage, Image
from recognition.second_look import log_odds

QUARTERS = (2, 1, 3)  # upside down first
CLEAR = 0.1  # log-odds


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


def way_up(found: Detections, quality: Quality) -> float:
    """How far the photo has to be turned clockwise for its largest face to stand upright, in degrees; NaN: not told."""
    if not len(found):
        return math.nan
    largest = np.argmax(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1))
    return float(quality.turn[largest]) if standing(quality)[largest] or quality.turn[largest] else math.nan


def surer(found: Detections, quality: Quality, than: Detections, its_quality: Quality) -> bool:
    """Whether the surest face that stands upright is surer than that of another turn."""
    return _surest(found, quality) > _surest(than, its_quality)


def clearly_surer(found: Detections, quality: Quality, than: Detections) -> bool:
    """Whether it is clearly surer than whatever was found in the photo as it is, upright or not.

    Else a face that a second look is in doubt of would be enrolled upside down.
    """
    before = float(than.scores.max(initial=0.0))
    return float(log_odds(np.float32(_surest(found, quality))) - log_odds(np.float32(before))) >= CLEAR


def _surest(found: Detections, quality: Quality) -> float:
    return float(found.scores[standing(quality)].max(initial=0.0))


def standing(quality: Quality) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which faces (n,) a second look saw upright, by a roll that landmarks can be trusted at."""
    return np.asarray((quality.turn == 0) & (np.abs(quality.roll) <= 45.0))
