"""The doors of a running service: what is behind them is the service's own, and forgets with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from gallery.people import Person
from streamer.app import Service, running_service
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source, store_of
from streamer.settings import (
    EventsSettings,
    HttpSettings,
    IngestSettings,
    PathsSettings,
    RtspIngestSettings,
    Settings,
    WebrtcSettings,
)
from tests.faces import KNOWN
from tests.streamer.kept_visits.made import change, event, visit_id


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[tuple[Service, Person]]:
    """A service that knows Ada."""
    settings = Settings(
        paths=PathsSettings(data=folder / "data", keys=folder / "keys"),
        http=HttpSettings(port=0),
        ingest=IngestSettings(rtsp=RtspIngestSettings(port=0), webrtc=WebrtcSettings(enabled=False)),
        events=EventsSettings(keep_unknown_h=24),
    )
    async with running_service(settings) as service:
        with store_of(settings) as store:
            ada = store.add_person("Ada")
        await until(lambda: service.live_gallery.is_enrolled(ada.id))
        yield service, ada


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_what_came_over_http_is_forgotten_when_anybody_is(tmp_path):
    """An embedding of a photo, crops of faces, and the gallery as it was opened; what the review has compared."""
    async with house(tmp_path) as (service, ada):
        assert service.inference is not None
        assert service.desk is not None
        assert service.review is not None
        faces, crops, queue = service.inference.faces, service.inference.crops, service.review._queue
        await faces.extract(KNOWN.file.read_bytes())
        crops.put("a", b"face")
        await service.desk.run("somebody", lambda store: store.people())
        with VisitsFile(service.settings.visits_path, key_source(service.settings), make=True) as file:
            file.unlock(encrypt=True)
            file.write([change(of := visit_id(), event(of, person=None, decision="unknown"))])
        await service.review.review()
        assert (len(faces._cache), crops.bytes_held, list(queue._faces)) == (1, 4, [of])
        with store_of(service.settings) as store:
            store.forget(ada.id)
        await until(lambda: not (len(faces._cache) or crops.bytes_held or service.desk._store or queue._faces))


async def test_no_face_of_the_review_is_held_once_nobody_looks(tmp_path, monkeypatch):
    monkeypatch.setattr("streamer.review.desk.KEPT_S", 0.0)
    async with house(tmp_path) as (service, _):
        assert service.review is not None
        service.review._queue._faces = {"a visit": None}
        await service.review.review()
        await until(lambda: not service.review._queue._faces)
