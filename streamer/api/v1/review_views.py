"""Clusters of kept visits as the API shows them, what is decided on them, and corrections of one visit. Pure."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, model_validator

from streamer.api.v1.event_views import VISIT, VisitView
from streamer.api.v1.negatives import NegativeView
from streamer.api.v1.person_views import EnrolmentView, EventId, NamedView, example, strict_example
from streamer.people.enrolment_document import document
from streamer.review.cluster import Cluster
from streamer.review.decisions import NamedCluster

MOST_SHOWN = 20  # of a cluster's visits, in the list

_Name = Annotated[str, Field(max_length=1000)]
_EVENT_ID = "01KBAGZ0M2T4V6X8Y0A2C4E6G8"
_CLUSTER: dict[str, Any] = {
    "id": "c" + "0f" * 12,
    "count": 3,
    "event_ids": [_EVENT_ID],
    "cameras": ["door"],
    "first_at": 1763674511.7,
    "last_at": 1763681711.2,
    "best_event_id": _EVENT_ID,
    "quality": 0.83,
    "space": "nano_embed.2",
    "candidates": [{"id": "p7f3k2m9q1xz4", "name": "Ada Lovelace", "similarity": 0.44}],
}


class LikelyView(BaseModel):
    """Somebody enrolled whom it may be, and how alike they are (cosine)."""

    id: str
    name: str
    similarity: float


class ClusterView(BaseModel):
    """Visits of one unknown person; Unix seconds. `event_ids`: the best face first, in the list 20 at most; `space`: in
    which they were compared.
    """

    model_config = example(_CLUSTER)

    id: str
    count: int
    event_ids: list[str]
    cameras: list[str]
    first_at: float
    last_at: float
    best_event_id: str
    quality: float
    space: str
    candidates: list[LikelyView]

    @classmethod
    def of(cls, cluster: Cluster, near: Mapping[str, float], name_of: Callable[[str], str | None]) -> Self:
        return cls(
            id=cluster.id,
            count=len(cluster.event_ids),
            event_ids=list(cluster.event_ids),
            cameras=list(cluster.cameras),
            first_at=cluster.first_at,
            last_at=cluster.last_at,
            best_event_id=cluster.event_ids[0],
            quality=round(cluster.quality, 4),
            space=cluster.space,
            candidates=[
                LikelyView(id=who, name=name, similarity=round(cosine, 4))
                for who, cosine in near.items()
                if (name := name_of(who)) is not None
            ],
        )

    def short(self) -> Self:
        return self.model_copy(update={"event_ids": self.event_ids[:MOST_SHOWN]})


class ReviewPage(BaseModel):
    """`left`: how many clusters there are in all, of those that were asked for. `ignored`: how many are ignored.
    `older`: of so many visits it is not known yet whose they are, for the newest come first; they follow as those are
    decided on. `apart`: by space, visits that can't be compared with others; those of "" have no good face.
    `keep_unknown_h` 0: no visit of an unknown face is kept, and there is nothing to review.
    """

    clusters: list[ClusterView]
    left: int
    ignored: int
    next: str | None
    older: int
    apart: dict[str, int]
    keep_unknown_h: float


class ClusterPerson(BaseModel):
    """Whose a cluster is: `name` of somebody new, or `person`, the id or name of somebody enrolled. `without`: visits
    of it that are not the person's. `enrol` false: the visits are named alone. `force`: as of photos.
    """

    model_config = strict_example({"name": "Ada Lovelace"})

    name: _Name | None = None
    person: _Name | None = None
    without: Annotated[list[EventId], Field(max_length=1000)] = []
    enrol: bool = True
    force: bool = False

    @model_validator(mode="after")
    def _is_of_one(self) -> Self:
        if (self.name is None) == (self.person is None):
            raise ValueError("give either name (somebody new) or person (somebody who is enrolled)")
        if self.name is not None and not self.enrol:
            raise ValueError("somebody new is enrolled by these faces; enrol may be false with person alone")
        return self


class NamedClusterView(BaseModel):
    """`event_ids`: the visits that are the person's now; `enrolment`: null where this was done before.
    `negatives_removed`: so many of these visits had been said not to be the person's.
    """

    person: NamedView
    event_ids: list[str]
    enrolment: EnrolmentView | None
    negatives_removed: int

    @classmethod
    def of(cls, done: NamedCluster) -> Self:
        return cls(
            person=NamedView(id=done.person.id, name=done.person.name),
            event_ids=list(done.event_ids),
            enrolment=None if done.report is None else EnrolmentView.model_validate(document(done.report)),
            negatives_removed=done.taken_back,
        )


class VisitChange(BaseModel):
    """Whose a visit is: an id or name of who is enrolled; null: nobody's. `negative`: the face is kept as one that is
    not the former person's.
    """

    model_config = strict_example({"person": "p7f3k2m9q1xz4"})

    person: _Name | None
    negative: bool = True


class CorrectedView(VisitView):
    """The visit as it is now. `photos_removed`: so many of the former person's were made of this visit, and are erased.
    `negative`: what was kept of its face as not the former person's; else `negative_refused` says why not, where it was
    wanted. `negatives_removed`: what had been said of it, that it is not the person whose it is now, is taken back.
    """

    model_config = example({**VISIT, "photos_removed": 0, "negatives_removed": 0})

    photos_removed: int
    negative: NegativeView | None
    negative_refused: str | None
    negatives_removed: int
