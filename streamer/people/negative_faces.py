"""Faces that are said not to be a person, of photos and kept visits, as every model that may serve sees them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gallery.enrolment.enrol import Gate
from gallery.enrolment.photo_reading import Read, of_file
from gallery.enrolment.quality_gate import Pick
from gallery.enrolment.unlike import face_in
from gallery.errors import NegativeRefused
from gallery.people import NewNegative, NewTemplate, Person
from gallery.storage.store import PersonStore
from recognition.align import CHIP_TEMPLATE
from recognition.errors import CodedError
from recognition.image import decode_image
from recognition.models.ensemble import halves
from recognition.models.manager import ModelManager
from recognition.recogniser import Recogniser
from recognition.specs.spec import EmbedderSpec
from streamer.kept_visits.visit import VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.model_layer.coverage import embedders_behind
from streamer.model_layer.enrolling import naming_thresholds
from streamer.model_layer.patient_finder import PatientFinder
from streamer.pipeline.match_policy import enrolling_threshold
from streamer.process import key_source
from streamer.settings import Settings

Networks = Callable[[], Awaitable[Recogniser]]
"""Those that look at faces; asked for where a face needs them alone."""


@dataclass(frozen=True, slots=True)
class Unlike:
    """Who it is that a face is not, and by what it is looked at. `told`: of what is not had yet."""

    person: Person
    settings: Settings
    store: PersonStore
    manager: ModelManager
    networks: Networks
    told: Callable[[str], None] = lambda _: None


async def of_photo(unlike: Unlike, path: Path, pick: Pick, read: Read = of_file) -> NewNegative:
    """Raises ImageError, PhotoRefused, EmbeddingUnusable and NegativeRefused."""
    recogniser = await unlike.networks()
    templates = await asyncio.to_thread(unlike.store.all_templates, recogniser.space)
    mine = np.array([owner == unlike.person.id for owner in templates.person_ids], bool)
    enrol = unlike.settings.gallery.enrol
    negative = await face_in(
        path,
        PatientFinder(recogniser),
        Gate(enrol.min_face_px, enrol.min_quality),
        pick,
        templates.matrix[mine],
        enrolling_threshold(unlike.settings, recogniser),
        read,
    )
    await asyncio.to_thread(_check, unlike, negative)
    return negative


async def of_visit(unlike: Unlike, event_id: str) -> NewNegative:
    """Raises KeptVisitsError, VisitNotFound, MasterKeyError, ModelNotFound and NegativeRefused."""
    seen = await asyncio.to_thread(_kept, unlike.settings, unlike.manager, event_id)
    negative = await _in_spaces(unlike, seen)
    await asyncio.to_thread(_check, unlike, negative)
    return negative


def _kept(settings: Settings, manager: ModelManager, event_id: str) -> NewNegative:
    """Its best faces, and the best one's picture. Raises KeptVisitsError, VisitNotFound, MasterKeyError, ModelNotFound
    and NegativeRefused.
    """
    with VisitsFile(settings.visits_path, key_source(settings)) as file:
        visit = file.visit(event_id.upper())
        faces, pictures = file.faces(visit.event_id), file.pictures(visit.event_id)
    if not faces:
        raise NegativeRefused(
            f"of visit {visit.event_id} no face is kept: nothing good was seen of it yet, or it can't be opened any "
            "more; give a photo of that face, or another visit of it"
        )
    templates = tuple(template for face in faces for template in _as_matched(face, manager))
    quality = max(face.quality for face in faces)
    return NewNegative(
        None if pictures is None else pictures.face, CHIP_TEMPLATE, quality, f"event {visit.event_id}", templates
    )


def _as_matched(face: VisitFace, manager: ModelManager) -> list[NewTemplate]:
    """In the spaces that such a face is matched in: of two models that have to agree, each one's half in its own."""
    by_two = [
        spec
        for spec in manager.specs.values()
        if isinstance(spec, EmbedderSpec)
        and spec.merge == "agree"
        and (spec.space, spec.embedding_size) == (face.space, len(face.embedding))
    ]
    found = [NewTemplate(face.space, face.signature, face.embedding)]
    for spec in by_two[:1]:
        members = embedders_behind(manager, spec.name)
        parts = halves(face.embedding[None], [member.embedding_size for member in members])
        found += [
            NewTemplate(member.space, face.signature, part[0]) for member, part in zip(members, parts, strict=True)
        ]
    return found


async def _in_spaces(unlike: Unlike, negative: NewNegative) -> NewNegative:
    """With templates of the spaces that its embedder was not of, made of its chip where that is possible now."""
    wanted = naming_thresholds(unlike.settings, unlike.manager).keys()
    there = {template.space for template in negative.templates}
    if not wanted - there or negative.jpeg is None:
        return negative
    try:
        chip = await asyncio.to_thread(decode_image, negative.jpeg, negative.source)
        seen = await PatientFinder(await unlike.networks()).in_every_space(chip, negative.landmarks[None])
    except CodedError as error:
        if there & unlike.person.templates.keys():  # else it is refused
            unlike.told(f"{negative.source}: no templates for other models than its own yet ({error})")
        return negative
    more = [
        NewTemplate(one.space, one.signature, one.embeddings[0])
        for one in seen
        if one.space not in there and one.embeddings[0].any()
    ]
    return replace(negative, templates=(*negative.templates, *more))


def _check(unlike: Unlike, negative: NewNegative) -> None:
    """Raises NegativeRefused where it is the person's own, or nothing of the person can be compared with it."""
    person = unlike.person
    for photo in unlike.store.photos(person.id):
        if negative.source == f"photo {photo.digest}":
            raise NegativeRefused(
                f"this photo is enrolled as {person.name}'s (photo {photo.id}); if it is of somebody else, take it "
                f"away first: whosthere people remove-photo {person.id} {photo.id}"
            )
    spaces = sorted({template.space for template in negative.templates})
    if person.templates and not person.templates.keys() & set(spaces):
        raise NegativeRefused(
            f"{negative.source} was seen by a model of {', '.join(spaces)}, and {person.name} ({person.id}) has "
            f"templates of {', '.join(sorted(person.templates))} alone: they can't be compared; enrol the person with "
            "that model, or give a photo of that face"
        )
