"""A visit's two pictures: its best face as an upright chip, and the scene that it was seen in.

A frame and landmarks go in, JPEGs come out. Blocks for some milliseconds; on the writer's thread.
"""

from functools import cached_property

import cv2
import numpy as np

from recognition.align import loose_chip
from recognition.arrays import F32, U8
from recognition.image import Image

LONGEST_PX = 1280
_FACE_JPEG, _SCENE_JPEG = 92, 80


class Scene:
    """A frame's picture made small; one for all faces in it, and encoded once, when it is written."""

    def __init__(self, image: Image) -> None:
        self._pixels = _small(image.bgr())

    @cached_property
    def jpeg(self) -> bytes:
        return _jpeg(self._pixels, _SCENE_JPEG)


class Chip:
    """A face, by its landmarks (5,2) px; its pixels still: most are replaced before they are written."""

    def __init__(self, image: Image, landmarks: F32) -> None:
        self._pixels, _ = loose_chip(image, landmarks)

    @property
    def jpeg(self) -> bytes:
        return _jpeg(self._pixels, _FACE_JPEG)


def _small(pixels: U8) -> U8:
    """(h,w,3) -> its longer side at most LONGEST_PX; by halves as far as that goes: cheap, without aliasing."""
    while max(pixels.shape[:2]) >= 1.5 * LONGEST_PX:
        height, width = pixels.shape[:2]
        halved = cv2.resize(pixels, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(halved, dtype=np.uint8)
    height, width = pixels.shape[:2]
    share = LONGEST_PX / max(height, width)
    if share >= 1.0:
        return pixels
    size = max(round(width * share), 1), max(round(height * share), 1)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _jpeg(pixels: U8, quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"JPEG can't hold {pixels.shape}")
    return data.tobytes()
