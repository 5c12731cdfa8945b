"""/api/v1/people/PERSON/negatives with the project's own networks: faces that are said not to be somebody."""

import pytest
import pytest_asyncio

from streamer.api.v1 import identify, negatives, people
from streamer.process import store_of
from streamer.settings import PathsSettings, Settings
from tests.faces import KNOWN, STRANGERS
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.office import keep_visit_of, office, photo

pytestmark = pytest.mark.asyncio(loop_scope="module")
NEGATIVES = "/api/v1/people/Eileen/negatives"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(paths=PathsSettings(data=tmp_path_factory.mktemp("negatives") / "data"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    routes = [people.routes, negatives.routes, lambda desk, studio: identify.routes(studio)]
    async with office(settings, folder, routes) as (api, _):
        sent = [photo(folder, "1.png", KNOWN)]
        made = await api.ask("POST", "/api/v1/people", data={"name": "Eileen"}, files=sent)
        assert made.status_code == 201, made.text
        yield api


@pytest.fixture
def api(opened, settings):
    """With nothing that was said before."""
    with store_of(settings) as store:
        person = store.find("Eileen")
        store.remove_negatives(person.id, [one.id for one in store.list_negatives(person.id)])
    return opened


async def listed(api, query=""):
    return (await api.ask("GET", f"{NEGATIVES}?{query}", "viewer")).json()


async def test_photos_and_visits_are_said_not_to_be_her_and_taken_back(api, settings, tmp_path):
    sent = [photo(tmp_path, f"{number}.png", STRANGERS[number]) for number in (0, 1)]
    said = await api.ask("POST", NEGATIVES, "operator", files=sent)
    assert said.status_code == 201, said.text
    by_photo = said.json()["negatives"]
    visit = keep_visit_of(settings, STRANGERS[2])
    refused = await api.ask("POST", NEGATIVES, "operator", json={"event_id": visit.lower()})
    assert refusal(refused) == (409, "negative_refused")  # no face of it is kept
    assert [one["source"].split()[0] for one in by_photo] == ["photo", "photo"]
    again = await api.ask("POST", NEGATIVES, "operator", files=sent[:1])
    assert again.json()["negatives"] == by_photo[:1]
    first = await listed(api, "limit=1")
    assert (first["negatives"], first["person"]["name"]) == (by_photo[:1], "Eileen")
    assert (await listed(api, f"after={first['next']}"))["negatives"] == by_photo[1:]
    for one in by_photo:
        chip = await api.ask("GET", f"{NEGATIVES}/{one['id']}/chip", "viewer")
        assert (chip.status_code, chip.headers["content-type"], chip.content[:2]) == (200, "image/jpeg", b"\xff\xd8")
        gone = await api.ask("DELETE", f"{NEGATIVES}/{one['id']}", "operator")
        assert (gone.status_code, gone.content) == (204, b"")
    assert (await listed(api))["negatives"] == []
    assert refusal(await api.ask("DELETE", f"{NEGATIVES}/{by_photo[0]['id']}")) == (404, "negative_not_found")
    assert refusal(await api.ask("GET", f"{NEGATIVES}/{by_photo[0]['id']}/chip")) == (404, "negative_not_found")
    with store_of(settings) as store:
        log = [(entry.actor, entry.action) for entry in store.audit_entries()][-4:]
    assert log == [("the operator", "negative_added")] * 2 + [("the operator", "negative_removed")] * 2


@pytest.mark.parametrize(
    ("cast", "refused"),
    [((KNOWN,), (409, "negative_refused")), (tuple(STRANGERS), (422, "several_faces")), ((None,), (422, "no_face"))],
)
async def test_what_can_not_be_said_and_nothing_of_it_is_kept(api, tmp_path, cast, refused):
    sent = [photo(tmp_path, "good.png", STRANGERS[3]), photo(tmp_path, "1.png", *cast)]
    assert refusal(await api.ask("POST", NEGATIVES, files=sent)) == refused
    assert (await listed(api))["negatives"] == []


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        ({"json": {"event_id": "01KBAGZ0M2T4V6X8Y0A2C4E6G8"}}, (404, "visit_not_found")),
        ({"json": {"event_id": "x"}}, (422, "request_invalid")),
        ({"json": {"event_id": "01KBAGZ0M2T4V6X8Y0A2C4E6G8", "photo": 1}}, (422, "request_invalid")),
        ({"content": b"x"}, (415, "media_type_unsupported")),
    ],
)
async def test_requests_that_say_it_wrong(api, settings, sent, refused):
    keep_visit_of(settings, STRANGERS[2])
    assert refusal(await api.ask("POST", NEGATIVES, **sent)) == refused


async def test_who_only_watches_says_nothing(api):
    answers = [await api.ask("POST", NEGATIVES, "viewer"), await api.ask("DELETE", f"{NEGATIVES}/1", "viewer")]
    assert [refusal(answer) for answer in answers] == [(403, "role_too_low")] * 2
