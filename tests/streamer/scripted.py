"""Scripted faces for tests of tracking, visits and the pipeline: no pixels, no models."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognition.faces import Detections, Quality
from recognition.recogniser import Found

F32 = NDArray[np.float32]
SIZE = (1280, 720)


@dataclass(frozen=True)
class Face:
    """One face of a scripted frame; look is a number from which its thumbnail and embedding are drawn."""

    x: float
    y: float = 300.0
    look: int = 1
    score: float = 0.9
    quality: float = 0.8
    side: float = 100.0

    @property
    def box(self) -> list[float]:
        half = self.side / 2
        return [self.x - half, self.y - half, self.x + half, self.y + half]


def unit(seed: int, size: int = 512) -> F32:
    """A random unit vector, always the same for a seed; two seeds are nearly orthogonal."""
    vector = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def found(*faces: Face) -> Found:
    """What a detector would have given for these faces."""
    n = len(faces)
    boxes = np.array([face.box for face in faces], np.float32).reshape(n, 4)
    ones = np.ones(n, np.float32)
    quality = Quality(
        score=np.array([face.quality for face in faces], np.float32),
        sharpness=ones,
        brightness=ones,
        contrast=ones,
        size_px=np.array([face.side for face in faces], np.float32),
        yaw=ones,
        pitch=ones,
        roll=ones,
    )
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    thumbs = np.stack([unit(face.look, 256).reshape(16, 16) for face in faces]) if n else np.empty((0, 16, 16))
    return Found(
        detections=Detections(
            boxes,
            np.array([face.score for face in faces], np.float32),
            np.repeat(centres[:, None], 5, axis=1).astype(np.float32),
        ),
        quality=quality,
        thumbs=thumbs.astype(np.float32),
        prepare_s=0.0,
        queue_s=0.0,
        run_s=0.0,
        grade_s=0.0,
    )
