"""Enrolment: photo files -> faces -> quality gate -> store; good photos are kept, bad ones told with reasons.

Runs on the event loop; files, pixels and the store are touched on threads. A template of the wrong person
makes false names from then on, so a photo that stands alone among three or more is refused as well.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from gallery.errors import NoPhotoAccepted, PersonDiffers, PersonNotFound, PhotoRefused
from gallery.gate import Gate, Pick, choose_face
from gallery.likeness import agreement, lookalikes
from gallery.people import NewPhoto, Person, clean_name
from gallery.store import PersonStore
from recognition.align import loose_chip
from recognition.errors import CodedError, EmbeddingSpaceMismatch, EmbeddingUnusable, ImageError, ImageMissing
from recognition.faces import Faces
from recognition.image import ArrayImage, Image, read_image

__all__ = ["EnrolReport", "FaceFinder", "Gate", "Pick", "Refused", "Taken", "enrol"]

_MOST_TOLD = 5


class FaceFinder(Protocol):
    """What enrolment needs of recognition.recogniser.Recogniser."""

    @property
    def space(self) -> str: ...

    async def faces(self, image: Image, lane: str = "photo") -> Faces: ...


class Taken(NamedTuple):
    path: Path
    quality: float


class Refused(NamedTuple):
    """`why` is one line without the path: what was wrong, what to do."""

    path: Path
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class EnrolReport:
    """`person` is as stored now; `already` are photos that the person had before or that were given twice."""

    person: Person
    taken: tuple[Taken, ...]
    already: tuple[Path, ...]
    refused: tuple[Refused, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Shots:
    """The photos of one enrolment as sorted so far."""

    passed: dict[Path, NewPhoto]
    already: list[Path]
    refused: dict[Path, CodedError]


async def enrol(
    name: str,
    paths: Sequence[Path],
    finder: FaceFinder,
    store: PersonStore,
    gate: Gate,
    pick: Pick = None,
    *,
    threshold: float,
) -> EnrolReport:
    """Enrol a person from photos, or add photos to the one who has this name (or id) already.

    `threshold`: the cosine from which on two faces count as one person's, the one that the service names by.
    Raises NoPhotoAccepted (then nothing was written), NameInvalid, PersonAmbiguous, and whatever the store or
    the finder raises that is not one photo's fault.
    """
    name = clean_name(name)
    person = await asyncio.to_thread(_person_of, name, store)
    known = await asyncio.to_thread(store.digests, person.id, finder.space) if person else frozenset()
    shots = await _sort(paths, known, finder, gate, pick)
    warnings = await asyncio.to_thread(_compare, shots, person, finder.space, store, threshold)
    refused = tuple(_told(path, shots.refused[path]) for path in dict.fromkeys(paths) if path in shots.refused)
    photos = list(shots.passed.values())
    if not photos and not (person and shots.already):
        raise NoPhotoAccepted(_nothing_accepted(refused), refused)
    if person is None:
        person = await asyncio.to_thread(store.add_person, name, photos)
    elif photos:
        person = await asyncio.to_thread(store.add_photos, person.id, photos)
    taken = tuple(Taken(path, photo.quality) for path, photo in shots.passed.items())
    return EnrolReport(person, taken, tuple(shots.already), refused, tuple(warnings))


def _person_of(name: str, store: PersonStore) -> Person | None:
    try:
        return store.find(name)
    except PersonNotFound:
        return None


async def _sort(paths: Sequence[Path], known: frozenset[str], finder: FaceFinder, gate: Gate, pick: Pick) -> _Shots:
    shots = _Shots({}, [], {})
    seen = set(known)
    for path in paths:
        try:
            image, digest = await asyncio.to_thread(_read, path)
            if digest in seen:
                shots.already.append(path)
                continue
            shots.passed[path] = await _shoot(image, digest, finder, gate, pick)
            seen.add(digest)
        except (ImageError, PhotoRefused, EmbeddingUnusable) as error:
            shots.refused[path] = error
    return shots


def _read(path: Path) -> tuple[ArrayImage, str]:
    image = read_image(path)
    try:
        with path.open("rb") as file:
            return image, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageMissing(f"{path} can't be read ({error.strerror}); check the path") from None


async def _shoot(image: ArrayImage, digest: str, finder: FaceFinder, gate: Gate, pick: Pick) -> NewPhoto:
    faces = await finder.faces(image)
    face = choose_face(faces, gate, pick)
    if not faces.embeddings[face].any():
        raise EmbeddingUnusable(
            "the embedder gave NaN, infinity or zeros for the face; try `whosthere models selftest`"
        )
    chip, landmarks = await asyncio.to_thread(loose_chip, image, faces.detections.landmarks[face])
    score = float(faces.quality.score[face])
    return NewPhoto(chip, landmarks, digest, faces.embeddings[face], finder.space, score)


def _compare(shots: _Shots, person: Person | None, space: str, store: PersonStore, threshold: float) -> list[str]:
    """Move the photos that stand alone to the refused; what is odd about the others, in words."""
    if not shots.passed:
        return []
    paths = list(shots.passed)
    new = np.stack([photo.embedding for photo in shots.passed.values()])
    enrolled = store.templates(space)
    if len(enrolled) and enrolled.matrix.shape[1] != new.shape[1]:
        raise EmbeddingSpaceMismatch(
            f"the gallery's templates of {space} have {enrolled.matrix.shape[1]} numbers, this model gives "
            f"{new.shape[1]}; check the model's spec"
        )
    own = np.array([person is not None and owner == person.id for owner in enrolled.person_ids], bool)
    agreed = agreement(new, enrolled.matrix[own], threshold)
    for number, cosine in agreed.strays.items():
        del shots.passed[paths[number]]
        shots.refused[paths[number]] = PersonDiffers(
            f"the face resembles none of the others enrolled with it (similarity {cosine:.2f} at most, "
            f"{threshold:.2f} is wanted); give photos of one person"
        )
    warnings = []
    if agreed.divided:
        warnings.append(
            "not all of these photos resemble each other or those enrolled before (a similarity of "
            f"{threshold:.2f} is wanted): make sure that they show one person"
        )
    kept = [number for number in range(len(paths)) if number not in agreed.strays]
    owners = [owner for owner, mine in zip(enrolled.person_ids, own, strict=True) if not mine]
    for person_id, cosine in lookalikes(new[kept], enrolled.matrix[~own], owners, threshold).items():
        warnings.append(
            f"resembles {store.name_of(person_id)} ({person_id}), who is enrolled already (similarity "
            f"{cosine:.2f}): if this is the same person, forget one of the two"
        )
    return warnings


def _told(path: Path, error: CodedError) -> Refused:
    return Refused(path, error.code, str(error).removeprefix(str(path)).lstrip(": "))


def _nothing_accepted(refused: Sequence[Refused]) -> str:
    if not refused:
        return "no photo was given; give at least one"
    told = [f"{path}: {why} [{code}]" for path, code, why in refused[:_MOST_TOLD]]
    more = f" | and {len(refused) - _MOST_TOLD} more" if len(refused) > _MOST_TOLD else ""
    return f"no photo was accepted, nobody was enrolled: {' | '.join(told)}{more}"
