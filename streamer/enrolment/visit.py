"""Kept visits -> somebody enrolled: of each its picture of the face, and its other kept faces as they were embedded.

Runs on the event loop; visits and the store are touched on threads.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from gallery.enrolment.enrol import EnrolReport, FaceFinder, Gate, Terms, settled
from gallery.enrolment.settling import profile_of
from gallery.enrolment.shots import Album, Shot, look
from gallery.errors import NameTaken, PersonAmbiguous, PhotoRefused, QualityTooLow
from gallery.people import NewPhoto, NewTemplate, Profile
from gallery.storage.store import PersonStore
from recognition.errors import CodedError, EmbeddingUnusable, ImageError
from recognition.image import decode_image
from streamer.kept_visits.visit import VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source
from streamer.settings import Settings

_ANY = Gate(0.0, 0.0)  # the kept piece is enlarged: how good the face was, the visit says


async def enrol_visits(
    who: str | Profile,
    event_ids: Sequence[str],
    settings: Settings,
    finder: FaceFinder,
    store: PersonStore,
    terms: Terms,
    all_of_them: Sequence[str] = (),
) -> EnrolReport:
    """Of visits of one person, as gallery.enrolment.enrol.enrol(). Raises KeptVisitsError, MasterKeyError besides.
    all_of_them: the visits that are said to be the person's, where these are the best of many.

    Whoever said of these visits that they are not this person's, they are: the newer word counts. Somebody new may have
    been enrolled by one of these faces under this name: what was cut off, or is said once more, goes on with that one.
    """
    profile = profile_of(who)
    terms = replace(terms, despite=event_sources([*event_ids, *all_of_them]))
    shots: dict[Path, Shot] = {}
    refused: dict[Path, CodedError] = {}
    for event_id in event_ids:
        await _look_at(event_id.upper(), settings, finder, terms, shots, refused)
    paths = [*shots, *refused]
    try:
        report = await settled(profile, Album({}, [], refused), paths, finder, store, terms, shots)
    except NameTaken:
        person_id = await asyncio.to_thread(_enrolled_by, store, profile.name, shots)
        if person_id is None or terms.whom != "somebody new":
            raise
        profile, terms = replace(profile, name=person_id), replace(terms, whom="who is enrolled")
        report = await settled(profile, Album({}, [], refused), paths, finder, store, terms, shots)
    return report


async def _look_at(
    event_id: str,
    settings: Settings,
    finder: FaceFinder,
    terms: Terms,
    shots: dict[Path, Shot],
    refused: dict[Path, CodedError],
) -> None:
    """Its picture and its faces go to the ones or the others."""
    picture, faces = await asyncio.to_thread(_kept, settings, event_id)
    path = Path(f"{event_id}, its picture")
    try:
        shots[path] = await _of_picture(picture, faces, path, finder, terms)
    except (ImageError, PhotoRefused, EmbeddingUnusable) as error:
        refused[path] = error
    for number, face in enumerate((face for face in faces if face.space == finder.space), 1):
        path = Path(f"{event_id}, face {number}")
        try:
            check_quality(face.quality, terms.gate)
            shots[path] = Shot(_without_chip(face), ())
        except QualityTooLow as error:
            refused[path] = error


def _enrolled_by(store: PersonStore, name: str, shots: Mapping[Path, Shot]) -> str | None:
    """Who has this name, and one of these very faces."""
    given = {shot.photo.digest for shot in shots.values()}
    with suppress(PersonAmbiguous):
        person = store.lookup(name)
        if person is not None and any(photo.digest in given for photo in store.photos(person.id)):
            return person.id
    return None


def event_sources(event_ids: Iterable[str]) -> frozenset[str]:
    """As negatives have them that were made of these visits."""
    return frozenset(f"event {event_id.upper()}" for event_id in event_ids)


def take_away(store: PersonStore, person_id: str, event_id: str, settings: Settings) -> int:
    """A person's photos that were made of a visit which is somebody else's; how many there were. Blocks. Raises
    KeptVisitsError, MasterKeyError.
    """
    picture, faces = _kept(settings, event_id)
    made = {_digest_of(picture), *(_digest_of(face.embedding.tobytes()) for face in faces)}
    wrong = [photo.id for photo in store.photos(person_id) if photo.digest in made]
    for photo_id in wrong:
        store.remove_photo(person_id, photo_id)
    return len(wrong)


def check_quality(quality: float, gate: Gate) -> None:
    if quality < gate.min_quality:
        raise QualityTooLow(
            f"the face is too poor (quality {quality:.2f} where {gate.min_quality:.2f} is wanted); give another visit"
        )


def _kept(settings: Settings, event_id: str) -> tuple[bytes, tuple[VisitFace, ...]]:
    with VisitsFile(settings.visits_path, key_source(settings)) as file:
        event_id = file.visit(event_id).event_id
        pictures = file.pictures(event_id)
        return b"" if pictures is None else pictures.face, file.faces(event_id)


async def _of_picture(
    picture: bytes, faces: tuple[VisitFace, ...], path: Path, finder: FaceFinder, terms: Terms
) -> Shot:
    image = await asyncio.to_thread(decode_image, picture, str(path))
    quality = faces[0].quality if faces else 1.0
    check_quality(quality, terms.gate)
    taken = await look(image, _digest_of(picture), finder, _ANY, "largest")
    return taken.shots[0]._replace(photo=replace(taken.shots[0].photo, quality=quality))


def _without_chip(face: VisitFace) -> NewPhoto:
    """No picture of it is kept: it serves in its own space alone."""
    template = NewTemplate(face.space, face.signature, face.embedding)
    digest = _digest_of(face.embedding.tobytes())
    return NewPhoto(None, np.zeros((5, 2), np.float32), digest, (template,), face.quality)


def _digest_of(content: bytes) -> str:
    """By which the gallery knows a photo again."""
    return hashlib.sha256(content).hexdigest()
