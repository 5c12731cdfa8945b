"""Faces made of numbers: unit vectors with a wanted likeness, photos of them, a finder that knows them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np

from gallery.people import NewNegative, NewPhoto, NewTemplate, Person, Templates
from gallery.storage.rows import jpeg
from gallery.storage.store import PersonStore
from recognition.arrays import F32
from recognition.faces import Detections, InSpace, Quality
from recognition.image import Image
from recognition.recogniser import Found

SPACE = "test_space.1"
SIGNATURE = "0123456789abcdef"
DIM = 64


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


def photo_of(
    embedding: F32, number: int = 0, space: str = SPACE, quality: float = 0.9, others: Sequence[NewTemplate] = ()
) -> NewPhoto:
    """A photo with a chip of noise, its own for each number; `others` are its templates of further spaces."""
    rng = np.random.default_rng(number)
    chip = rng.integers(0, 256, (256, 256, 3), np.uint8)
    landmarks = rng.uniform(80, 180, (5, 2)).astype(np.float32)
    digest = hashlib.sha256(embedding.tobytes() + number.to_bytes(4, "big")).hexdigest()
    return NewPhoto(chip, landmarks, digest, (NewTemplate(space, SIGNATURE, embedding), *others), quality)


def negative_of(*faces: F32, number: int = 0, source: str = "", space: str = SPACE) -> NewNegative:
    """A face that is not somebody, seen so and so in one space; its chip is noise."""
    rng = np.random.default_rng([2, number])
    chip = rng.integers(0, 256, (256, 256, 3), np.uint8)
    landmarks = rng.uniform(80, 180, (5, 2)).astype(np.float32)
    templates = tuple(NewTemplate(space, SIGNATURE, face) for face in faces)
    return NewNegative(jpeg(chip), landmarks, 0.8, source or f"event {number}", templates)


def namesakes(store: PersonStore, name: str) -> tuple[Person, Person]:
    """Two people of one name, as galleries of before may have them."""
    one, two = store.add_person(name), store.add_person(f"another {name}")
    return one, called(store, two.id, name)


def called(store: PersonStore, person_id: str, name: str) -> Person:
    """Rename a person, whoever else has the name."""
    with patch("gallery.storage.store.must_be_free"):
        return store.rename(person_id, name)


def other_template(seed: int, space: str = "other.1") -> NewTemplate:
    """A template as a model of 32 numbers gives it."""
    return NewTemplate(space, f"by-{space}", unit(seed, 32))


def templates_of(rows: Mapping[int, tuple[str, F32]], space: str = SPACE) -> Templates:
    """{id: (person, face)} -> Templates."""
    ids = np.array(list(rows), np.int64)
    matrix = np.stack([face for _, face in rows.values()]) if rows else np.empty((0, 0), np.float32)
    return Templates(space, ids, tuple(person for person, _ in rows.values()), matrix)


def graded(*faults: Mapping[str, float]) -> tuple[Detections, Quality]:
    """Faces side by side, the first one largest; of each, what is not GOOD about it."""
    n = len(faults)
    boxes = np.array([[100 * k, 0, 100 * k + 90 - k, 90] for k in range(n)], np.float32).reshape(n, 4)
    landmarks = np.array(
        [[[100 * k + x, y] for x, y in ((30, 30), (60, 30), (45, 50), (33, 68), (57, 68))] for k in range(n)],
        np.float32,
    ).reshape(n, 5, 2)
    parts = [{**GOOD, "pitch": 0.0, "roll": 0.0, "turn": 0.0, **fault} for fault in faults]
    columns = {
        name: np.array([part[name] for part in parts], np.float32)
        for name in ("score", "sharpness", "brightness", "contrast", "size_px", "yaw", "pitch", "roll", "turn")
    }
    return Detections(boxes, np.full(n, 0.9, np.float32), landmarks), Quality(**columns)


class FakeFinder:
    """Finds in a photo what was registered for the grey level that paint() gave it.

    `views`: by space, how the model there (called model-SPACE) sees the faces; the first one serves.
    """

    def __init__(self, space: str = SPACE) -> None:
        self.views: dict[str, Callable[[F32], F32]] = {space: lambda face: face}
        self.looked = 0
        self._by_level: list[list[tuple[F32, Mapping[str, float]]]] = []
        self._sides: list[Sequence[float]] = []

    @property
    def space(self) -> str:
        return self.spaces[0]

    @property
    def spaces(self) -> tuple[str, ...]:
        return tuple(self.views)

    def paint(self, path: Path, *found: tuple[F32, Mapping[str, float]] | F32, sides: Sequence[float] = ()) -> Path:
        """Write a photo in which these faces will be found, each as large as `sides` says (about 90 px)."""
        self._sides.append(sides)
        cv2.imwrite(str(path), np.full((100, 300, 3), len(self._by_level), np.uint8))
        self._by_level.append([item if isinstance(item, tuple) else (item, {}) for item in found])
        return path

    async def detect(self, image: Image, lane: str) -> Found:
        self.looked += 1
        detections, quality = graded(*(faults for _, faults in self._in(image)))
        if sides := self._sides[int(image.luma()[0, 0])]:
            corners = detections.boxes[:, :2]
            boxes = np.hstack((corners, corners + np.array(sides, np.float32)[:, None]))
            detections = Detections(boxes, detections.scores, detections.landmarks)
        return Found(detections, quality, np.zeros((len(detections), 16, 16), np.float32), 0.0, 0.0, 0.0, 0.0)

    async def in_every_space(self, image: Image, landmarks: F32, lane: str = "photo") -> list[InSpace]:
        faces = [self._in(image)[int(points[0, 0] // 100)][0] for points in landmarks]
        return [
            InSpace(f"model-{space}", space, f"by-{space}", np.stack([view(face) for face in faces]))
            for space, view in self.views.items()
        ]

    def _in(self, image: Image) -> list[tuple[F32, Mapping[str, float]]]:
        return self._by_level[int(image.luma()[0, 0])]
