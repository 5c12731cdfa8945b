"""Faces made of numbers: unit vectors with a wanted likeness, photos of them, a finder that knows them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gallery.people import NewPhoto, Templates
from recognition.faces import Detections, Faces, Quality
from recognition.image import Image

SPACE = "test_space.1"
DIM = 64

F32 = NDArray[np.float32]

GOOD = {"score": 0.9, "sharpness": 900.0, "brightness": 0.5, "contrast": 0.2, "size_px": 90.0, "yaw": 0.0}


def unit(seed: int, dim: int = DIM) -> F32:
    """Somebody's face: (dim,) float32. Faces of different seeds hardly resemble each other."""
    vector = np.random.default_rng([0, seed]).standard_normal(dim)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def near(face: F32, cosine: float, seed: int = 999) -> F32:
    """A face whose cosine with `face` is as given."""
    other = np.random.default_rng([1, seed]).standard_normal(len(face))
    other -= other @ face * face
    mixed = cosine * face + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
    return (mixed / np.linalg.norm(mixed)).astype(np.float32)


def photo_of(embedding: F32, number: int = 0, space: str = SPACE, quality: float = 0.9) -> NewPhoto:
    """A photo with a chip of noise, its own for each number."""
    rng = np.random.default_rng(number)
    chip = rng.integers(0, 256, (256, 256, 3), np.uint8)
    landmarks = rng.uniform(80, 180, (5, 2)).astype(np.float32)
    digest = hashlib.sha256(embedding.tobytes() + number.to_bytes(4, "big")).hexdigest()
    return NewPhoto(chip, landmarks, digest, embedding, space, quality)


def templates_of(rows: Mapping[int, tuple[str, F32]], space: str = SPACE) -> Templates:
    """{id: (person, face)} -> Templates."""
    ids = np.array(list(rows), np.int64)
    return Templates(space, ids, tuple(p for p, _ in rows.values()), np.stack([f for _, f in rows.values()]))


def faces_of(*found: tuple[F32, Mapping[str, float]]) -> Faces:
    """Faces side by side, the first one largest; each with its embedding and what is not GOOD about it."""
    n = len(found)
    boxes = np.array([[100 * k, 0, 100 * k + 90 - k, 90] for k in range(n)], np.float32).reshape(n, 4)
    landmarks = np.array(
        [[[100 * k + x, y] for x, y in ((30, 30), (60, 30), (45, 50), (33, 68), (57, 68))] for k in range(n)],
        np.float32,
    ).reshape(n, 5, 2)
    parts = [{**GOOD, "pitch": 0.0, "roll": 0.0, **faults} for _, faults in found]
    columns = {
        name: np.array([part[name] for part in parts], np.float32)
        for name in ("score", "sharpness", "brightness", "contrast", "size_px", "yaw", "pitch", "roll")
    }
    embeddings = np.stack([face for face, _ in found]) if n else np.empty((0, DIM), np.float32)
    return Faces(Detections(boxes, np.full(n, 0.9, np.float32), landmarks), Quality(**columns), embeddings)


class FakeFinder:
    """Finds in a photo what was registered for the grey level that paint() gave it."""

    def __init__(self, space: str = SPACE) -> None:
        self.space = space
        self._by_level: dict[int, Faces] = {}
        self.looked = 0

    def paint(self, path: Path, *found: tuple[F32, Mapping[str, float]] | F32) -> Path:
        """Write a photo in which these faces will be found."""
        level = len(self._by_level)
        pairs = [item if isinstance(item, tuple) else (item, {}) for item in found]
        self._by_level[level] = faces_of(*pairs)
        cv2.imwrite(str(path), np.full((100, 300, 3), level, np.uint8))
        return path

    async def faces(self, image: Image, lane: str = "photo") -> Faces:
        self.looked += 1
        return self._by_level[int(image.luma()[0, 0])]
