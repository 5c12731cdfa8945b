"""The routes of people over a real gallery and the project's own networks, which are loaded once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter

from recognition.checks.portraits import Portrait
from streamer.api.gallery_desk import GalleryDesk
from streamer.api.streaming.live_events import LiveEvents
from streamer.api.v1 import events, negatives, people, photos
from streamer.api.v1.routers import review_routes
from streamer.kept_visits.pictures import Chip
from streamer.kept_visits.reader import VisitReader
from streamer.kept_visits.visits_file import VisitsFile
from streamer.model_layer.setup import open_for_enrolment
from streamer.people.studio import Studio
from streamer.pipeline.live_gallery import LiveGallery
from streamer.process import key_source, store_of
from streamer.review.desk import ReviewDesk
from streamer.settings import Settings
from streamer.telemetry.metrics import Metrics
from tests.faces import write_photo
from tests.streamer.api.v1.api import Api, served
from tests.streamer.kept_visits.made import change, visit_id

Made = Callable[[GalleryDesk, Studio], APIRouter]


@asynccontextmanager
async def office(settings: Settings, folder: Path, routes: Sequence[Made]) -> AsyncIterator[tuple[Api, Studio]]:
    """folder: where the tokens lie. The gallery is made, if it is not there."""
    settings.paths.data.mkdir(parents=True, exist_ok=True)
    store_of(settings).close()
    async with (
        open_for_enrolment(settings) as recogniser,
        LiveGallery.open(settings, recogniser, Metrics()) as gallery,
        GalleryDesk.open(settings) as desk,
    ):
        studio = Studio(settings, recogniser, gallery)
        async with served(folder, [made(desk, studio) for made in routes]) as api:
            yield api, studio


@asynccontextmanager
async def reviewed_office(settings: Settings, folder: Path) -> AsyncIterator[tuple[Api, Studio, LiveEvents]]:
    """The routes of kept visits and of their review, and those of people, whom the gallery follows as in a service."""
    settings.paths.data.mkdir(parents=True, exist_ok=True)
    store_of(settings).close()
    async with (
        open_for_enrolment(settings) as recogniser,
        LiveGallery.open(settings, recogniser, Metrics()) as gallery,
        GalleryDesk.open(settings) as desk,
        VisitReader.open(settings.visits_path, key_source(settings)) as reader,
        ReviewDesk.open(settings, recogniser.manager, gallery) as review,
    ):
        studio, name_of = Studio(settings, recogniser, gallery), gallery.name_now_of
        live = LiveEvents(name_of)
        routes = review_routes(desk, studio, review, live, name_of)
        following = asyncio.create_task(gallery.follow(lambda gone: None))
        of_events = events.routes(desk, reader, live, name_of)
        of_people = [people.routes(desk, studio), photos.routes(desk, studio), negatives.routes(desk, studio)]
        async with served(folder, [*of_people, of_events, *routes]) as api:
            yield api, studio, live
        following.cancel()
        await asyncio.wait([following])


def photo(folder: Path, name: str, *cast: object) -> tuple[str, tuple[str, bytes, str]]:
    """A part of a form: a PNG with these people."""
    return "images", (name, write_photo(folder / name, *cast).read_bytes(), "image/png")  # type: ignore[arg-type]


def keep_visit_of(settings: Settings, portrait: Portrait) -> str:
    """A kept visit of somebody, by the picture alone; its event_id."""
    event_id = visit_id()
    chip = Chip(portrait.image(), portrait.landmarks).jpeg
    with VisitsFile(settings.visits_path, key_source(settings), make=True) as file:
        file.unlock(encrypt=settings.gallery.encryption)
        file.write([change(event_id, faces=(), pictures={"face": chip, "scene": b"\xff\xd8"})])
    return event_id
