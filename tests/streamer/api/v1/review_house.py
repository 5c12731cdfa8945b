"""Kept visits of strangers, and the API by which they are reviewed, over the project's own networks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from streamer.api.streaming.live_events import LiveEvents
from streamer.kept_visits.visit import VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.people.studio import Studio
from streamer.process import key_source, store_of
from streamer.settings import EventsSettings, MqttSettings, PathsSettings, Settings
from tests.gallery.fakes import near
from tests.streamer.api.v1.api import Api
from tests.streamer.api.v1.office import reviewed_office
from tests.streamer.kept_visits.made import NOW, change, event, visit_id

REVIEW = "/api/v1/review"
DIM = 256


class House:
    """What keeps visits of strangers: `people` are embeddings that are nobody's."""

    def __init__(self, settings: Settings, studio: Studio, api: Api, live: LiveEvents) -> None:
        self.settings, self.studio, self.api, self.live = settings, studio, api, live
        self.space = studio.recogniser.space

    def file(self) -> VisitsFile:
        file = VisitsFile(self.settings.visits_path, key_source(self.settings), make=True)
        file.unlock(encrypt=True)
        return file

    def keep(self, embedding, *, quality=0.8, camera="door", at=NOW, person=None, space=None, **more) -> str:
        """A visit, by one face that is somewhat like this one."""
        event_id = visit_id()
        seed = int(event_id[-6:])
        face = VisitFace(near(embedding, 0.85, seed), quality, space or self.space, "made by these")
        told = event(event_id, person=person, at=at, camera=camera, decision="unknown" if person is None else "known")
        with self.file() as file:
            file.write([change(event_id, told, **({"faces": (face,), "pictures": {}} | more))])
        return event_id

    async def clusters(self, query="") -> list[dict]:
        answer = await self.api.ask("GET", f"{REVIEW}{query}", "operator")
        assert answer.status_code == 200, answer.text
        return answer.json()["clusters"]

    async def cluster_of(self, event_id: str) -> str:
        (found,) = [one["id"] for one in await self.clusters() if event_id in one["event_ids"]]
        return found

    async def visit(self, event_id: str) -> dict:
        return (await self.api.ask("GET", f"/api/v1/events/{event_id}", "viewer")).json()

    async def post(self, cluster: str, **said):
        headers = said.pop("headers", None)
        return await self.api.ask("POST", f"{REVIEW}/{cluster}/person", "operator", json=said, headers=headers)

    def audit(self) -> list[tuple[str, str | None]]:
        with store_of(self.settings) as store:
            return [(entry.action, entry.person_id) for entry in store.audit_entries()]

    def empty(self) -> None:
        """Nobody is enrolled, and no visit kept."""
        with store_of(self.settings) as store:
            for person in store.people():
                store.forget(person.id)
        with self.file() as file:
            file.erase([visit.event_id for visit in file.search(0.0, 1e12)])


@asynccontextmanager
async def review_house(folder: Path) -> AsyncIterator[House]:
    events = EventsSettings(keep_unknown_h=24)
    settings = Settings(paths=PathsSettings(data=folder / "data"), mqtt=MqttSettings(port=1), events=events)
    async with reviewed_office(settings, folder) as (api, studio, live):
        yield House(settings, studio, api, live)
