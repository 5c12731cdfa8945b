"""`people not`: a face that is not a person, though it was taken for that one. A running service notices at once."""

import hashlib
import re
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
import uvloop

from gallery.enrolment.enrol import Gate
from gallery.enrolment.quality_gate import Pick
from gallery.enrolment.unlike import face_in
from gallery.errors import NegativeNotFound, NegativeRefused
from gallery.people import KeptNegative, NewNegative, NewTemplate, Person
from gallery.storage.store import PersonStore
from recognition.align import CHIP_TEMPLATE
from recognition.errors import CodedError, ImageMissing
from recognition.image import decode_image
from recognition.models.ensemble import halves
from recognition.models.manager import ModelManager
from recognition.recogniser import Recogniser
from recognition.specs.spec import EmbedderSpec
from streamer.cli.options import (
    LOG_IS_READ,
    AsJson,
    ConfigFile,
    Overrides,
    Who,
    note,
    print_json,
    print_line,
    settings_of,
)
from streamer.cli.people.summary import negative_summary
from streamer.kept_visits.visit import VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.model_layer.coverage import embedders_behind
from streamer.model_layer.enrolling import naming_thresholds
from streamer.model_layer.patient_finder import PatientFinder
from streamer.model_layer.setup import make_manager, open_for_enrolment
from streamer.pipeline.match_policy import enrolling_threshold
from streamer.process import key_source, open_gallery
from streamer.settings import Settings

_EVENT = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def not_person(
    who: Who,
    seen: Annotated[
        list[str],
        typer.Argument(
            help="Where the face was seen: the event_id of a kept visit, or a photo; with --undo also a number.",
            metavar="EVENT_ID|PHOTO",
        ),
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take it back, by the same event_id or photo, or its number in people show.")
    ] = False,
    pick: Annotated[
        Literal["largest"] | None, typer.Option(help="Which face is meant where a photo shows several.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Say that a face is not this person: from now on it is not given that name, and no face that is more like it is.

    The face is kept, encrypted, with the person, and goes with the person; or with whoever it shows, if that one is
    forgotten.
    """
    settings = settings_of(config, overrides, log_level="warning")
    with open_gallery(settings) as store:
        person = store.find(who)
        if undo:
            _undo(store, person, seen, json=json)
            return
        for path in (Path(one) for one in seen if not _is_event(one)):
            if not path.exists():
                raise ImageMissing(f"{path} is neither a photo nor the event_id of a visit, 26 letters and digits long")
        before = {kept.id for kept in store.list_negatives(person.id)}
        negatives = uvloop.run(_faces(settings, store, person, seen, pick))
        kept = store.add_negatives(person.id, negatives)
    if json:
        rows = [negative_summary(one) for one in kept]
        print_json({"person": {"id": person.id, "name": person.name}, "negatives": rows})
        return
    for given, one in zip(seen, kept, strict=True):
        how = "already kept as" if one.id in before else "kept as"
        print_line(f"{given} is not {person.name} ({person.id}): {how} negative {one.id}")


def _undo(store: PersonStore, person: Person, seen: Sequence[str], *, json: bool) -> None:
    kept = store.list_negatives(person.id)
    found = {_meant(person, kept, one).id: one for one in seen}
    emptied = store.remove_negatives(person.id, list(found))
    left = len(kept) - len(found)
    if json:
        print_json({"person": {"id": person.id, "name": person.name}, "removed": list(found), "left": left})
    else:
        for number, given in found.items():
            print_line(f"{given} may be {person.name} ({person.id}) again: negative {number} is erased; {left} left")
    if not emptied:
        note(LOG_IS_READ)


def _meant(person: Person, kept: Sequence[KeptNegative], seen: str) -> KeptNegative:
    """The one of this number, event or photo. Raises NegativeNotFound and ImageMissing."""
    sources = {_event_source(seen)} if _is_event(seen) else set[str]()
    if not sources and Path(seen).is_file():
        sources = {f"photo {_digest(Path(seen))}"}
    for one in kept:
        if one.source in sources or (not sources and seen == str(one.id)):
            return one
    raise NegativeNotFound(
        f"nothing says that {seen} is not {person.name} ({person.id}); see whosthere people show {person.id} for what "
        "does"
    )


async def _faces(
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
            if _is_event(one):
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
        None if pictures is None else pictures.face, CHIP_TEMPLATE, quality, _event_source(visit.event_id), templates
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


def _is_event(seen: str) -> bool:
    return _EVENT.fullmatch(seen.upper()) is not None and not Path(seen).exists()


def _event_source(event_id: str) -> str:
    return f"event {event_id.upper()}"


def _digest(path: Path) -> str:
    """Raises ImageMissing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageMissing(f"{path} can't be read ({error.strerror}); check the path") from None
