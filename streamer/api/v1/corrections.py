"""PATCH /api/v1/events/EVENT_ID: a wrong name on a kept visit is corrected. On the loop; visits and the gallery are on
threads.
"""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from gallery.errors import MasterKeyError, NameInvalid, PersonAmbiguous, PersonNotFound
from recognition.errors import CodedError, Overloaded
from streamer.api.errors import PreconditionFailed
from streamer.api.gallery_desk import GalleryDesk, actor_of
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.v1.entity_tags import IF_MATCH, etag_of, hold_to
from streamer.api.v1.events import EventId, NameOf, visit_view
from streamer.api.v1.negatives import NegativeView
from streamer.api.v1.person_views import Operator
from streamer.api.v1.review_views import CorrectedView, VisitChange
from streamer.errors import KeptVisitsError
from streamer.people.studio import Studio
from streamer.review.corrections import Correction, correct
from streamer.review.decisions import Decisions
from streamer.review.desk import ReviewDesk

_OF_VISITS = (KeptVisitsError, MasterKeyError, Overloaded)
_REFUSED: tuple[type[CodedError], ...] = (*_OF_VISITS, *OF_GALLERY, PersonNotFound, PersonAmbiguous, NameInvalid)


def routes(desk: GalleryDesk, studio: Studio, review: ReviewDesk, decisions: Decisions, name_of: NameOf) -> APIRouter:
    """name_of: as of the events' routes."""
    events = APIRouter(prefix="/api/v1/events", tags=["events"])

    @events.patch(
        "/{event_id}",
        response_model=CorrectedView,
        responses=problem_answers(*_REFUSED, PreconditionFailed),
        openapi_extra=IF_MATCH,
    )
    async def correct_visit(event_id: EventId, said: VisitChange, caller: Operator, request: Request) -> JSONResponse:
        """Say whose a kept visit is, whoever was named: all its messages are this person's from now on, and a face that
        was another one's is kept as one that is not.
        """
        async with review.turn():
            before = await review.run(lambda file: visit_view(file, event_id.upper(), name_of))
            hold_to(request, before)
            former = before.events[-1].person if before.events else None
            correction = Correction(
                before.event_id, before.camera, None if former is None else former.id, said.person, said.negative
            )
            done = await correct(correction, decisions, desk, studio, actor_of(caller))
            now = await review.run(lambda file: visit_view(file, before.event_id, name_of), is_rest=True)
        view = CorrectedView(
            **dict(now),
            photos_removed=done.removed,
            negative=None if done.negative is None else NegativeView.of(done.negative),
            negative_refused=done.why,
            negatives_removed=done.taken_back,
        )
        return JSONResponse(view.model_dump(mode="json", by_alias=True), headers={"ETag": etag_of(now)})

    return events
