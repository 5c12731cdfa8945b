"""Five landmarks -> aligned crops, by the similarity transform that lays them on the ArcFace template.

Pure NumPy and OpenCV; runs on the CPU pool.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from recognition.image import Image

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

CROP_SIZE = 112
CHIP_SIZE = 256

# Where ArcFace's training crops (112x112) have eyes, nose and mouth corners (Deng et al. 2019).
ARCFACE_TEMPLATE: F32 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
# How much smaller the aligned face is within the chip, so that hair, chin and a turn of the head still fit.
_CHIP_MARGIN = 1.6
_CHIP_TEMPLATE = (ARCFACE_TEMPLATE - CROP_SIZE / 2) * (CHIP_SIZE / CROP_SIZE / _CHIP_MARGIN) + CHIP_SIZE / 2


def similarity_transforms(landmarks: F32, template: F32 = ARCFACE_TEMPLATE) -> F64:
    """(k,5,2) landmarks -> (k,2,3): scale, turn and shift that bring them nearest to the template.

    Least squares in closed form; in the plane and without mirroring Umeyama (1991) comes down to this.
    Landmarks that all fall on one point give a transform that shows that point's surroundings.
    """
    source = landmarks.astype(np.float64)
    middle = source.mean(axis=1, keepdims=True)
    target_middle = template.mean(axis=0, dtype=np.float64)
    x, y = np.moveaxis(source - middle, -1, 0)
    u, v = (template - target_middle).T
    spread = np.maximum((x * x + y * y).sum(axis=1), 1e-6)
    cos = (x * u + y * v).sum(axis=1) / spread
    sin = (x * v - y * u).sum(axis=1) / spread
    turn = np.stack((np.stack((cos, -sin), axis=1), np.stack((sin, cos), axis=1)), axis=1)
    shift = target_middle - np.einsum("kij,kj->ki", turn, middle[:, 0])
    return np.concatenate((turn, shift[:, :, None]), axis=2)


def aligned_crops(image: Image, landmarks: F32) -> U8:
    """Aligned faces (k,112,112,3) uint8 BGR for landmarks (k,5,2) in image px; black outside the image."""
    crops = np.empty((len(landmarks), CROP_SIZE, CROP_SIZE, 3), np.uint8)
    if len(landmarks):
        _warp(image.bgr(), similarity_transforms(landmarks), crops)
    return crops


def aligned_grey_crops(image: Image, landmarks: F32) -> U8:
    """Aligned faces (k,112,112) uint8, cut from the brightness alone: no colour conversion of the picture."""
    crops = np.empty((len(landmarks), CROP_SIZE, CROP_SIZE), np.uint8)
    if len(landmarks):
        _warp(image.luma(), similarity_transforms(landmarks), crops)
    return crops


def _warp(pixels: U8, transforms: F64, out: U8) -> None:
    for transform, crop in zip(transforms, out, strict=True):
        cv2.warpAffine(pixels, transform, (CROP_SIZE, CROP_SIZE), dst=crop, flags=cv2.INTER_LINEAR)


def loose_chip(image: Image, landmarks: F32) -> tuple[U8, F32]:
    """One face (5,2) -> an upright chip (256,256,3) uint8 BGR with room around it, and its landmarks there.

    What the gallery keeps: another model can be given its template from it later.
    """
    (transform,) = similarity_transforms(landmarks[None], _CHIP_TEMPLATE)
    # Shrinking by more than two with a bilinear warp would alias: shrink the picture by area first.
    shrink = min(1.0, 2 * float(np.hypot(*transform[:, 0])))
    pixels = image.bgr()
    if shrink < 1.0:
        size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        transform = transform / np.array([size[0] / image.width, size[1] / image.height, 1.0])
    chip = cv2.warpAffine(pixels, transform, (CHIP_SIZE, CHIP_SIZE), flags=cv2.INTER_LINEAR)
    (full,) = similarity_transforms(landmarks[None], _CHIP_TEMPLATE)
    moved = landmarks @ full[:, :2].T + full[:, 2]
    return np.asarray(chip, dtype=np.uint8), moved.astype(np.float32)
