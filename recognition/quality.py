"""How much each face is worth to an embedder: aligned grey crops and landmarks in, Quality, thumbnails out.

Pure NumPy and OpenCV; runs on the CPU pool, about 0.1 ms a face.

score is the product of seven grades, each a broken line through the points of its table below: a face is only
as good as what is worst about it. second_look adds whether it is a face at all, and upright.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from recognition.align import ARCFACE_TEMPLATE, CROP_SIZE
from recognition.arrays import F32, U8
from recognition.faces import Quality

THUMB_SIZE = 16

# (value, grade) points; flat beyond the ends. They follow what happens to a face's embedding (ArcFace w600k
# MBF) when 36 frontal LFW photos are blurred, moved, shrunk, darkened or overexposed: near 1 while its cosine
# with that of the untouched photo stays above .96, about .5 at .87, under .15 below .6.
#
# Sharpness: the variance of the second derivative of the crop at half size (noise and the warp's own rounding
# live in the finest scale), along the axis that has less of it (motion blurs one alone), in units of the
# variance of the crop itself (dim light flattens edges as it flattens everything).
SHARPNESS_GRADE = ((0.004, 0.02), (0.008, 0.08), (0.013, 0.2), (0.02, 0.4), (0.03, 0.7), (0.045, 0.9), (0.07, 1.0))
BRIGHTNESS_GRADE = ((0.03, 0.2), (0.08, 0.6), (0.15, 1.0), (0.75, 1.0), (0.85, 0.6), (0.95, 0.1))
CONTRAST_GRADE = ((0.01, 0.02), (0.02, 0.1), (0.05, 0.5), (0.1, 0.9), (0.15, 1.0))
SIZE_GRADE = ((12.0, 0.03), (20.0, 0.14), (24.0, 0.4), (32.0, 0.7), (48.0, 0.9), (64.0, 1.0))
YAW_GRADE = ((20.0, 1.0), (32.0, 0.8), (45.0, 0.4), (55.0, 0.14), (65.0, 0.05))
# Wide, because five points hardly tell a long nose from a bowed head: frontal faces give up to 25 degrees.
PITCH_GRADE = ((25.0, 1.0), (45.0, 0.5), (65.0, 0.1))
# Alignment turns the face upright, but from here on landmarks are those of another face as often as not: of 250
# photos turned by 60 degrees SCRFD-500M finds the roll in all, by 75 in 92 %, by 90 in 31 %.
ROLL_GRADE = ((50.0, 1.0), (58.0, 0.0))

# A head as the ArcFace template sees it, with depths towards the camera in the template's pixels: nose tip
# 28 mm before the plane of the eyes, mouth corners 2 mm, where 63 mm between the pupils are its 35 pixels.
_HEAD = np.column_stack((ARCFACE_TEMPLATE, (0.0, 0.0, 15.7, 1.1, 1.1))).astype(np.float64)
_TO_AXES = np.linalg.pinv(_HEAD - _HEAD.mean(axis=0))


def grade(grey_crops: U8, landmarks: F32) -> Quality:
    """Aligned crops (n,112,112) uint8 and their landmarks (n,5,2) in image pixels -> Quality of n faces."""
    n = len(landmarks)
    if n == 0:
        none = np.empty(0, np.float32)
        return Quality(none, none, none, none, none, none, none, none, none)
    sharpness, brightness, contrast = np.array([_light(crop) for crop in grey_crops]).T
    eyes, mouth = landmarks[:, :2].mean(axis=1), landmarks[:, 3:].mean(axis=1)
    size_px = 2 * np.hypot(*(mouth - eyes).T)
    yaw, pitch, roll = head_pose(landmarks)
    score = (
        _on(SHARPNESS_GRADE, sharpness)
        * _on(BRIGHTNESS_GRADE, brightness)
        * _on(CONTRAST_GRADE, contrast)
        * _on(SIZE_GRADE, size_px)
        * _on(YAW_GRADE, np.abs(yaw))
        * _on(PITCH_GRADE, np.abs(pitch))
        * _on(ROLL_GRADE, np.abs(roll))
    )
    columns = (score, sharpness, brightness, contrast, size_px, yaw, pitch, roll, np.zeros(n))
    return Quality(*(np.asarray(column, dtype=np.float32) for column in columns))


def _light(crop: U8) -> tuple[float, float, float]:
    """Sharpness as SHARPNESS_GRADE has it; mean and standard deviation in [0,1]."""
    mean, spread = cv2.meanStdDev(crop)
    half = cv2.resize(crop, (CROP_SIZE // 2, CROP_SIZE // 2), interpolation=cv2.INTER_AREA)
    across = _variance(cv2.Sobel(half, cv2.CV_16S, 2, 0, ksize=1))
    along = _variance(cv2.Sobel(half, cv2.CV_16S, 0, 2, ksize=1))
    sharpness = min(across, along) / max(_variance(half), 1.0)
    return sharpness, float(mean[0, 0]) / 255, float(spread[0, 0]) / 255


def _variance(values: cv2.typing.MatLike) -> float:
    return float(cv2.meanStdDev(values)[1][0, 0]) ** 2


def _on(points: tuple[tuple[float, float], ...], values: NDArray[np.float64] | F32) -> NDArray[np.float64]:
    at, grades = zip(*points, strict=True)
    return np.asarray(np.interp(values, at, grades))


def head_pose(landmarks: F32) -> NDArray[np.float64]:
    """(n,5,2) landmarks -> (3,n): yaw, pitch, roll in degrees, each 0 for an upright face from the front.

    Weak perspective: the affine camera that best lays a mean head's five points on the landmarks (least
    squares); its rows are the head's axes in the picture. Yaw grows as the nose moves right in the picture,
    pitch as it moves down, roll as the head turns clockwise. Good to about ten degrees; heads differ.
    """
    points = landmarks - landmarks.mean(axis=1, keepdims=True)
    camera = np.einsum("hp,npc->nch", _TO_AXES, points.astype(np.float64))
    right, down = camera[:, 0], camera[:, 1]
    roll = np.arctan2(down[:, 0] - right[:, 1], right[:, 0] + down[:, 1])
    cos, sin = np.cos(roll), np.sin(roll)
    yaw = np.arctan2(cos * right[:, 2] + sin * down[:, 2], np.hypot(right[:, 0], right[:, 1]))
    pitch = np.arctan2(cos * down[:, 2] - sin * right[:, 2], np.hypot(down[:, 0], down[:, 1]))
    return np.asarray(np.degrees(np.stack((yaw, pitch, roll))))


def thumbnails(grey_crops: U8) -> F32:
    """(n,112,112) -> (n,16,16) float32, zero mean and unit norm (all 0 where a crop is flat).

    The dot product of two is their normalised cross-correlation: near 1 while they show the same face.
    """
    thumbs = np.empty((len(grey_crops), THUMB_SIZE, THUMB_SIZE), np.float32)
    for thumb, crop in zip(thumbs, grey_crops, strict=True):
        thumb[:] = cv2.resize(crop, (THUMB_SIZE, THUMB_SIZE), interpolation=cv2.INTER_AREA)
    thumbs -= thumbs.mean(axis=(1, 2), keepdims=True)
    norms = np.linalg.norm(thumbs, axis=(1, 2), keepdims=True)
    thumbs /= np.maximum(norms, np.float32(1e-6))
    return thumbs
