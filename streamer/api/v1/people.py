"""/api/v1/people: who is enrolled, and what is said of them. On the loop; the gallery is on the desk's threads."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from gallery.enrolment.enrol import EnrolReport
from gallery.errors import (
    ConsentInvalid,
    EnrolledAlready,
    ExternalIdTaken,
    NameInvalid,
    NameTaken,
    NoPhotoAccepted,
    PersonAmbiguous,
    PersonNotFound,
    ThresholdInvalid,
)
from gallery.people import OwnThreshold, Person, Profile, name_key
from gallery.storage.store import PersonStore
from recognition.errors import ModelNotFound, Overloaded
from streamer.api.errors import CursorInvalid, PreconditionFailed
from streamer.api.gallery_desk import GalleryDesk, actor_of
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.uploads import (
    FORM,
    JSON,
    body,
    described,
    described_form,
    fields_of,
    form_of,
    json_of,
    media_type_of,
    photos_of,
)
from streamer.api.v1.entity_tags import IF_MATCH, changed_since, etag_of, hold_to, tagged
from streamer.api.v1.paging import USUAL, After, Limit, page_of, position_of
from streamer.api.v1.person_views import (
    EnrolmentView,
    ErasureView,
    NewPerson,
    NewPersonForm,
    NewPersonView,
    Operator,
    PeoplePage,
    PersonChange,
    PersonId,
    PersonView,
    Said,
    Viewer,
)
from streamer.erasure.erase import erase
from streamer.erasure.report import Report
from streamer.errors import DataFolderUnwritable, KeptVisitsError
from streamer.people.enrolment_document import document
from streamer.people.forgetting import whom_to_forget
from streamer.people.own_threshold import own_threshold
from streamer.people.profile_change import KEPT
from streamer.people.studio import Studio
from streamer.webrtc.errors import MediaTypeUnsupported

MOST_PHOTOS = 100  # in one request

_NAMED = (PersonNotFound, PersonAmbiguous, NameInvalid)
_SAID = (NameInvalid, NameTaken, ExternalIdTaken, ThresholdInvalid, ConsentInvalid, ModelNotFound)
_AGAIN: dict[str, Any] = {"model": NewPersonView, "description": "Enrolled of this visit before, under this name."}
_ENROLLING = (NoPhotoAccepted, EnrolledAlready, KeptVisitsError, Overloaded, MediaTypeUnsupported)

Text = Annotated[str | None, Query(max_length=200)]


def routes(desk: GalleryDesk, studio: Studio) -> APIRouter:
    people = APIRouter(prefix="/api/v1/people", tags=["people"])
    _of_everybody(people, desk, studio)
    _of_one(people, desk, studio)
    return people


def _of_everybody(people: APIRouter, desk: GalleryDesk, studio: Studio) -> None:
    @people.get("", response_model=PeoplePage, responses=problem_answers(*OF_GALLERY, CursorInvalid))
    async def list_people(
        caller: Viewer,
        limit: Limit = USUAL,
        after: After = None,
        name: Annotated[Text, Query(description="what the name contains; capitals and blanks don't count")] = None,
        tag: Annotated[Text, Query(description="one of the tags")] = None,
        external_id: Annotated[Text, Query(description="what another system calls the person")] = None,
    ) -> PeoplePage:
        """Everybody who is enrolled, or whom the filters leave, by name."""
        behind = None if after is None else tuple(map(str, position_of(after, str, str)))

        def is_wanted(person: Person) -> bool:
            profile = person.profile
            return (
                (name is None or name_key(name) in name_key(person.name))
                and (tag is None or tag in profile.tags)
                and (external_id is None or external_id == profile.external_id)
            )

        def page(store: PersonStore) -> PeoplePage:
            return _page(list(filter(is_wanted, store.people())), sorted(store.unreadable), limit, behind)

        return await desk.run(actor_of(caller), page)

    @people.post(
        "",
        status_code=201,
        response_model=NewPersonView,
        responses={200: _AGAIN, **problem_answers(*OF_GALLERY, *_SAID, *_ENROLLING)},
        openapi_extra=body(json=described(NewPerson), form=described_form(NewPersonForm, {"images": "many"})),
    )
    async def add_person(caller: Operator, request: Request) -> Response:
        """Enrol somebody new: by the name alone (JSON), by photos (a form), or by whom a kept visit shows (JSON with
        `from_visit`). Refused where the name is somebody's already, and where no photo is accepted: `refused` says of
        each why. Whoever has been enrolled of this very visit under this name is the one meant.
        """
        actor = actor_of(caller)
        if media_type_of(request, JSON, FORM) == FORM:
            async with studio.admitted(), form_of(request, MOST_PHOTOS) as form, studio.few, desk.own(actor) as store:
                given = fields_of(form, NewPersonForm, ["images"], ["tags"])
                who = given.change().of(Profile(given.name), time.time())
                report = await studio.enrol(who, photos_of(form), store, "somebody new", given.pick, force=given.force)
            return _added(report.person, report)
        said = await json_of(request, NewPerson)
        who = said.change(_own(said, studio)).of(Profile(said.name), time.time())
        if said.from_visit is None:
            return _added(await desk.run(actor, lambda store: store.add_person(who)))
        async with studio.few, desk.own(actor) as store:
            report = await studio.enrol_visits(who, [said.from_visit], store, "somebody new", force=said.force)
        return _added(report.person, report)


def _of_one(people: APIRouter, desk: GalleryDesk, studio: Studio) -> None:
    @people.get("/{person}", response_model=PersonView, responses=problem_answers(*OF_GALLERY, *_NAMED))
    async def show_person(person: PersonId, caller: Viewer, request: Request) -> Response:
        """One person, with an entity tag."""
        found = await desk.run(actor_of(caller), lambda store: store.find(person))
        return tagged(request, PersonView.of(found))

    @people.patch(
        "/{person}",
        response_model=PersonView,
        responses=problem_answers(*OF_GALLERY, *_NAMED, *_SAID, PreconditionFailed),
        openapi_extra=IF_MATCH,
    )
    async def change_person(person: PersonId, said: PersonChange, caller: Operator, request: Request) -> Response:
        """Say something else of a person: the name, the external id, tags, a threshold of their own, the consent, and
        whether they are ignored: known, and never told of. What is left out stays as it was.
        """
        change = said.change(_own(said, studio), said.name if "name" in said.model_fields_set else KEPT)

        def changed(store: PersonStore) -> Person:
            found, now = store.find(person), time.time()
            hold_to(request, PersonView.of(found))

            def edit(profile: Profile) -> Profile:
                if "if-match" in request.headers and profile != found.profile:  # changed by another process just now
                    raise changed_since()
                return change.of(profile, now)

            return store.change(found.id, edit, "renamed" if said.model_fields_set == {"name"} else "changed")

        return tagged(request, PersonView.of(await desk.run(actor_of(caller), changed)))

    @people.delete(
        "/{person}",
        response_model=ErasureView,
        responses=problem_answers(*OF_GALLERY, *_NAMED, PreconditionFailed, DataFolderUnwritable),
        openapi_extra=IF_MATCH,
    )
    async def forget_person(person: PersonId, caller: Operator, request: Request) -> ErasureView:
        """Erase a person everywhere: keys, photos, templates, name, kept visits, waiting events, retained MQTT topics.
        It is looked afterwards for what is left; once more by the id, what was left is erased.
        """
        actor = actor_of(caller)

        def whom(store: PersonStore) -> str:
            if "if-match" in request.headers:
                hold_to(request, PersonView.of(store.find(person)))
            return whom_to_forget(store, person)[0]

        def forgotten() -> Report:
            if "if-match" in request.headers:  # it has waited for its turn, for seconds maybe
                with desk.opened(actor) as store:
                    hold_to(request, PersonView.of(store.find(person_id)))
            return erase([person_id], studio.settings, actor=actor)

        person_id = await desk.run(actor, whom)
        report = await desk.slowly(forgotten)
        return ErasureView.model_validate({"forgotten": person_id} | report.document())


def _own(said: Said, studio: Studio) -> OwnThreshold | None:
    own = said.threshold
    return None if own is None else own_threshold(studio.settings, studio.recogniser.manager, own.cosine, own.space)


def _page(people: list[Person], left_out: list[str], limit: int, behind: tuple[str, ...] | None) -> PeoplePage:
    people.sort(key=lambda person: (person.name.casefold(), person.id))
    left = [one for one in people if behind is None or (one.name.casefold(), one.id) > behind]
    shown, end = page_of(left, limit, lambda person: (person.name.casefold(), person.id))
    return PeoplePage(people=[PersonView.of(person) for person in shown], next=end, left_out=left_out)


def _added(person: Person, report: EnrolReport | None = None) -> Response:
    view = PersonView.of(person)
    enrolment = None if report is None else EnrolmentView.model_validate(document(report))
    added = NewPersonView(**view.model_dump(), enrolment=enrolment)
    headers = {"Location": f"/api/v1/people/{person.id}", "ETag": etag_of(view)}
    is_new = report is None or not report.added_to
    return JSONResponse(added.model_dump(mode="json"), 201 if is_new else 200, headers)
