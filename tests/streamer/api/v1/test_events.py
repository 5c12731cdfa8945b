"""/api/v1/events over a real file of kept visits: pages, filters, one visit, its pictures, and its end."""

import json
from contextlib import AsyncExitStack

import httpx
import jsonschema
import pytest

from streamer.api.gallery_desk import GalleryDesk
from streamer.api.streaming.live_events import LiveEvents
from streamer.api.v1 import events
from streamer.events.event import PossiblePerson
from streamer.kept_visits.reader import VisitReader
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source, store_of
from streamer.schemas import identity_schema
from streamer.settings import PathsSettings, Settings
from tests.streamer.api.v1.api import refusal, served
from tests.streamer.kept_visits.made import ADA, BOB, NOW, change, event, visit_id

KEPT = 7


class House:
    """Kept visits, the oldest first: of Ada, of nobody, of Ada or Bob, in turn; the third of each kind at the hall."""

    def __init__(self, folder) -> None:
        data = folder / "data"
        data.mkdir()
        self.settings = Settings(paths=PathsSettings(data=data))
        self.live = LiveEvents(self.name_of)
        self.keys = key_source(self.settings)
        with store_of(self.settings) as store:
            self.grace = store.add_person("Grace Hopper").id
        self.visits = [visit_id() for _ in range(KEPT)]
        with VisitsFile(self.settings.visits_path, self.keys, make=True) as file:
            file.unlock(encrypt=True)
            file.write([self.change(number, of) for number, of in enumerate(self.visits)])

    def change(self, number: int, of: str):
        at = NOW + 100.0 * number
        camera = "hall" if number % 3 == 2 else "door"
        who: dict[str, object] = [
            {"person": self.grace, "decision": "known"},
            {"person": None, "decision": "unknown"},
            {
                "person": None,
                "decision": "ambiguous",
                "candidates": tuple(PossiblePerson(id=one, similarity=0.5) for one in (self.grace, BOB)),
            },
        ][number % 3]
        new, end = (event(of, seq, at=at + seq, camera=camera, **who) for seq in (1, 2))
        pictures = {"pictures": {}} if number == 1 else {}
        return change(of, new, end.model_copy(update={"type": "end"}), camera=camera, **pictures)

    def name_of(self, person_id: str) -> str | None:
        return {self.grace: "Grace Hopper"}.get(person_id)


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


@pytest.fixture
async def api(house, tmp_path):
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(GalleryDesk.open(house.settings))
        reader = await stack.enter_async_context(VisitReader.open(house.settings.visits_path, house.keys))
        yield await stack.enter_async_context(
            served(tmp_path, [events.routes(desk, reader, house.live, house.name_of)])
        )


def told(answer: httpx.Response, house: House) -> list[tuple[int, int]]:
    """Of which visit (its number) each message is, and its seq."""
    assert answer.status_code == 200, answer.text
    return [(house.visits.index(one["event_id"]), one["seq"]) for one in answer.json()["events"]]


NEWEST_FIRST = [(number, seq) for number in reversed(range(KEPT)) for seq in (2, 1)]


@pytest.mark.parametrize("limit", [1, 3, 4, 13, 14, 500])
async def test_all_are_there_page_by_page_the_newest_first(api, house, limit):
    found, after = [], ""
    while after is not None:
        answer = await api.ask("GET", f"/api/v1/events?limit={limit}{after and f'&after={after}'}", "viewer")
        assert len(answer.json()["events"]) <= limit
        found += told(answer, house)
        after = answer.json()["next"]
    assert found == NEWEST_FIRST


@pytest.mark.parametrize(
    ("query", "visits"),
    [
        ("camera=hall", {2, 5}),
        ("camera=hall&camera=door", set(range(KEPT))),
        ("camera=nowhere", set()),
        ("person=grace hopper", {0, 2, 3, 5, 6}),
        ("person=GRACE&person={bob}", {0, 2, 3, 5, 6}),
        ("person={bob}", {2, 5}),
        ("person={ada}", set()),
        ("decision=unknown", {1, 4}),
        ("decision=ambiguous&decision=known", {0, 2, 3, 5, 6}),
        ("since={three}", {3, 4, 5, 6}),
        ("until={three}", {0, 1, 2}),
        ("since={three}&camera=hall&person={bob}&decision=ambiguous", {5}),
    ],
)
async def test_what_is_asked_for_alone(api, house, query, visits):
    query = query.replace("GRACE", house.grace).format(bob=BOB, ada=ADA, three=NOW + 300.5)
    found = told(await api.ask("GET", f"/api/v1/events?{query}", "viewer"), house)
    assert found == [one for one in NEWEST_FIRST if one[0] in visits]


