"""/api/v1/people/...: who was enrolled as two, and two who were enrolled as one; and who is most alike.

On the loop; the gallery is on the desk's threads.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gallery.errors import (
    CalibrationTooFew,
    MergeRefused,
    NameInvalid,
    NameTaken,
    PersonAmbiguous,
    PersonNotFound,
    PhotoNotFound,
    SplitRefused,
)
from gallery.storage.store import Merged, PersonStore
from recognition.errors import ModelNotFound
from streamer.api.gallery_desk import GalleryDesk, actor_of
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.v1.person_views import (
    LARGEST_ID,
    LeftView,
    NamedView,
    Operator,
    PersonId,
    PersonView,
    example,
    strict_example,
)
from streamer.errors import DataFolderUnwritable
from streamer.model_layer.enrolling import verifying_thresholds
from streamer.people.joining import likeness, merge_document, topics_after
from streamer.people.look_alikes import alike_document
from streamer.people.studio import Studio

_NAMED = (*OF_GALLERY, PersonNotFound, PersonAmbiguous, NameInvalid)
_PhotoId = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class Into(BaseModel):
    """Who the person is, too, by id or name: this one's id and name stay."""

    model_config = strict_example({"into": "p7f3k2m9q1xz4"})

    into: Annotated[str, Field(max_length=200)]


class MergedView(BaseModel):
    """`person` is both now; `merged`: the id that stands for that one from now on. `similarity`: the highest between
    the two, by space; `left`: what the broker still retains of the former.
    """

    person: PersonView
    merged: str
    photos_added: int
    negatives_erased: int
    similarity: dict[str, float]
    left: list[LeftView]


class Apart(BaseModel):
    """Numbers of photos, and the name of whose they are."""

    model_config = strict_example({"photos": [17, 19], "name": "Grace Hopper"})

    photos: Annotated[list[_PhotoId], Field(max_length=1000)]
    name: Annotated[str, Field(max_length=1000)]


class SplitView(BaseModel):
    """`person` keeps the other photos; `new` has these, and nothing else is said of them yet."""

    person: PersonView
    new: PersonView


class AlikeView(BaseModel):
    """`limits`: the similarity reaches the threshold of one of the two, so that the margin alone keeps them apart."""

    model_config = example(
        {
            "people": [{"id": "p7f3k2m9q1xz4", "name": "Ada Lovelace"}, {"id": "p0c9s7d2v4bn", "name": "Ada Byron"}],
            "space": "nano_embed.2",
            "similarity": 0.68,
            "limits": True,
        }
    )

    people: list[NamedView]
    space: str
    similarity: float
    limits: bool


class LookAlikes(BaseModel):
    """In the configured embedder's space; `threshold`: from which similarity on it names."""

    space: str
    threshold: float
    look_alikes: list[AlikeView]


def routes(desk: GalleryDesk, studio: Studio) -> APIRouter:
    joining = APIRouter(prefix="/api/v1", tags=["people"])
    settings, manager = studio.settings, studio.recogniser.manager

    @joining.post(
        "/people/{person}/merge",
        response_model=MergedView,
        responses=problem_answers(*_NAMED, MergeRefused, DataFolderUnwritable),
    )
    async def merge(person: PersonId, other: Into, caller: Operator) -> dict[str, Any]:
        """Make two who were enrolled one person: photos, tags and what is said of this one become the other's. This
        name goes, and the id stands for the other from now on. Nothing of it can be undone but by a split.
        """
        actor, thresholds = actor_of(caller), verifying_thresholds(manager)

        def merged(store: PersonStore) -> tuple[str, Merged, dict[str, float]]:
            one, into = store.find(person), store.find(other.into)
            alike = likeness(store, one, into)
            return one.id, store.merge(one.id, into.id, thresholds), alike

        merged_id, done, alike = await desk.run(actor, merged)
        topics = await desk.slowly(lambda: topics_after(merged_id, settings, actor), is_rest=True)
        return merge_document(merged_id, done, alike, topics) | {"person": PersonView.of(done.person)}

    @joining.post(
        "/people/{person}/split",
        status_code=201,
        response_model=SplitView,
        responses=problem_answers(*_NAMED, SplitRefused, PhotoNotFound, NameTaken),
    )
    async def split(person: PersonId, apart: Apart, caller: Operator) -> SplitView:
        """Make some of a person's photos those of somebody else, who is enrolled by them under another name. Kept
        visits stay with the person.
        """
        left, new = await desk.run(
            actor_of(caller), lambda store: store.split(store.find(person).id, apart.photos, apart.name)
        )
        return SplitView(person=PersonView.of(left), new=PersonView.of(new))

    @joining.get(
        "/look-alikes",
        response_model=LookAlikes,
        responses=problem_answers(*OF_GALLERY, CalibrationTooFew, ModelNotFound),
    )
    async def look_alikes(caller: Operator) -> dict[str, Any]:
        """The people who are most alike: those who may be taken for one another, or are enrolled twice. With thousands
        of people it takes seconds.
        """
        actor = actor_of(caller)

        def compared() -> dict[str, Any]:
            with desk.opened(actor) as store:
                return alike_document(settings, manager, store, lambda done, total: None)

        return await desk.slowly(compared)

    return joining
