"""Five landmarks -> crops of faces: laid on the ArcFace template by a similarity transform, or upright boxes.

Pure NumPy and OpenCV; runs on the CPU pool.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32, U8
from recognition.image import Image

F64 = NDArray[np.float64]

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

# A detector's box on the template: its centre, width and height, and how far the centre moves against the nose when
# the head turns. Fitted on 397 photos of LFW; it overlaps SCRFD's and YuNet's boxes by .91 and .93 (median IoU),
# which overlap each other by .93. Landmarks alone are kept with a chip, and all detectors give the same ones.
_BOX_CENTRE = (55.7, 64.5)
_BOX_SIZE = (80.4, 111.5)
_BOX_TURN = -1.46
# facenet-pytorch's margin for its own weights, of 160 px (its issue 62).
_FACENET_MARGIN = 14


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


def face_boxes(landmarks: F32) -> F32:
    """(k,5,2) landmarks -> (k,4) xyxy px: the upright boxes that a face detector would draw."""
    transforms = similarity_transforms(landmarks)
    turn, shift = transforms[:, :, :2], transforms[:, :, 2]
    across = np.einsum("kj,kpj->kp", turn[:, 0], landmarks)
    nose = across[:, 2] - across[:, [0, 1, 3, 4]].mean(axis=1)
    on_template = np.array(_BOX_CENTRE) + np.stack((_BOX_TURN * nose, np.zeros(len(nose))), axis=1)
    scale = np.maximum(np.hypot(turn[:, 0, 0], turn[:, 1, 0]), 1e-6)[:, None]
    centre = np.einsum("kji,kj->ki", turn, on_template - shift) / scale**2
    half = np.array(_BOX_SIZE) / scale / 2
    return np.concatenate((centre - half, centre + half), axis=1).astype(np.float32)


def facenet_crops(image: Image, landmarks: F32, size: tuple[int, int] = (160, 160)) -> U8:
    """Faces (k,160,160,3) uint8 BGR as facenet-pytorch cuts them: box and margin, not turned, stretched to a square.

    What is outside the image is left out, and not filled.
    """
    width, height = size
    crops = np.empty((len(landmarks), height, width, 3), np.uint8)
    if not len(landmarks):
        return crops
    pixels, edge = image.bgr(), np.array((image.width, image.height))
    for box, crop in zip(face_boxes(landmarks), crops, strict=True):
        margin = (box[2:] - box[:2]) * _FACENET_MARGIN / (np.array(size) - _FACENET_MARGIN) / 2
        low = np.clip(box[:2] - margin, 0, edge - 1).astype(int)
        high = np.clip(box[2:] + margin, low + 1, edge).astype(int)
        cv2.resize(pixels[low[1] : high[1], low[0] : high[0]], size, dst=crop, interpolation=cv2.INTER_AREA)
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
