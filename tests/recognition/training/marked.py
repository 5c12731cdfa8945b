"""Photos whose landmarks have colours: what a composed scene says of them can be checked in its pixels."""

import cv2
import numpy as np

from recognition.training.scene_parts import LabelledPhoto

BOX = np.array([[70.0, 60.0, 180.0, 200.0]], np.float32)
LANDMARKS = np.array([[[100, 110], [150, 110], [125, 140], [105, 170], [145, 170]]], np.float32)
EYE, NOSE, MOUTH = (255, 0, 0), (0, 255, 0), (0, 0, 255)
_COLOURS = (EYE, EYE, NOSE, MOUTH, MOUTH)
NOTHING = np.empty((0, 4), np.float32)


def marked_photo(shade: int = 128, doubtful: np.ndarray = NOTHING) -> LabelledPhoto:
    """250x250 of one grey with a blue dot for each eye, a green one for the nose, red ones for the mouth."""
    picture = np.full((250, 250, 3), shade, np.uint8)
    for point, colour in zip(LANDMARKS[0], _COLOURS, strict=True):
        cv2.circle(picture, (int(point[0]), int(point[1])), 9, colour, -1)
    _, data = cv2.imencode(".png", picture)
    return LabelledPhoto(data.tobytes(), BOX, LANDMARKS, doubtful)