async def test_messages_of_a_kind(api, house):
    for kind, seq in (("new", 1), ("end", 2)):
        found = told(await api.ask("GET", f"/api/v1/events?type={kind}&limit=3", "viewer"), house)
        assert found == [(6, seq), (5, seq), (4, seq)]


async def test_a_message_is_as_it_was_sent_with_the_name_of_now(api, house):
    answer = await api.ask("GET", f"/api/v1/events/{house.visits[2].lower()}", "viewer")
    visit = answer.json()
    assert (visit["event_id"], visit["camera"], visit["snapshots"]) == (house.visits[2], "hall", ["face", "scene"])
    assert [(one["schema"], one["seq"], one["type"]) for one in visit["events"]] == [
        ("whosthere.identity/1", 1, "new"),
        ("whosthere.identity/1", 2, "end"),
    ]
    assert [one["name"] for one in visit["events"][0]["candidates"]] == ["Grace Hopper", None]
    again = await api.ask("GET", f"/api/v1/events/{house.visits[2]}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_page_holds_messages_of_the_schema(api, house):
    (message,) = (await api.ask("GET", "/api/v1/events?limit=1&camera=hall", "viewer")).json()["events"]
    assert message["schema"] == "whosthere.identity/1"
    assert [one["name"] for one in message["candidates"]] == ["Grace Hopper", None]
    jsonschema.validate(message, json.loads(identity_schema()))


async def test_its_pictures(api, house):
    for kind in ("face", "scene"):
        answer = await api.ask("GET", f"/api/v1/events/{house.visits[0]}/snapshots/{kind}", "viewer")
        assert (answer.headers["content-type"], answer.content) == ("image/jpeg", b"\xff\xd8 the " + kind.encode())
    seen = {"If-None-Match": answer.headers["etag"]}
    again = await api.ask("GET", f"/api/v1/events/{house.visits[0]}/snapshots/scene", headers=seen)
    assert (again.status_code, again.content) == (304, b"")
    assert (await api.ask("GET", f"/api/v1/events/{house.visits[1]}")).json()["snapshots"] == []
    none = await api.ask("GET", f"/api/v1/events/{house.visits[1]}/snapshots/face")
    assert refusal(none) == (404, "snapshot_not_found")


async def test_a_visit_is_erased_by_whoever_may_and_that_is_told(api, house):
    path, jpeg = f"/api/v1/events/{house.visits[3]}", b"\xff\xd8 the face"
    assert refusal(await api.ask("DELETE", path, "viewer")) == (403, "role_too_low")
    assert (await api.ask("DELETE", path, "operator")).status_code == 204
    for gone in (path, f"{path}/snapshots/face"):
        assert refusal(await api.ask("GET", gone)) == (404, "visit_not_found")
    assert refusal(await api.ask("DELETE", path)) == (404, "visit_not_found")
    assert told(await api.ask("GET", "/api/v1/events"), house) == [one for one in NEWEST_FIRST if one[0] != 3]
    with store_of(house.settings) as store:
        (entry,) = (one for one in store.audit_entries() if one.action == "visit_erased")
    assert (entry.actor, entry.details["event_id"]) == ("the operator", house.visits[3])
    assert jpeg not in house.settings.visits_path.read_bytes()


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("events/01KB8Z4N6V3T9QH5R2M7000999", (404, "visit_not_found")),
        ("events/nothing", (404, "visit_not_found")),
        ("events/%00", (404, "visit_not_found")),
        ("events?person=Nobody", (404, "person_not_found")),
        ("events?after=WzEsMl0", (400, "cursor_invalid")),
        ("events?after=WzEuNSwiXHVkODAwIiwxXQ", (400, "cursor_invalid")),
        ("events?camera=UPPER", (422, "request_invalid")),
        ("events?since=nan", (422, "request_invalid")),
        ("events?decision=maybe", (422, "request_invalid")),
        ("events/01KB8Z4N6V3T9QH5R2M7000001/snapshots/back", (422, "request_invalid")),
    ],
)
async def test_what_is_not_there(api, path, refused):
    assert refusal(await api.ask("GET", f"/api/v1/{path}")) == refused


async def test_where_none_are_kept(api, house):
    house.settings.visits_path.unlink()
    for path in ("events", f"events/{house.visits[0]}", f"events/{house.visits[0]}/snapshots/face"):
        assert refusal(await api.ask("GET", f"/api/v1/{path}")) == (404, "kept_visits_missing")
    assert not house.settings.visits_path.exists()
