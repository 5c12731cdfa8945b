"""/api/v1/people: who is enrolled. On the loop; the gallery is read and written on the desk's thread."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict

from gallery.errors import PersonAmbiguous, PersonNotFound
from gallery.people import Person
from gallery.storage.store import PersonStore
from streamer.access.guard import Caller, needs
from streamer.api.errors import CursorInvalid
from streamer.api.gallery_desk import GalleryDesk
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.v1.entity_tags import tagged
from streamer.api.v1.paging import USUAL, After, Limit, cursor_of, position_of

_EXAMPLE: dict[str, Any] = {
    "id": "p7f3k2m9q1xz",
    "name": "Ada Lovelace",
    "external_id": "4711",
    "tags": ["staff"],
    "ignored": False,
    "enrolled_at": 1763674511.7,
    "photos": 3,
    "templates": {"nano_embed-2": 3},
}

PersonId = Annotated[str, Path(max_length=200, description="a person's id, or name", examples=["p7f3k2m9q1xz"])]
Viewer = Annotated[Caller, Depends(needs("viewer"))]
Operator = Annotated[Caller, Depends(needs("operator"))]


class PersonView(BaseModel):
    """Somebody who is enrolled; `templates`: how many by embedding space."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: str
    name: str
    external_id: str | None
    tags: list[str]
    ignored: bool
    enrolled_at: float
    photos: int
    templates: dict[str, int]

    @classmethod
    def of(cls, person: Person) -> "PersonView":
        profile = person.profile
        return cls(
            id=person.id,
            name=person.name,
            external_id=profile.external_id,
            tags=list(profile.tags),
            ignored=profile.ignored,
            enrolled_at=person.created_at,
            photos=person.photos,
            templates=dict(person.templates),
        )


class PeoplePage(BaseModel):
    people: list[PersonView]
    next: str | None


def routes(desk: GalleryDesk) -> APIRouter:
    people = APIRouter(prefix="/api/v1/people", tags=["people"])

    @people.get("", response_model=PeoplePage, responses=problem_answers(*OF_GALLERY, CursorInvalid))
    async def list_people(caller: Viewer, limit: Limit = USUAL, after: After = None) -> PeoplePage:
        """Everybody who is enrolled, by name."""
        behind = None if after is None else tuple(map(str, position_of(after, str, str)))
        return await desk.run(_name_of(caller), lambda store: _page(store, limit, behind))

    @people.get(
        "/{person}", response_model=PersonView, responses=problem_answers(*OF_GALLERY, PersonNotFound, PersonAmbiguous)
    )
    async def show_person(person: PersonId, caller: Viewer, request: Request) -> Response:
        """One person, with an entity tag."""
        found = await desk.run(_name_of(caller), lambda store: store.find(person))
        return tagged(request, PersonView.of(found))

    return people


def _page(store: PersonStore, limit: int, behind: tuple[str, ...] | None) -> PeoplePage:
    people = sorted(store.people(), key=lambda person: (person.name.casefold(), person.id))
    left = [one for one in people if behind is None or (one.name.casefold(), one.id) > behind]
    shown = left[:limit]
    last = shown[-1] if len(left) > limit else None
    end = None if last is None else cursor_of(last.name.casefold(), last.id)
    return PeoplePage(people=[PersonView.of(person) for person in shown], next=end)


def _name_of(caller: Caller) -> str:
    return "api" if caller.token is None else caller.token.name
