"""/api/v1/review: kept visits of unknown people, clustered by person; each named, ignored or erased as a whole.

On the loop; visits are read and compared on the review's thread, the gallery is on the desk's.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from gallery.errors import (
    EnrolledAlready,
    MasterKeyError,
    NameInvalid,
    NameTaken,
    NoPhotoAccepted,
    PersonAmbiguous,
    PersonNotFound,
)
from recognition.errors import CodedError, Overloaded
from streamer.api.errors import CursorInvalid
from streamer.api.gallery_desk import actor_of
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.v1.entity_tags import IF_MATCH
from streamer.api.v1.paging import USUAL, After, Limit, page_of, position_of
from streamer.api.v1.person_views import Operator
from streamer.api.v1.review_views import ClusterPerson, ClusterView, NamedClusterView, ReviewPage
from streamer.errors import KeptVisitsError
from streamer.people.studio import Studio
from streamer.review.cluster import Cluster
from streamer.review.decisions import Decisions, Whom
from streamer.review.desk import ReviewDesk
from streamer.review.errors import ClusterChanged, ClusterNotFound

_ClusterId = Annotated[
    str, Path(pattern=r"^c[0-9a-f]{24}$", description="as the list has it", examples=["c" + "0f" * 12])
]

_Ignored = Annotated[bool, Query(description="true: those that are ignored, instead of those to review")]

_READ: tuple[type[CodedError], ...] = (KeptVisitsError, MasterKeyError, Overloaded)
_DECIDED: tuple[type[CodedError], ...] = (*_READ, *OF_GALLERY, ClusterNotFound, ClusterChanged)
_NAMED = (NameInvalid, NameTaken, PersonNotFound, PersonAmbiguous)
_ENROLLING: tuple[type[CodedError], ...] = (NoPhotoAccepted, EnrolledAlready, *_NAMED)


def routes(studio: Studio, review: ReviewDesk, decisions: Decisions) -> APIRouter:
    found = APIRouter(prefix="/api/v1/review", tags=["review"])
    _add_reading(found, studio, review)
    _add_deciding(found, decisions)
    return found


def _add_reading(found: APIRouter, studio: Studio, review: ReviewDesk) -> None:
    name_of = studio.live_gallery.name_of

    async def views(clusters: list[Cluster]) -> list[ClusterView]:
        review.show(clusters)
        likely = await review.candidates(clusters)
        return [ClusterView.of(one, near, name_of) for one, near in zip(clusters, likely, strict=True)]

    @found.get("", response_model=ReviewPage, responses=problem_answers(*_READ, CursorInvalid))
    async def list_clusters(
        _: Operator, limit: Limit = USUAL, after: After = None, ignored: _Ignored = False
    ) -> ReviewPage:
        """Kept visits of unknown people (cameras with `snapshots`, `events.keep_unknown_h`), those of one person
        together, the largest clusters first; or, with `ignored`, those that are ignored.
        """
        behind = None if after is None else tuple(position_of(after, int, str))
        now = await review.review()
        clusters = now.ignored if ignored else now.clusters
        left = [one for one in clusters if behind is None or one.place > behind]
        shown, end = page_of(left, limit, lambda one: one.place)
        return ReviewPage(
            clusters=[one.short() for one in await views(list(shown))],
            left=len(clusters),
            ignored=len(now.ignored),
            next=end,
            older=now.older,
            apart=now.apart,
            keep_unknown_h=studio.settings.events.keep_unknown_h,
        )

    @found.get("/{cluster}", response_model=ClusterView, responses=problem_answers(*_READ, ClusterNotFound))
    async def show_cluster(cluster: _ClusterId, _: Operator, response: Response) -> ClusterView:
        """One of them with all its visits, and an entity tag."""
        (view,) = await views([await review.cluster(cluster)])
        response.headers.update({"ETag": _etag(cluster), "Cache-Control": "private, no-cache"})
        return view


def _add_deciding(found: APIRouter, decisions: Decisions) -> None:
    @found.post(
        "/{cluster}/person",
        response_model=NamedClusterView,
        responses=problem_answers(*_DECIDED, *_ENROLLING),
        openapi_extra=IF_MATCH,
    )
    async def name_cluster(
        cluster: _ClusterId, said: ClusterPerson, caller: Operator, request: Request
    ) -> NamedClusterView:
        """Make a cluster a person: somebody new, or somebody who is enrolled. The best faces are enrolled, and all the
        visits are the person's from now on.
        """
        done = await decisions.name(
            cluster,
            Whom(said.name, said.person, said.enrol, said.force),
            actor_of(caller),
            without=[event_id.upper() for event_id in said.without],
            as_now=_as_now(request, cluster),
        )
        return NamedClusterView.of(done)

    @found.post("/{cluster}/ignore", status_code=204, responses=problem_answers(*_DECIDED), openapi_extra=IF_MATCH)
    async def ignore_cluster(cluster: _ClusterId, caller: Operator, request: Request) -> None:
        """Don't show it any more, nor later visits that are found to be of the same person. The visits stay for as long
        as others do; when the last of them is gone, nobody knows any more who was ignored.
        """
        await decisions.ignore(cluster, actor_of(caller), as_now=_as_now(request, cluster))

    @found.delete("/{cluster}/ignore", status_code=204, responses=problem_answers(*_DECIDED), openapi_extra=IF_MATCH)
    async def review_cluster_again(cluster: _ClusterId, caller: Operator, request: Request) -> None:
        """Show it again, and later visits of the same person: what was ignored of it is so no more."""
        await decisions.review_again(cluster, actor_of(caller), as_now=_as_now(request, cluster))

    @found.delete("/{cluster}", status_code=204, responses=problem_answers(*_DECIDED), openapi_extra=IF_MATCH)
    async def erase_cluster(cluster: _ClusterId, caller: Operator, request: Request) -> None:
        """Erase its visits: messages, faces and pictures; the audit log keeps that it was done."""
        await decisions.erase(cluster, actor_of(caller), as_now=_as_now(request, cluster))


def _etag(cluster: str) -> str:
    """A cluster of other members has another id."""
    return f'"{cluster}"'


def _as_now(request: Request, cluster: str) -> bool:
    """Whether it has to be as it was read. Raises ClusterChanged where another one was read."""
    if "if-match" not in request.headers:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in request.headers["if-match"].split(",")]
    if "*" not in tags and _etag(cluster) not in tags:
        raise ClusterChanged("If-Match is of another cluster than the path; give the ETag of this one")
    return True
