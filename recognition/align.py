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
# The middle of a face's height on the template, chin and forehead with it.
_MIDDLE_Y = 62.0
# How much smaller the aligned face is within the chip, so that hair, chin and a turn of the head still fit.
_CHIP_MARGIN = 1.6
# A chip's own landmarks are moved from here by what its face differs in; both are laid on ARCFACE_TEMPLATE alike.
CHIP_TEMPLATE: F32 = (ARCFACE_TEMPLATE - CROP_SIZE / 2) * (CHIP_SIZE / CROP_SIZE / _CHIP_MARGIN) + CHIP_SIZE / 2

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
    """Faces (k,160,160,3) uint8 BGR as facenet-pytorch cuts them: box and margin, stretched to a square.

    Turned by quarters alone, for a photo that lies on its side. What is outside the image is left out, and not filled.
    """
    width, height = size
    crops = np.empty((len(landmarks), height, width, 3), np.uint8)
    if not len(landmarks):
        return crops
    for points, crop in zip(landmarks, crops, strict=True):
        pixels, points = _standing(image.bgr(), points)
        edge = np.array((pixels.shape[1], pixels.shape[0]))
        (box,) = face_boxes(points[None])
        margin = (box[2:] - box[:2]) * _FACENET_MARGIN / (np.array(size) - _FACENET_MARGIN) / 2
        low = np.clip(box[:2] - margin, 0, edge - 1).astype(int)
        high = np.clip(box[2:] + margin, low + 1, edge).astype(int)
        cv2.resize(pixels[low[1] : high[1], low[0] : high[0]], size, dst=crop, interpolation=cv2.INTER_AREA)
    return crops


def _standing(pixels: U8, points: F32) -> tuple[U8, F32]:
    """The picture and one face's landmarks (5,2), turned by so many quarters that the face is nearly upright."""
    (quarters,) = quarters_to_upright(points[None])
    if quarters == 0:
        return pixels, points
    return np.rot90(pixels, -quarters), quarter_turned(points, quarters, pixels.shape[1], pixels.shape[0])


def quarters_to_upright(landmarks: F32) -> list[int]:
    """By how many quarters (0 to 3) clockwise a picture has to be turned for each face (k,5,2) to be nearly upright."""
    transforms = similarity_transforms(landmarks)
    return [round(angle / (np.pi / 2)) % 4 for angle in np.arctan2(transforms[:, 1, 0], transforms[:, 0, 0]).tolist()]


def quarter_turned(points: F32, quarters: int, width: int, height: int) -> F32:
    """Where points (..., 2) of a picture of that size are once it is turned clockwise by so many quarters."""
    for _ in range(quarters % 4):
        points = np.stack((height - 1 - points[..., 1], points[..., 0]), axis=-1)
        width, height = height, width
    return points


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
    (transform,) = similarity_transforms(landmarks[None], CHIP_TEMPLATE)
    moved = landmarks @ transform[:, :2].T + transform[:, 2]
    return _cut(image.bgr(), transform, CHIP_SIZE), moved.astype(np.float32)


def loose_tiles(image: Image, landmarks: F32, size: int, margin: float) -> U8:
    """Faces (k,5,2) -> upright tiles (k,size,size,3) uint8 BGR, each face `margin` times smaller than aligned."""
    tiles = np.empty((len(landmarks), size, size, 3), np.uint8)
    for tile, transform in zip(tiles, similarity_transforms(landmarks, loose_template(size, margin)), strict=True):
        tile[:] = _cut(image.bgr(), transform, size)
    return tiles


def in_picture(points: F32, landmarks: F32, size: int, margin: float) -> F32:
    """Points (m,2) of the tile that loose_tiles() cuts for a face's landmarks (5,2) -> where they are in the image."""
    (transform,) = similarity_transforms(landmarks[None], loose_template(size, margin))
    return np.linalg.solve(transform[:, :2], (points - transform[:, 2]).T).T.astype(np.float32)


def loose_template(size: int, margin: float) -> F32:
    """Where such a tile has the five points: (5,2) px."""
    template = (ARCFACE_TEMPLATE - (CROP_SIZE / 2, _MIDDLE_Y)) * (size / CROP_SIZE / margin) + size / 2
    return np.asarray(template, dtype=np.float32)


def _cut(pixels: U8, transform: F64, size: int) -> U8:
    """The square (size,size,3) that the transform (2,3) lays the picture on; black outside the picture."""
    # Shrinking by more than two with a bilinear warp would alias: shrink what it shows by area first.
    shrink = 2 * float(np.hypot(*transform[:, 0]))
    if shrink < 1.0:
        corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - transform[:, 2]
        shown = np.linalg.solve(transform[:, :2], corners.T)
        edge = np.array([pixels.shape[1], pixels.shape[0]])
        low = np.clip(np.floor(shown.min(axis=1)), 0, edge - 1).astype(int)
        high = np.clip(np.ceil(shown.max(axis=1)), low + 1, edge).astype(int)
        wide, tall = (max(1, round(side * shrink)) for side in high - low)
        part = cv2.resize(pixels[low[1] : high[1], low[0] : high[0]], (wide, tall), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(part, dtype=np.uint8)
        shift = transform[:, :2] @ low + transform[:, 2]
        transform = np.column_stack((transform[:, :2] * ((high - low) / (wide, tall)), shift))
    return np.asarray(cv2.warpAffine(pixels, transform, (size, size), flags=cv2.INTER_LINEAR), dtype=np.uint8)
