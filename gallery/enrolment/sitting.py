"""Who sits before a camera, or in a clip: pictures one after another in, the face of that one person in each out.

Pure; any thread. Two people are never mixed: it is the one who is by far the largest in nearly all pictures, or
nobody.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gallery.enrolment.shots import Shot, Taken, embedding_in
from gallery.errors import PersonDiffers, PhotoRefused, SeveralFaces
from gallery.people import NewPhoto
from recognition.arrays import F32

_NEARLY_ALL = 0.9
# Two pictures of one face that follow each other; no two people's were so near (docs/accuracy.md).
_UNBROKEN = 0.7


@dataclass(slots=True, eq=False)
class _Seen:
    """One person of the pictures: where, and the faces' sum and last."""

    paths: list[Path]
    total: F32
    last: F32

    @property
    def middle(self) -> F32:
        return np.asarray(self.total / np.linalg.norm(self.total), np.float32)

    def likeness(self, face: F32, threshold: float) -> float:
        """A cosine, from `threshold` on it is the same person."""
        to_last = float(self.last @ face)
        return max(float(self.middle @ face), to_last if to_last >= _UNBROKEN else -1.0, -1.0)

    def add(self, path: Path, face: F32) -> None:
        self.paths.append(path)
        self.total = self.total + face
        self.last = face


def follow(
    pictures: Mapping[Path, Taken], space: str, threshold: float
) -> tuple[dict[Path, Shot], dict[Path, PhotoRefused]]:
    """The sitter's face in each picture, and why there is none in the others. Faces are one person's from a cosine of
    `threshold` on.

    Raises SeveralFaces where nobody is by far the largest in nearly all of them.
    """
    crowded = [path for path, taken in pictures.items() if not taken.clear]
    seen = _people({path: taken for path, taken in pictures.items() if taken.clear}, space, threshold)
    if not seen and not crowded:
        return {}, {}
    sitter = max(seen, key=lambda one: len(one.paths), default=None)
    if sitter is None or len(sitter.paths) < _NEARLY_ALL * len(pictures):
        raise SeveralFaces(_told(len(pictures), len(crowded), 0 if sitter is None else len(sitter.paths)))
    chosen: dict[Path, Shot] = {}
    refused: dict[Path, PhotoRefused] = {
        path: SeveralFaces("several faces are about as large; let one person be there alone") for path in crowded
    }
    mine = set(sitter.paths)
    for path, taken in pictures.items():
        if path in refused:
            continue
        cosines = [float(sitter.middle @ embedding_in(space, shot.photo)) for shot in taken.shots]
        if path not in mine or cosines[0] < threshold:
            refused[path] = PersonDiffers("the largest face is not that of the person who is there most of the time")
        elif max(cosines[1:], default=-1.0) >= threshold:  # a mirror, a poster, a twin
            refused[path] = SeveralFaces("two faces in it are alike; let one person be there alone")
        else:
            chosen[path] = taken.shots[0]._replace(photo=_by_chip(taken.shots[0].photo))
    return chosen, refused


def _people(pictures: Mapping[Path, Taken], space: str, threshold: float) -> list[_Seen]:
    """The largest face of each picture to whom it belongs."""
    seen: list[_Seen] = []
    for path, taken in pictures.items():
        face = embedding_in(space, taken.shots[0].photo)
        nearest = max(seen, key=lambda one: one.likeness(face, threshold), default=None)
        if nearest is not None and nearest.likeness(face, threshold) >= threshold:
            nearest.add(path, face)
        else:
            seen.append(_Seen([path], face, face))
    return seen


def _told(pictures: int, crowded: int, of_one: int) -> str:
    if crowded > pictures - crowded - of_one:
        why = f"in {crowded} of {pictures} pictures several faces are about as large"
    else:
        why = f"in {pictures - crowded - of_one} of {pictures} pictures the largest face is another person's"
    return f"{why}, and whose enrolment it is is not clear; let one person be there alone, and near"


def _by_chip(photo: NewPhoto) -> NewPhoto:
    """A picture of a clip has no file: it is known again by the piece that is kept of it."""
    kept = photo.chip if isinstance(photo.chip, bytes) else photo.landmarks.tobytes()
    return replace(photo, digest=hashlib.sha256(kept).hexdigest())
