"""Everything under /api/v1 over a running service: what there is of it, each a router of its own."""

from collections.abc import Callable

from fastapi import APIRouter

from streamer.api.gallery_desk import GalleryDesk
from streamer.api.streaming.live_events import LiveEvents
from streamer.api.streaming.streams import Streams
from streamer.api.v1 import (
    camera_faces,
    camera_pictures,
    corrections,
    events,
    identify,
    joining,
    live_events,
    negatives,
    people,
    person_zips,
    photos,
    review,
)
from streamer.kept_visits.reader import VisitReader
from streamer.live_view.view import LiveView
from streamer.people.studio import Studio
from streamer.review.decisions import Decisions
from streamer.review.desk import ReviewDesk


def api_routes(desk: GalleryDesk, studio: Studio) -> list[APIRouter]:
    """In the order in which /docs shows them."""
    of_people = [kind.routes(desk, studio) for kind in (people, photos, negatives, joining, person_zips)]
    return [*of_people, identify.routes(studio)]


def event_routes(
    desk: GalleryDesk, reader: VisitReader, name_of: Callable[[str], str | None], streams: Streams, live: LiveEvents
) -> list[APIRouter]:
    """Identity events, as they come and as they were kept."""
    return [live_events.routes(desk, streams, live), events.routes(desk, reader, live, name_of)]


def review_routes(
    desk: GalleryDesk, studio: Studio, reviewed: ReviewDesk, live: LiveEvents, name_of: Callable[[str], str | None]
) -> list[APIRouter]:
    """Kept visits, and whose they are."""
    decisions = Decisions(desk, studio, reviewed, live)
    return [corrections.routes(desk, studio, reviewed, decisions, name_of), review.routes(studio, reviewed, decisions)]


def view_routes(view: LiveView, streams: Streams, picture_streams: Streams) -> list[APIRouter]:
    """What cameras see, as they see it."""
    return [camera_faces.routes(view, streams), camera_pictures.routes(view, picture_streams)]
