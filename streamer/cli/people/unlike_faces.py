"""The faces that `people not` means, of photos and kept visits, as every model that may serve sees them."""

from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from gallery.enrolment.enrol import Gate
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
from streamer.cli.options import note
from streamer.cli.people.unlike import event_source, is_event
from streamer.kept_visits.visit import VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.model_layer.coverage import embedders_behind
from streamer.model_layer.enrolling import naming_thresholds
from streamer.model_layer.patient_finder import PatientFinder
from streamer.model_layer.setup import make_manager, open_for_enrolment
from streamer.pipeline.match_policy import enrolling_threshold
from streamer.process import key_source
from streamer.settings import Settings


async def faces_of(
    settings: Settings, store: PersonStore, person: Person, seen: Sequence[str], pick: Pick
) -> list[NewNegative]:
    """All that are meant, or none; the networks are loaded where a face needs it."""
    manager = make_manager(settings)
    wanted = naming_thresholds(settings, manager).keys()
    negatives = []
    async with AsyncExitStack() as stack:
        stack.callback(manager.close)
        networks = _Networks(settings, manager, stack)
        for one in seen:
            if is_event(one):
                negative = await _in_spaces(_of_visit(settings, manager, one), person, wanted, networks)
            else:
                negative = await _of_photo(Path(one), settings, store, person, pick, networks)
            _check(store, person, negative)
            negatives.append(negative)
    return negatives


class _Networks:
    """Loaded when they are asked for."""

    def __init__(self, settings: Settings, manager: ModelManager, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._manager = manager
        self._stack = stack
        self._recogniser: Recogniser | None = None

    async def recogniser(self) -> Recogniser:
        if self._recogniser is None:
            self._recogniser = await self._stack.enter_async_context(open_for_enrolment(self._settings, self._manager))
        return self._recogniser


async def _of_photo(
    path: Path, settings: Settings, store: PersonStore, person: Person, pick: Pick, networks: _Networks
) -> NewNegative:
    """Raises ImageError and PhotoRefused."""
    recogniser = await networks.recogniser()
    templates = store.all_templates(recogniser.space)
    mine = np.array([owner == person.id for owner in templates.person_ids], bool)
    enrol = settings.gallery.enrol
    return await face_in(
        path,
        PatientFinder(recogniser),
        Gate(enrol.min_face_px, enrol.min_quality),
        pick,
        templates.matrix[mine],
        enrolling_threshold(settings, recogniser),
    )


def _of_visit(settings: Settings, manager: ModelManager, event_id: str) -> NewNegative:
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
        None if pictures is None else pictures.face, CHIP_TEMPLATE, quality, event_source(visit.event_id), templates
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


async def _in_spaces(
    negative: NewNegative, person: Person, wanted: Collection[str], networks: _Networks
) -> NewNegative:
    """With templates of the spaces that its embedder was not of, made of its chip where that is possible now."""
    there = {template.space for template in negative.templates}
    if not set(wanted) - there or negative.jpeg is None:
        return negative
    try:
        chip = decode_image(negative.jpeg, negative.source)
        seen = await PatientFinder(await networks.recogniser()).in_every_space(chip, negative.landmarks[None])
    except CodedError as error:
        if there & person.templates.keys():  # else it is refused
            note(f"{negative.source}: no templates for other models than its own yet ({error})")
        return negative
    more = [
        NewTemplate(one.space, one.signature, one.embeddings[0])
        for one in seen
        if one.space not in there and one.embeddings[0].any()
    ]
    return replace(negative, templates=(*negative.templates, *more))


def _check(store: PersonStore, person: Person, negative: NewNegative) -> None:
    """Raises NegativeRefused where it is the person's own, or nothing of the person can be compared with it."""
    for photo in store.photos(person.id):
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
