"""Faces of nobody: real crops in, crops that mix two of them and bend the outcome out, for a teacher to judge.

Pure NumPy and OpenCV. A set of photos has few people in it; what a teacher makes of faces between and beside
them shows a student more of the teacher's map of faces. mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019)
mix labels; here the teacher is asked anew, so that any mixture is labelled rightly.
"""

import cv2
import numpy as np

from recognition.arrays import F32, U8
from recognition.training.crops import SIDE

BEND_PX = 2.2
_GRID = 5


def blend(pixels: U8, rng: np.random.Generator) -> U8:
    """One face (SIDE,SIDE,3) made of two random ones of `pixels` (n,SIDE,SIDE,3)."""
    one, two = (_mirrored(pixels[rng.integers(len(pixels))], rng) for _ in range(2))
    weight = 1 / (1 + np.exp(-rng.uniform(1, 4) * (_field(rng) + rng.normal(0, 0.6))))
    tone = rng.uniform(0.85, 1.15, 3).astype(np.float32)
    mixed = (one * weight[..., None] + two * (1 - weight[..., None])) * tone
    return bend(np.clip(mixed, 0, 255).astype(np.uint8), rng)


def bend(crop: U8, rng: np.random.Generator) -> U8:
    """The crop under a smooth random displacement of a few pixels: another nose, another jaw."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    amount = rng.uniform(0, BEND_PX)
    return np.asarray(
        cv2.remap(crop, x + amount * _field(rng), y + amount * _field(rng), cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT),
        dtype=np.uint8,
    )


def _field(rng: np.random.Generator) -> F32:
    """A smooth random surface (SIDE,SIDE) float32 of about unit variance."""
    knots = rng.normal(0, 1.3, (_GRID, _GRID)).astype(np.float32)
    return np.asarray(cv2.resize(knots, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _mirrored(crop: U8, rng: np.random.Generator) -> U8:
    return crop[:, ::-1] if rng.random() < 0.5 else crop
