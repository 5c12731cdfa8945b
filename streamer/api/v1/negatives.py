"""/api/v1/people/PERSON/negatives: faces of which somebody said that they are not that person. On the loop; the gallery
is on the desk's threads, photos go through the service's own networks.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from gallery.enrolment.photo_reading import Read
from gallery.enrolment.quality_gate import Pick
from gallery.errors import NameInvalid, NegativeNotFound, NegativeRefused, PersonAmbiguous, PersonNotFound, PhotoRefused
from gallery.people import KeptNegative, NewNegative, Person
from gallery.storage.store import PersonStore
from recognition.errors import ImageError, ModelNotFound, Overloaded
from recognition.recogniser import Recogniser
from streamer.api.errors import CursorInvalid
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
from streamer.api.v1.entity_tags import tagged_picture
from streamer.api.v1.paging import USUAL, After, Limit, page_of, position_of
from streamer.api.v1.people import MOST_PHOTOS
from streamer.api.v1.person_views import (
    EventId,
    NamedView,
    Operator,
    PersonId,
    Picked,
    RowId,
    Viewer,
    example,
    strict_example,
)
from streamer.errors import KeptVisitsError
from streamer.people.negative_faces import Networks, Unlike, of_photo, of_visit
from streamer.people.studio import Studio
from streamer.webrtc.errors import MediaTypeUnsupported

_NAMED = (*OF_GALLERY, PersonNotFound, PersonAmbiguous, NameInvalid)
_LOOKED_AT = (NegativeRefused, ImageError, PhotoRefused, KeptVisitsError, ModelNotFound, Overloaded)


class NegativeView(BaseModel):
    """`source`: where the face was seen, `event ID` or `photo SHA-256`; `spaces`: in which it is compared."""

    model_config = example(
        {
            "id": 4,
            "source": "event 01KBAGZ0M2T4V6X8Y0A2C4E6G8",
            "quality": 0.71,
            "created_at": 1763674511.7,
            "spaces": ["nano_embed.2"],
        }
    )

    id: int
    source: str
    quality: float
    created_at: float
    spaces: list[str]

    @classmethod
    def of(cls, negative: KeptNegative) -> "NegativeView":
        return cls(
            id=negative.id,
            source=negative.source,
            quality=round(negative.quality, 4),
            created_at=negative.created_at,
            spaces=list(negative.spaces),
        )


class NegativesPage(BaseModel):
    person: NamedView
    negatives: list[NegativeView]
    next: str | None


class KeptNegatives(BaseModel):
    """One each, in the order given; a face that was kept before stays as it was."""

    person: NamedView
    negatives: list[NegativeView]


class SeenAt(BaseModel):
    """A kept visit whose face is not the person's."""

    model_config = strict_example({"event_id": "01KBAGZ0M2T4V6X8Y0A2C4E6G8"})

    event_id: EventId


def routes(desk: GalleryDesk, studio: Studio) -> APIRouter:
    negatives = APIRouter(prefix="/api/v1/people/{person}/negatives", tags=["negatives"])

    @negatives.get("", response_model=NegativesPage, responses=problem_answers(*_NAMED, CursorInvalid))
    async def list_negatives(
        person: PersonId, caller: Viewer, limit: Limit = USUAL, after: After = None
    ) -> NegativesPage:
        """The faces that were said not to be this person, the oldest first."""
        behind = -1 if after is None else int(position_of(after, int)[0])

        def page(store: PersonStore) -> NegativesPage:
            found = store.find(person)
            left = [one for one in store.list_negatives(found.id) if one.id > behind]
            shown, end = page_of(left, limit, lambda one: (one.id,))
            return NegativesPage(person=NamedView.of(found), negatives=list(map(NegativeView.of, shown)), next=end)

        return await desk.run(actor_of(caller), page)

    @negatives.post(
        "",
        status_code=201,
        response_model=KeptNegatives,
        responses=problem_answers(*_NAMED, *_LOOKED_AT, MediaTypeUnsupported),
        openapi_extra=body(json=described(SeenAt), form=described_form(Picked, {"images": "many"})),
    )
    async def add_negatives(person: PersonId, caller: Operator, request: Request) -> KeptNegatives:
        """Say that a face is not this person: that of a kept visit (JSON), or those of photos (a form), all or none.
        From now on it is not given that name, and no face that is more like it is.
        """
        if media_type_of(request, JSON, FORM) == JSON:
            seen = await json_of(request, SeenAt)
            return await said(actor_of(caller), person, lambda unlike: _of_visit(unlike, seen.event_id))
        async with studio.admitted(), form_of(request, MOST_PHOTOS) as form:
            pick, sent = fields_of(form, Picked, ["images"]).pick, photos_of(form)
            return await said(actor_of(caller), person, lambda unlike: _of_photos(unlike, sent, pick))

    async def said(
        actor: str, person: str, faces_of: Callable[[Unlike], Awaitable[list[NewNegative]]]
    ) -> KeptNegatives:
        found = await desk.run(actor, lambda store: store.find(person))
        async with studio.alone, studio.few, desk.own(actor) as store:
            unlike = Unlike(found, studio.settings, store, studio.recogniser.manager, _same(studio.recogniser))
            made = await faces_of(unlike)
        return await desk.run(actor, partial(_keep, found, made))

    @negatives.get(
        "/{negative}/chip",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **problem_answers(*_NAMED, NegativeNotFound)},
    )
    async def show_negative(person: PersonId, negative: RowId, caller: Viewer, request: Request) -> Response:
        """The picture that is kept of such a face, as a JPEG."""

        def chip(store: PersonStore) -> bytes:
            found = store.find(person)
            kept = store.negative_chip(found.id, negative)
            if kept is None:
                raise NegativeNotFound(f"of negative {negative} of {found.id} no picture was kept (gallery.keep_chips)")
            return kept

        return tagged_picture(request, await desk.run(actor_of(caller), chip))

    @negatives.delete(
        "/{negative}", status_code=204, response_class=Response, responses=problem_answers(*_NAMED, NegativeNotFound)
    )
    async def remove_negative(person: PersonId, negative: RowId, caller: Operator) -> None:
        """Take it back: the face may be this person after all. It is erased."""
        await desk.run(actor_of(caller), lambda store: store.remove_negative(store.find(person).id, negative))

    return negatives


async def _of_visit(unlike: Unlike, event_id: str) -> list[NewNegative]:
    return [await of_visit(unlike, event_id)]


async def _of_photos(unlike: Unlike, sent: Mapping[Path, Read], pick: Pick) -> list[NewNegative]:
    return [await of_photo(unlike, path, pick, read) for path, read in sent.items()]


def _same(recogniser: Recogniser) -> Networks:
    async def networks() -> Recogniser:
        return recogniser

    return networks


def _keep(person: Person, made: list[NewNegative], store: PersonStore) -> KeptNegatives:
    kept = store.add_negatives(person.id, made)
    return KeptNegatives(person=NamedView.of(person), negatives=[NegativeView.of(one) for one in kept])
