"""/api/v1/people/PERSON/photos and templates: by what a person is known. On the loop; the gallery is on the desk's
threads, photos go through the service's own networks.
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from gallery.errors import EnrolledAlready, NameInvalid, NoPhotoAccepted, PersonAmbiguous, PersonNotFound, PhotoNotFound
from gallery.people import KeptPhoto, KeptTemplate
from gallery.storage.store import PersonStore
from recognition.errors import Overloaded
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
    Choice,
    EnrolmentView,
    FromVisit,
    NamedView,
    Operator,
    PersonId,
    RowId,
    Viewer,
    example,
)
from streamer.errors import KeptVisitsError
from streamer.naming.places import places_that_know
from streamer.people.enrolment_document import document
from streamer.people.studio import Studio
from streamer.webrtc.errors import MediaTypeUnsupported

_NAMED = (*OF_GALLERY, PersonNotFound, PersonAmbiguous, NameInvalid)
_ENROLLING = (NoPhotoAccepted, EnrolledAlready, KeptVisitsError, Overloaded, MediaTypeUnsupported)


class PhotoView(BaseModel):
    """`sha256`: of the file, whose name is not kept; `spaces`: those in which it has its template."""

    model_config = example(
        {"id": 17, "quality": 0.83, "added_at": 1763674511.7, "sha256": "0f" * 32, "spaces": ["nano_embed.2"]}
    )

    id: int
    quality: float
    added_at: float
    sha256: str
    spaces: list[str]

    @classmethod
    def of(cls, photo: KeptPhoto) -> "PhotoView":
        return cls(
            id=photo.id,
            quality=round(photo.quality, 4),
            added_at=photo.added_at,
            sha256=photo.digest,
            spaces=list(photo.spaces),
        )


class PhotosPage(BaseModel):
    person: NamedView
    photos: list[PhotoView]
    next: str | None


class TemplateView(BaseModel):
    """A photo's template, its numbers aside. `source`: what it was made of; `signature`: by which models."""

    model_config = example(
        {
            "photo": 17,
            "space": "nano_embed.2",
            "size": 128,
            "signature": "5b2fa8bd0cb1ad0b",
            "quality": 0.83,
            "source": "photo",
            "created_at": 1763674511.7,
        }
    )

    photo: int
    space: str
    size: int
    signature: str
    quality: float
    source: str
    created_at: float

    @classmethod
    def of(cls, template: KeptTemplate) -> "TemplateView":
        return cls(
            photo=template.photo_id,
            space=template.space,
            size=template.dim,
            signature=template.signature,
            quality=round(template.quality, 4),
            source=template.source,
            created_at=template.created_at,
        )


class TemplatesPage(BaseModel):
    person: NamedView
    templates: list[TemplateView]
    next: str | None


class RemovedView(BaseModel):
    """`photos`: how many are left; with none the person is not recognised. `retrain`: a classifier was taught with this
    person's photos, and goes on with them until it is trained anew.
    """

    model_config = example(
        {"person": {"id": "p7f3k2m9q1xz4", "name": "Ada Lovelace"}, "removed": 17, "photos": 2, "retrain": False}
    )

    person: NamedView
    removed: int
    photos: int
    retrain: bool


def routes(desk: GalleryDesk, studio: Studio) -> APIRouter:
    photos = APIRouter(prefix="/api/v1/people/{person}", tags=["photos"])
    settings = studio.settings

    @photos.get("/photos", response_model=PhotosPage, responses=problem_answers(*_NAMED, CursorInvalid))
    async def list_photos(person: PersonId, caller: Viewer, limit: Limit = USUAL, after: After = None) -> PhotosPage:
        """A person's photos, in the order of enrolment."""
        behind = -1 if after is None else int(position_of(after, int)[0])

        def page(store: PersonStore) -> PhotosPage:
            found = store.find(person)
            left = [photo for photo in store.photos(found.id) if photo.id > behind]
            shown, end = page_of(left, limit, lambda one: (one.id,))
            return PhotosPage(person=NamedView.of(found), photos=list(map(PhotoView.of, shown)), next=end)

        return await desk.run(actor_of(caller), page)

    @photos.post(
        "/photos",
        response_model=EnrolmentView,
        responses=problem_answers(*_NAMED, *_ENROLLING),
        openapi_extra=body(json=described(FromVisit), form=described_form(Choice, {"images": "many"})),
    )
    async def add_photos(person: PersonId, caller: Operator, request: Request) -> EnrolmentView:
        """Add photos to somebody who is enrolled: those of a form, or the faces of a kept visit (JSON). Good ones are
        kept, of the others it is told why; where none is accepted, `refused` of the problem says so.
        """
        kind, actor = media_type_of(request, JSON, FORM), actor_of(caller)
        found = await desk.run(actor, lambda store: store.find(person))
        if kind == FORM:
            async with studio.admitted(), form_of(request, MOST_PHOTOS) as form, studio.few, desk.own(actor) as store:
                given, sent = fields_of(form, Choice, ["images"]), photos_of(form)
                report = await studio.enrol(found.id, sent, store, "who is enrolled", given.pick, force=given.force)
        else:
            visit = await json_of(request, FromVisit)
            async with studio.few, desk.own(actor) as store:
                report = await studio.enrol_visits(
                    found.id, [visit.event_id], store, "who is enrolled", force=visit.force
                )
        return EnrolmentView.model_validate(document(report))

    @photos.get(
        "/photos/{photo}/chip",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **problem_answers(*_NAMED, PhotoNotFound)},
    )
    async def show_chip(person: PersonId, photo: RowId, caller: Viewer, request: Request) -> Response:
        """The picture that is kept of a photo: the face alone, as a JPEG."""

        def chip(store: PersonStore) -> bytes:
            found = store.find(person)
            kept = store.chip(found.id, photo)
            if kept is None:
                raise PhotoNotFound(f"of photo {photo} of {found.id} no picture was kept (gallery.keep_chips)")
            return kept

        return tagged_picture(request, await desk.run(actor_of(caller), chip))

    @photos.delete("/photos/{photo}", response_model=RemovedView, responses=problem_answers(*_NAMED, PhotoNotFound))
    async def remove_photo(person: PersonId, photo: RowId, caller: Operator) -> RemovedView:
        """Erase one of a person's photos with its templates."""

        def removed(store: PersonStore) -> RemovedView:
            found = store.find(person)
            store.remove_photo(found.id, photo)
            known_as = {found.id, found.profile.external_id or found.id}
            return RemovedView(
                person=NamedView.of(found),
                removed=photo,
                photos=len(store.photos(found.id)),
                retrain=bool(places_that_know(settings, known_as)),
            )

        return await desk.run(actor_of(caller), removed)

    _add_templates(photos, desk)
    return photos


def _add_templates(photos: APIRouter, desk: GalleryDesk) -> None:
    @photos.get("/templates", response_model=TemplatesPage, responses=problem_answers(*_NAMED, CursorInvalid))
    async def list_templates(
        person: PersonId, caller: Viewer, limit: Limit = USUAL, after: After = None
    ) -> TemplatesPage:
        """What a person is compared by: which models made templates of which photos. The numbers stay here."""
        behind = (-1, "") if after is None else tuple(position_of(after, int, str))

        def page(store: PersonStore) -> TemplatesPage:
            found = store.find(person)
            left = [one for one in store.kept_templates(found.id) if (one.photo_id, one.space) > behind]
            shown, end = page_of(left, limit, lambda one: (one.photo_id, one.space))
            return TemplatesPage(person=NamedView.of(found), templates=list(map(TemplateView.of, shown)), next=end)

        return await desk.run(actor_of(caller), page)
