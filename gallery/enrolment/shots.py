"""Photo files of one enrolment -> the faces in them that may be the person's, as they would be kept.

Runs on the event loop; files and pixels are touched on threads.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from gallery.enrolment.choice import Faces, prominence, whose
from gallery.enrolment.photo_reading import InFlight, Read, of_file
from gallery.enrolment.quality_gate import Gate, Pick, pass_faces, standing
from gallery.errors import PhotoRefused, SeveralFaces
from gallery.people import NewPhoto, NewTemplate
from gallery.storage.rows import jpeg
from recognition.align import loose_chip
from recognition.arrays import F32
from recognition.errors import CodedError, EmbeddingUnusable, ImageError
from recognition.faces import InSpace
from recognition.image import Image
from recognition.recogniser import Found
from recognition.serving.lanes import PHOTO

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

    async def in_every_space(self, image: Image, landmarks: F32, lane: str = PHOTO) -> list[InSpace]: ...


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
    *,
    read: Read = of_file,
    in_flight: InFlight | None = None,
) -> Album:
    """Look at each photo that is not `known` (by its SHA-256) and that was not given before.

    `progress` is told (done, total). Raises what is no photo's fault.
    """
    in_flight = in_flight or InFlight()
    done = 0

    async def looked_at(path: Path) -> _Looked:
        nonlocal done
        async with in_flight.seat():
            found = await _outcome(path, read, finder, gate, pick, known, in_flight)
            done += 1
            progress(done, len(paths))
            return found

    progress(0, len(paths))
    try:
        async with asyncio.TaskGroup() as photos:
            looks = [photos.create_task(looked_at(path), name="photo") for path in paths]
    except BaseExceptionGroup as faults:
        raise only_fault(faults) from None
    return _in_order(paths, [look.result() for look in looks])


def only_fault(faults: BaseExceptionGroup[BaseException]) -> BaseException:
    """What one of several photos met, where they all met such: a model that is gone is gone for all of them."""
    first: BaseException = faults
    while isinstance(first, BaseExceptionGroup):
        coded, rest = first.split(CodedError)
        if len(first.exceptions) > 1 and (coded is None or rest is not None):
            return faults
        first = first.exceptions[0]
    return first


class _Looked(NamedTuple):
    """`found` None: its digest is known."""

    digest: str
    found: Taken | CodedError | None


async def _outcome(
    path: Path, read: Read, finder: FaceFinder, gate: Gate, pick: Pick, known: frozenset[str], in_flight: InFlight
) -> _Looked:
    digest = ""
    try:
        photo = await asyncio.to_thread(read, path)
        digest = photo.digest
        if digest in known:
            return _Looked(digest, None)
        async with in_flight.room_for(photo.size_px):
            image = await asyncio.to_thread(photo.decode)
            return _Looked(digest, await look(image, digest, finder, gate, pick))
    except (ImageError, PhotoRefused, EmbeddingUnusable) as error:
        return _Looked(digest, error.with_traceback(None))


def _in_order(paths: Sequence[Path], looks: Sequence[_Looked]) -> Album:
    """Of photos that are the same the first one counts."""
    album = Album({}, [], {})
    seen = set[str]()
    for path, (digest, found) in zip(paths, looks, strict=True):
        if found is None or digest in seen:
            album.already.append(path)
        elif isinstance(found, CodedError):
            album.refused[path] = found
        else:
            album.taken[path] = found
            seen.add(digest)
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


async def look(image: Image, digest: str, finder: FaceFinder, gate: Gate, pick: Pick = None) -> Taken:
    """The faces of one picture. Raises PhotoRefused, EmbeddingUnusable, and what the finder does."""
    found = standing(await finder.detect(image, PHOTO))
    passed = pass_faces(prominence(found.detections, image.width, image.height), found.quality, gate, pick)
    shots = []
    for face in passed.faces[:_MOST_FACES]:
        try:
            shots.append(await _shoot(image, digest, finder, found, face))
        except EmbeddingUnusable:
            if face == passed.faces[0]:
                raise
    return Taken(tuple(shots), passed.clear, len(found.detections))


async def _shoot(image: Image, digest: str, finder: FaceFinder, found: Found, face: int) -> Shot:
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
    chip, moved = await asyncio.to_thread(_chip, image, landmarks)
    score = float(found.quality.score[face])
    return Shot(NewPhoto(chip, moved, digest, tuple(templates.values()), score), tuple(blind))


def _chip(image: Image, landmarks: F32) -> tuple[bytes, F32]:
    """As a JPEG: of thousands of photos a quarter of a megabyte each would be too much."""
    chip, moved = loose_chip(image, landmarks)
    return jpeg(chip), moved
