"""Enrolment: photo files -> faces -> quality gate -> store; good photos are kept, bad ones told with reasons.

Runs on the event loop; files, pixels and the store are touched on threads. A template of the wrong person
makes false names from then on, so a photo that stands alone among three or more is refused as well.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from gallery.errors import NoPhotoAccepted, PersonDiffers, PersonNotFound, PhotoRefused
from gallery.gate import Gate, Pick, choose_face, standing
from gallery.likeness import agreement, lookalikes
from gallery.people import NewPhoto, NewTemplate, Person, clean_name, space_mismatch
from gallery.store import PersonStore
from recognition.align import loose_chip
from recognition.arrays import F32
from recognition.errors import CodedError, EmbeddingUnusable, ImageError, ImageMissing
from recognition.faces import InSpace
from recognition.image import ArrayImage, Image, read_image
from recognition.recogniser import Found

__all__ = ["EnrolReport", "FaceFinder", "Gate", "Pick", "Refused", "Taken", "enrol"]

_MOST_TOLD = 5


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
    """The photos of one enrolment as sorted so far. `known`: by space, the digests that the person has there.

    `blind`: the models that could make nothing of a photo which others could use.
    """

    known: Mapping[str, frozenset[str]]
    passed: dict[Path, NewPhoto]
    already: list[Path]
    refused: dict[Path, CodedError]
    blind: dict[Path, tuple[str, ...]]

    def refuse_stray(self, path: Path, cosine: float, threshold: float) -> None:
        del self.passed[path]
        self.refused[path] = PersonDiffers(
            f"the face resembles none of the others enrolled with it (similarity {cosine:.2f} at most, "
            f"{threshold:.2f} is wanted); give photos of one person"
        )


class _Shot(NamedTuple):
    photo: NewPhoto
    blind: tuple[str, ...]


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
    space, spaces = finder.space, finder.spaces
    person, known = await asyncio.to_thread(_as_enrolled, name, spaces, store)
    shots = await _sort(paths, known, finder, space, gate, pick)
    warnings = await asyncio.to_thread(_compare, shots, person, space, store, threshold)
    warnings += _blind_spots(shots)
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


def _as_enrolled(
    name: str, spaces: Sequence[str], store: PersonStore
) -> tuple[Person | None, dict[str, frozenset[str]]]:
    """Who has the name already, and by space the digests of the photos that have their template there."""
    try:
        person = store.find(name)
    except PersonNotFound:
        return None, {space: frozenset() for space in spaces}
    return person, {space: store.digests(person.id, space) for space in spaces}


async def _sort(
    paths: Sequence[Path], known: Mapping[str, frozenset[str]], finder: FaceFinder, space: str, gate: Gate, pick: Pick
) -> _Shots:
    shots = _Shots(known, {}, [], {}, {})
    seen = set(frozenset.intersection(*known.values()))
    for path in paths:
        try:
            image, digest = await asyncio.to_thread(_read, path)
            if digest in seen:
                shots.already.append(path)
                continue
            photo, shots.blind[path] = await _shoot(image, digest, finder, space, gate, pick)
            seen.add(digest)
            if all(digest in known.get(template.space, ()) for template in photo.templates):
                shots.already.append(path)
            else:
                shots.passed[path] = photo
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


async def _shoot(image: ArrayImage, digest: str, finder: FaceFinder, space: str, gate: Gate, pick: Pick) -> _Shot:
    found = standing(await finder.detect(image, "photo"))
    face = choose_face(found.detections, found.quality, gate, pick)
    landmarks = found.detections.landmarks[face]
    templates: dict[str, NewTemplate] = {}
    blind = []
    for seen in await finder.in_every_space(image, landmarks[None]):
        (embedding,) = seen.embeddings
        if not embedding.any():
            blind.append(seen.model)
        else:
            templates.setdefault(seen.space, NewTemplate(seen.space, seen.signature, embedding))
    if space not in templates:
        raise EmbeddingUnusable(
            "the embedder gave NaN, infinity or zeros for the face; try `whosthere models selftest`"
        )
    chip, moved = await asyncio.to_thread(loose_chip, image, landmarks)
    score = float(found.quality.score[face])
    return _Shot(NewPhoto(chip, moved, digest, tuple(templates.values()), score), tuple(blind))


def _compare(shots: _Shots, person: Person | None, space: str, store: PersonStore, threshold: float) -> list[str]:
    """Move the photos that stand alone to the refused; what is odd about the others, in words."""
    if not shots.passed:
        return []
    embeddings = {path: _embedding_in(space, photo) for path, photo in shots.passed.items()}
    enrolled = store.templates(space)
    dim = len(next(iter(embeddings.values())))
    if len(enrolled) and enrolled.matrix.shape[1] != dim:
        raise space_mismatch(space, enrolled.matrix.shape[1], dim)
    own = np.array([person is not None and owner == person.id for owner in enrolled.person_ids], bool)
    # A photo that lacks its template of another space alone is among those of before: no witness for itself.
    paths = [path for path in embeddings if shots.passed[path].digest not in shots.known[space]]
    for path in embeddings.keys() - set(paths):
        _recognise(path, embeddings[path], enrolled.matrix[own], shots, threshold)
    if not paths:
        return []
    new = np.stack([embeddings[path] for path in paths])
    agreed = agreement(new, enrolled.matrix[own], threshold)
    for number, cosine in agreed.strays.items():
        shots.refuse_stray(paths[number], cosine, threshold)
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


def _recognise(path: Path, embedding: F32, before: F32, shots: _Shots, threshold: float) -> None:
    """Refuse a photo of before where its face is another one now: another detector may find another one largest."""
    nearest = float((before @ embedding).max()) if len(before) else -1.0
    if nearest < threshold:
        shots.refuse_stray(path, nearest, threshold)


def _embedding_in(space: str, photo: NewPhoto) -> F32:
    return next(template.embedding for template in photo.templates if template.space == space)


def _blind_spots(shots: _Shots) -> list[str]:
    """Which models get no template of which photos, a line each."""
    missed: dict[str, list[Path]] = {}
    for path, models in shots.blind.items():
        for model in models if path not in shots.refused else ():
            missed.setdefault(model, []).append(path)
    return [
        f"model {model} gave NaN, infinity or zeros for {_listed(paths)}: it gets no template of them; try "
        f"`whosthere models selftest {model}`"
        for model, paths in missed.items()
    ]


def _listed(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _MOST_TOLD} more" if len(paths) > _MOST_TOLD else ""
    return ", ".join(str(path) for path in paths[:_MOST_TOLD]) + more


def _told(path: Path, error: CodedError) -> Refused:
    return Refused(path, error.code, str(error).removeprefix(str(path)).lstrip(": "))


def _nothing_accepted(refused: Sequence[Refused]) -> str:
    if not refused:
        return "no photo was given; give at least one"
    told = [f"{path}: {why} [{code}]" for path, code, why in refused[:_MOST_TOLD]]
    more = f" | and {len(refused) - _MOST_TOLD} more" if len(refused) > _MOST_TOLD else ""
    return f"no photo was accepted, nobody was enrolled: {' | '.join(told)}{more}"
