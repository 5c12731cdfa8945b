"""Aligned faces to train on: photos and a teaching detector in, crops with a margin out, kept on disk.

Blocks for minutes the first time, for a file's opening afterwards. Crops are larger than what a network eats by
MARGIN on every side, so that augmentation can move, turn and stretch them without inventing pixels.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from recognition.align import ARCFACE_TEMPLATE, CROP_SIZE, similarity_transforms
from recognition.arrays import U8
from recognition.photos import PhotoSet, central_face
from recognition.training.teacher import TeachingDetector

I64 = NDArray[np.int64]
MARGIN = 12
SIDE = CROP_SIZE + 2 * MARGIN


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """n aligned faces. pixels (n,SIDE,SIDE,3) uint8 BGR; people (n,) int64: whose they are, counted from 0."""

    pixels: U8
    people: I64

    def __post_init__(self) -> None:
        if self.pixels.shape != (len(self.people), SIDE, SIDE, 3):
            raise ValueError(f"pixels: want ({len(self.people)}, {SIDE}, {SIDE}, 3), got {self.pixels.shape}")


def inner(pixels: U8) -> U8:
    """The part of crops (…,SIDE,SIDE,3) that a network eats, without the margin."""
    return pixels[..., MARGIN : MARGIN + CROP_SIZE, MARGIN : MARGIN + CROP_SIZE, :]


def load_crops(photos: PhotoSet, detector: TeachingDetector, cache: Path, say: Callable[[str], None]) -> Crops:
    """Every photo's face nearest to its centre, aligned; photos without a face are left out."""
    key = hashlib.sha256(f"{photos.digest} {detector.spec.weights_digest} {SIDE}".encode()).hexdigest()[:16]
    pixels_file, people_file = cache / f"crops-{key}.npy", cache / f"crops-{key}.json"
    if not people_file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        crops, names = [], []
        for number, name in enumerate(photos.names):
            if number % 1000 == 0:
                say(f"aligning photo {number} of {len(photos.names)}")
            image = photos.read(name)
            found = detector.detect(image)
            landmarks = central_face(found, image)
            if len(landmarks):
                crops.append(_crop(image.bgr(), landmarks))
                names.append(photos.person_of(name))
        np.save(pixels_file, np.stack(crops))
        people_file.write_text(json.dumps(names))
    names = json.loads(people_file.read_text())
    _, people = np.unique(names, return_inverse=True)
    return Crops(np.load(pixels_file, mmap_mode="r"), people.astype(np.int64))


def _crop(bgr: U8, landmarks: NDArray[np.float32]) -> U8:
    (transform,) = similarity_transforms(landmarks, ARCFACE_TEMPLATE + MARGIN)
    warped = cv2.warpAffine(bgr, transform, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(warped, dtype=np.uint8)
