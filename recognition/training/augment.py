"""What cameras do to faces: a clean crop with its margin in, one as a camera might have seen it out.

Pure OpenCV and NumPy on uint8, a fraction of a millisecond each; runs in the loader's processes.
"""

import cv2
import numpy as np

from recognition.align import ARCFACE_TEMPLATE, CROP_SIZE
from recognition.arrays import U8
from recognition.training.crops import MARGIN, SIDE

_INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)
_NOISE = np.random.default_rng(0).normal(0, 1, (512, 512, 3)).astype(np.float32)
_EYES_Y = float(ARCFACE_TEMPLATE[:2, 1].mean())


def augment(crop: U8, rng: np.random.Generator, unspoiled: float = 0.2) -> U8:
    """(SIDE,SIDE,3) uint8 BGR -> (112,112,3): moved as landmarks err and, but for the share `unspoiled`, often
    spoiled in a few ways.
    """
    face = _moved(crop, rng)
    if rng.random() < unspoiled:
        return face
    if rng.random() < 0.2:
        _cover(face, rng)
    if rng.random() < 0.6:
        face = _relit(face, rng)
    if rng.random() < 0.2:
        face = _blurred(face, rng)
    if rng.random() < 0.35:
        face = _coarse(face, rng)
    if rng.random() < 0.2:
        face = _noisy(face, rng)
    if rng.random() < 0.25:
        _, data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))])
        face = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    return face


def _moved(crop: U8, rng: np.random.Generator) -> U8:
    """Mirrored, turned, scaled and shifted about as much as two detectors' landmarks differ."""
    size = float(np.exp(rng.normal(0, 0.04)))
    turn = np.asarray(cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), float(rng.normal(0, 4)), size), dtype=np.float64)
    turn[:, 2] += rng.normal(0, 1.5, 2) - MARGIN
    stretch = np.exp(rng.normal(0, 0.02))
    turn[0] *= stretch
    turn[0, 2] += (1 - stretch) * CROP_SIZE / 2
    if rng.random() < 0.5:
        turn[0] = -turn[0]
        turn[0, 2] += CROP_SIZE - 1
    moved = cv2.warpAffine(crop, turn, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, dtype=np.uint8)


def _cover(face: U8, rng: np.random.Generator) -> None:
    """A medical mask, dark glasses, or something in the way; drawn in place."""
    colour = tuple(int(part) for part in rng.integers(0, 256, 3))
    kind = rng.integers(3)
    if kind == 0:
        top = int(rng.normal(68, 4))
        sides, middle = top - int(rng.integers(0, 8)), CROP_SIZE // 2
        outline = [(4, sides), (middle, top - 6), (CROP_SIZE - 4, sides), (CROP_SIZE - 12, CROP_SIZE), (12, CROP_SIZE)]
        cv2.fillPoly(face, [np.array(outline, np.int32)], colour)
    elif kind == 1:
        dark = tuple(int(part) for part in rng.integers(0, 70, 3))
        wide, high = int(rng.integers(11, 17)), int(rng.integers(7, 13))
        for x in ARCFACE_TEMPLATE[:2, 0]:
            cv2.ellipse(face, (int(x), int(_EYES_Y)), (wide, high), 0, 0, 360, dark, -1 if rng.random() < 0.7 else 2)
    else:
        x, y = rng.integers(0, CROP_SIZE, 2)
        wide, high = rng.integers(12, 56, 2)
        cv2.rectangle(
            face, (int(x - wide // 2), int(y - high // 2)), (int(x + wide // 2), int(y + high // 2)), colour, -1
        )


def _relit(face: U8, rng: np.random.Generator) -> U8:
    """Gamma, contrast, brightness and the colour of light, all by one table for each channel."""
    ramp = np.linspace(0, 1, 256)
    curve = ramp ** np.exp(rng.normal(0, 0.35))
    curve = (curve - 0.5) * np.exp(rng.normal(0, 0.25)) + 0.5 + rng.normal(0, 0.08)
    gains = np.exp(rng.normal(0, 0.08, 3))
    table = np.clip(curve[:, None] * gains * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.12:
        face = np.asarray(cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    if rng.random() < 0.3:
        side = rng.normal(0, 0.35, 2)
        y, x = np.mgrid[-1:1:112j, -1:1:112j]
        light = np.clip(1 + side[0] * x + side[1] * y, 0.2, 1.8)[..., None]
        face = np.clip(face * light, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(face, table[:, None, :]), dtype=np.uint8)


def _blurred(face: U8, rng: np.random.Generator) -> U8:
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(face, (0, 0), float(rng.uniform(0.5, 2.2))), dtype=np.uint8)
    length = int(rng.integers(3, 9))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), float(rng.uniform(0, 180)), 1)
    streak = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), dtype=np.float32)
    streak /= max(float(streak.sum()), 1e-3)
    return np.asarray(cv2.filter2D(face, -1, streak), dtype=np.uint8)


def _noisy(face: U8, rng: np.random.Generator) -> U8:
    """Gaussian noise: a window of a kept field, since drawing it anew would cost more than all else together."""
    y, x = rng.integers(0, len(_NOISE) - CROP_SIZE, 2)
    noise = _NOISE[y : y + CROP_SIZE, x : x + CROP_SIZE] * np.float32(rng.uniform(2, 14))
    return np.clip(face + noise, 0, 255).astype(np.uint8)


def _coarse(face: U8, rng: np.random.Generator) -> U8:
    """As small as a face far away, and back."""
    small = int(np.exp(rng.uniform(np.log(20), np.log(80))))
    down, up = _INTERPOLATIONS[rng.integers(1, 4)], _INTERPOLATIONS[rng.integers(0, 3)]
    tiny = cv2.resize(face, (small, small), interpolation=down)
    return np.asarray(cv2.resize(tiny, (CROP_SIZE, CROP_SIZE), interpolation=up), dtype=np.uint8)
