"""A kept visit of our one real face, and what becomes of it: the pictures as a service would have kept them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gallery.enrolment.enrol import Gate, Terms
from gallery.errors import EnrolledAlready, NoPhotoAccepted
from gallery.people import NewNegative, NewTemplate
from gallery.storage.store import PersonStore
from recognition.faces import Faces
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser
from streamer.enrolment.visit import enrol_visits
from streamer.errors import KeptVisitsMissing, VisitNotFound
from streamer.kept_visits.pictures import Chip
from streamer.kept_visits.visit import VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source, store_of
from streamer.settings import Settings
from streamer.settings_reading import load
from tests.faces import KNOWN, STRANGERS
from tests.gallery.fakes import near, unit
from tests.streamer.kept_visits.made import change, visit_id


class House:
    """A data folder with a gallery and kept visits, and the models that made them."""

    def __init__(self, settings: Settings, recogniser: Recogniser, store: PersonStore, known: Faces) -> None:
        self.settings = settings
        self.recogniser = recogniser
        self.store = store
        self.embedding = known.embeddings[0]
        landmarks = known.detections.landmarks[0]
        self.chip = Chip(KNOWN.image(), landmarks).jpeg

    def keep(self, *faces: VisitFace, chip: bytes | None = None) -> str:
        event_id = visit_id()
        pictures = {} if chip == b"" else {"face": chip or self.chip, "scene": b"\xff\xd8"}
        with VisitsFile(self.settings.visits_path, key_source(self.settings), make=True) as file:
            file.unlock(encrypt=True)
            file.write([change(event_id, faces=faces, pictures=pictures)])
        return event_id

    def face(self, embedding: np.ndarray, quality: float = 0.8, space: str | None = None) -> VisitFace:
        return VisitFace(embedding, quality, space or self.recogniser.space, "made by these")

    async def enrol(self, name: str, event_id: str, *, force: bool = False):
        threshold = self.recogniser.template_specs[0].identification_threshold
        terms = Terms(Gate(48, 0.25), threshold, force=force, by_hand=False)
        return await enrol_visits(name, [event_id], self.settings, self.recogniser, self.store, terms)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    settings = load(overrides=[f"paths.data={tmp_path}"])
    async with open_recogniser(RecogniserConfig("nano_det", "nano_embed", (), device="cpu")) as recogniser:
        with store_of(settings) as store:
            yield House(settings, recogniser, store, await recogniser.faces(KNOWN.image()))


async def test_whom_a_visit_shows_is_enrolled_by_its_picture_and_its_other_faces(house: House) -> None:
    other, poor = near(house.embedding, 0.75), near(house.embedding, 0.7, 3)
    event_id = house.keep(house.face(house.embedding), house.face(other, 0.7), house.face(poor, 0.1))
    report = await house.enrol("Eileen", event_id)
    assert [path.name for path, _ in report.taken] == [f"{event_id}, its picture", f"{event_id}, face 2"]
    assert [path.name for path, _ in report.left_out] == [f"{event_id}, face 1"]
    assert [(path.name, code) for path, code, _ in report.refused] == [(f"{event_id}, face 3", "quality_too_low")]
    assert report.person.photos == 2
    templates = house.store.templates(house.recogniser.space)
    assert (templates.matrix @ house.embedding).min() > 0.7
    assert len(list(house.store.photos_without_template("another.1"))) == 1, "templates of later models"
    again = await house.enrol("Eileen", event_id)
    assert (again.taken, len(again.already)) == ((), 2)


async def test_faces_of_another_model_are_left_alone_and_the_picture_serves(house: House) -> None:
    report = await house.enrol("Eileen", house.keep(house.face(unit(1, 64), space="another.1")))
    assert len(report.taken) == 1
    assert report.person.templates == {house.recogniser.space: 1}


async def test_a_face_of_somebody_else_in_the_visit_is_refused(house: House) -> None:
    mine = [house.face(near(house.embedding, 0.75, seed), 0.7) for seed in (1, 2)]
    stranger = (await house.recogniser.faces(STRANGERS[0].image())).embeddings[0]
    report = await house.enrol("Eileen", house.keep(*mine, house.face(stranger, 0.6)))
    assert [code for _, code, _ in report.refused] == ["person_differs"]
    assert len(report.taken) == 3


@pytest.mark.parametrize("typed", [str.upper, str.lower])
async def test_a_visit_that_was_said_not_to_be_the_person_is_so_from_now_on(house: House, typed) -> None:
    event_id = house.keep(house.face(house.embedding))
    report = await house.enrol("Eileen", house.keep(house.face(near(house.embedding, 0.75), 0.7), chip=b""))
    template = NewTemplate(house.recogniser.space, "s", house.embedding)
    negative = NewNegative(None, np.zeros((5, 2), np.float32), 0.8, f"event {event_id}", (template,))
    house.store.add_negative(report.person.id, negative)
    again = await house.enrol("Eileen", typed(event_id))
    assert (len(again.taken), again.refused) == (1, ())
    assert (again.taken_back, house.store.list_negatives(report.person.id)) == (1, [])
    assert [entry.action for entry in house.store.audit_entries(report.person.id)][-1] == "negative_removed"


@pytest.mark.parametrize("other", ["photo", "event"])
async def test_what_was_said_of_another_face_like_it_still_refuses(house: House, other) -> None:
    event_id = house.keep(house.face(house.embedding))
    report = await house.enrol("Eileen", house.keep(house.face(near(house.embedding, 0.75), 0.7), chip=b""))
    template = NewTemplate(house.recogniser.space, "s", house.embedding)
    for source in (f"event {event_id}", {"photo": f"photo {'a' * 64}", "event": f"event {visit_id()}"}[other]):
        negative = NewNegative(None, np.zeros((5, 2), np.float32), 0.8, source, (template,))
        house.store.add_negative(report.person.id, negative)
    with pytest.raises(NoPhotoAccepted) as refused:
        await house.enrol("Eileen", event_id)
    assert {code for _, code, _ in refused.value.refused} == {"face_denied"}
    assert len(house.store.list_negatives(report.person.id)) == 2, "nothing was changed"


async def test_who_is_enrolled_under_another_name_is_refused(house: House) -> None:
    event_id = house.keep(house.face(house.embedding))
    await house.enrol("Eileen", event_id)
    with pytest.raises(EnrolledAlready):
        await house.enrol("Grace", event_id)
    assert len((await house.enrol("Grace", event_id, force=True)).taken) == 1


@pytest.mark.parametrize("chip", [b"", b"\xff\xd8 no picture any more"])
async def test_a_visit_without_a_picture_that_opens_says_so(house: House, chip: bytes) -> None:
    with pytest.raises(NoPhotoAccepted, match="image_"):
        await house.enrol("Eileen", house.keep(replace(house.face(house.embedding), quality=0.1), chip=chip))
    assert house.store.people() == []


async def test_a_visit_that_is_not_kept_says_so(house: House) -> None:
    with pytest.raises(KeptVisitsMissing):
        await house.enrol("Eileen", visit_id())
    house.keep(house.face(house.embedding))
    with pytest.raises(VisitNotFound):
        await house.enrol("Eileen", visit_id())
