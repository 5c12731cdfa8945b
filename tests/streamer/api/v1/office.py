"""The routes of people over a real gallery and the project's own networks, which are loaded once."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter

from streamer.api.gallery_desk import GalleryDesk
from streamer.model_layer.setup import open_for_enrolment
from streamer.people.studio import Studio
from streamer.pipeline.live_gallery import LiveGallery
from streamer.process import store_of
from streamer.settings import Settings
from streamer.telemetry.metrics import Metrics
from tests.faces import write_photo
from tests.streamer.api.v1.api import Api, served

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


def photo(folder: Path, name: str, *cast: object) -> tuple[str, tuple[str, bytes, str]]:
    """A part of a form: a PNG with these people."""
    return "images", (name, write_photo(folder / name, *cast).read_bytes(), "image/png")  # type: ignore[arg-type]
