"""Photo files of one enrolment -> the faces in them that may be the person's, as they would be kept.

Runs on the event loop; files and pixels are touched on threads.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from gallery.enrolment.choice import Faces, prominence, whose
from gallery.enrolment.quality_gate import Gate, Pick, pass_faces, standing
from gallery.errors import PhotoRefused, SeveralFaces
from gallery.people import NewPhoto, NewTemplate
from recognition.align import loose_chip
from recognition.arrays import F32
from recognition.errors import CodedError, EmbeddingUnusable, ImageError, ImageMissing
from recognition.faces import InSpace
from recognition.image import ArrayImage, Image, read_image
from recognition.recogniser import Found

# Beyond these a photo's faces are those of a crowd.
_MOST_FACES = 8


class FaceFinder(Protocol):
    """What enrolment needs of recognition.recogniser.Recogniser."""

    @property
    def space(self) -> str:
        """The serving model's space, in which the photos of an enrolment are compared."""
        ...

    @property
    def spaces(self) -> tuple[str, ...]:
        """All spaces that in_every_space() answers in."""
        ...

    async def detect(self, image: Image, lane: str) -> Found: ...

    async def in_every_space(self, image: Image, landmarks: F32, lane: str = "photo") -> list[InSpace]: ...


class Shot(NamedTuple):
    """One face as it would be kept; `blind`: the models that could make nothing of it, while others could."""

    photo: NewPhoto
    blind: tuple[str, ...]


class Taken(NamedTuple):
    """The faces of one photo, the most prominent first, of `seen` that were found; `clear`: see choice.Faces."""

    shots: tuple[Shot, ...]
    clear: bool
    seen: int


@dataclass(frozen=True, slots=True, eq=False)
class Album:
    """The photos of one enrolment, each in one of the three."""

    taken: dict[Path, Taken]
    already: list[Path]
    refused: dict[Path, CodedError]


async def take(
    paths: Sequence[Path],
    finder: FaceFinder,
    gate: Gate,
    pick: Pick,
    known: frozenset[str],
    progress: Callable[[int, int], None],
) -> Album:
    """Look at each photo that is not `known` (by its SHA-256) and that was not given before.

    `progress` is told (done, total).
    """
    album = Album({}, [], {})
    seen = set(known)
    for number, path in enumerate(paths):
        progress(number, len(paths))
        try:
            image, digest = await asyncio.to_thread(_read, path)
            if digest in seen:
                album.already.append(path)
                continue
            album.taken[path] = await _look(image, digest, finder, gate, pick)
            seen.add(digest)
        except (ImageError, PhotoRefused, EmbeddingUnusable) as error:
            album.refused[path] = error
    progress(len(paths), len(paths))
    return album


def choose(album: Album, before: F32, space: str, threshold: float) -> dict[Path, Shot]:
    """The person's face of each photo, by whose(); those in which it is not clear are refused."""
    paths = list(album.taken)
    faces = [
        Faces(np.stack([embedding_in(space, shot.photo) for shot in taken.shots]), taken.clear)
        for taken in album.taken.values()
    ]
    chosen: dict[Path, Shot] = {}
    for path, face in zip(paths, whose(faces, before, threshold), strict=True):
        if face is None:
            album.refused[path] = SeveralFaces(_unclear(album.taken[path], compared=len(before) > 0 or len(paths) > 1))
        else:
            chosen[path] = album.taken[path].shots[face]
    return chosen


def embedding_in(space: str, photo: NewPhoto) -> F32:
    return next(template.embedding for template in photo.templates if template.space == space)


def _unclear(taken: Taken, *, compared: bool) -> str:
    told = "none is by far the largest"
    if taken.clear:
        told = "the largest is not the one that is like the person's other photos"
    elif compared:
        told += " or the only one that is like the person's other photos"
    return (
        f"{taken.seen} faces were found, and whose photo it is is not clear, {told}; crop the photo to one face, "
        "or take the largest with --pick largest"
    )


def _read(path: Path) -> tuple[ArrayImage, str]:
    image = read_image(path)
    try:
        with path.open("rb") as file:
            return image, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageMissing(f"{path} can't be read ({error.strerror}); check the path") from None


async def _look(image: ArrayImage, digest: str, finder: FaceFinder, gate: Gate, pick: Pick) -> Taken:
    found = standing(await finder.detect(image, "photo"))
    passed = pass_faces(prominence(found.detections, image.width, image.height), found.quality, gate, pick)
    shots = []
    for face in passed.faces[:_MOST_FACES]:
        try:
            shots.append(await _shoot(image, digest, finder, found, face))
        except EmbeddingUnusable:
            if face == passed.faces[0]:
                raise
    return Taken(tuple(shots), passed.clear, len(found.detections))


async def _shoot(image: ArrayImage, digest: str, finder: FaceFinder, found: Found, face: int) -> Shot:
    landmarks = found.detections.landmarks[face]
    templates: dict[str, NewTemplate] = {}
    blind = []
    for seen in await finder.in_every_space(image, landmarks[None]):
        (embedding,) = seen.embeddings
        if not embedding.any():
            blind.append(seen.model)
        else:
            templates.setdefault(seen.space, NewTemplate(seen.space, seen.signature, embedding))
    if finder.space not in templates:
        raise EmbeddingUnusable(
            "the embedder gave NaN, infinity or zeros for the face; try `whosthere models selftest`"
        )
    chip, moved = await asyncio.to_thread(loose_chip, image, landmarks)
    score = float(found.quality.score[face])
    return Shot(NewPhoto(chip, moved, digest, tuple(templates.values()), score), tuple(blind))
