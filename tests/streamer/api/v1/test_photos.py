"""/api/v1/people/PERSON/photos and templates: by what a person is known."""

import cv2
import numpy as np
import pytest
import pytest_asyncio

from gallery.people import NewPhoto
from streamer.api.v1 import people, photos
from streamer.process import store_of
from streamer.settings import MqttSettings, PathsSettings, Settings
from tests.faces import KNOWN, STRANGERS
from tests.gallery.fakes import SIGNATURE, SPACE, photo_of, unit
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.office import keep_visit_of, office, photo

pytestmark = pytest.mark.asyncio(loop_scope="module")
PEOPLE = "/api/v1/people"
ADA = f"{PEOPLE}/Ada"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    return Settings(paths=PathsSettings(data=folder / "data"), mqtt=MqttSettings(port=1))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(settings, tmp_path_factory):
    async with office(settings, tmp_path_factory.mktemp("tokens"), [people.routes, photos.routes]) as (api, _):
        yield api


@pytest.fixture
def api(opened, settings):
    """With Ada, who is made of numbers and has five photos, the last without a chip."""
    with store_of(settings) as store:
        for person in store.people():
            store.forget(person.id)
        without = photo_of(unit(5), 5)
        without = NewPhoto(None, without.landmarks, without.digest, without.templates, 0.25)
        store.add_person("Ada", [*(photo_of(unit(number), number) for number in range(1, 5)), without])
    return opened


async def listed(api, what, query=""):
    return (await api.ask("GET", f"{ADA}/{what}?{query}", "viewer")).json()


@pytest.mark.parametrize("what", ["photos", "templates"])
async def test_all_are_there_page_by_page(api, what):
    pages, after = [], ""
    while after is not None:
        page = await listed(api, what, f"limit=2{after and f'&after={after}'}")
        assert page["person"]["name"] == "Ada"
        pages.append(page[what])
        after = page["next"]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page] == (await listed(api, what))[what]
    wrong = await api.ask("GET", f"{ADA}/{what}?after=WzEsMiwzXQ")
    assert refusal(wrong) == (400, "cursor_invalid")


async def test_what_is_known_of_photos_and_templates_and_no_number_of_a_face(api):
    shown = (await listed(api, "photos"))["photos"][0]
    assert (shown["quality"], shown["spaces"], len(shown["sha256"])) == (0.9, [SPACE], 64)
    template = (await listed(api, "templates"))["templates"][0]
    made_at = template.pop("created_at")
    assert made_at == shown["added_at"]
    assert template == {
        "photo": shown["id"],
        "space": SPACE,
        "size": 64,
        "signature": SIGNATURE,
        "quality": 0.9,
        "source": "photo",
    }


async def test_the_picture_that_is_kept(api):
    *some, last = (await listed(api, "photos"))["photos"]
    for one in some[:2]:
        answer = await api.ask("GET", f"{ADA}/photos/{one['id']}/chip", "viewer")
        assert answer.headers["content-type"] == "image/jpeg"
        assert "private" in answer.headers["cache-control"]
        assert cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR).shape == (256, 256, 3)
        held = {"If-None-Match": answer.headers["etag"]}
        again = await api.ask("GET", f"{ADA}/photos/{one['id']}/chip", "viewer", headers=held)
        assert (again.status_code, again.content) == (304, b"")
    assert refusal(await api.ask("GET", f"{ADA}/photos/{last['id']}/chip")) == (404, "photo_not_found")


@pytest.mark.parametrize(
    ("number", "refused"),
    [
        (2**63 - 1, (404, "photo_not_found")),
        (2**63, (422, "request_invalid")),
        (0, (422, "request_invalid")),
        ("x", (422, "request_invalid")),
    ],
)
async def test_photos_that_are_not_there(api, number, refused):
    assert refusal(await api.ask("GET", f"{ADA}/photos/{number}/chip")) == refused
    assert refusal(await api.ask("DELETE", f"{ADA}/photos/{number}")) == refused
    assert refusal(await api.ask("GET", f"{PEOPLE}/Bob/photos")) == (404, "person_not_found")


async def test_one_is_taken_away_with_its_template(api, settings):
    numbers = [one["id"] for one in (await listed(api, "photos"))["photos"]]
    for left, number in zip(range(4, -1, -1), numbers, strict=True):
        told = (await api.ask("DELETE", f"{ADA}/photos/{number}", "operator")).json()
        assert (told["removed"], told["photos"], told["retrain"]) == (number, left, False)
        assert len((await listed(api, "templates"))["templates"]) == left
    assert refusal(await api.ask("DELETE", f"{ADA}/photos/{numbers[0]}")) == (404, "photo_not_found")
    with store_of(settings) as store:
        assert [entry.action for entry in store.audit_entries()][-5:] == ["photo_removed"] * 5


async def test_photos_are_added_to_who_is_enrolled(api, settings, tmp_path):
    made = (await api.ask("POST", PEOPLE, data={"name": "Eileen"}, files=[photo(tmp_path, "1.png", KNOWN)])).json()
    sent = [
        photo(tmp_path, "1.png", KNOWN),
        photo(tmp_path, "2.png", None, KNOWN),
        photo(tmp_path, "3.png", *STRANGERS),
    ]
    answer = await api.ask("POST", f"{PEOPLE}/{made['id']}/photos", "operator", files=sent)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["person"], told["added_to"]) == ({"id": made["id"], "name": "Eileen"}, True)
    assert ([one["image"] for one in told["taken"]], told["already"]) == (["2.png"], ["1.png"])
    assert [(one["image"], one["code"]) for one in told["refused"]] == [("3.png", "several_faces")]
    with store_of(settings) as store:
        assert store.find("Eileen").photos == 2
    group = await api.ask("POST", f"{PEOPLE}/Eileen/photos", files=[photo(tmp_path, "3.png", *STRANGERS)])
    assert refusal(group) == (422, "no_photo_accepted")
    assert group.json()["refused"][0]["code"] == "several_faces"
    other = await api.ask("POST", f"{PEOPLE}/Ada/photos", files=sent[:1])
    assert refusal(other) == (409, "enrolled_already")
    forced = await api.ask("POST", f"{PEOPLE}/Ada/photos", files=sent[:1], data={"force": "true"})
    assert len(forced.json()["taken"]) == 1


async def test_whose_id_is_given_and_who_is_gone_is_not_made_anew(api, settings, tmp_path):
    """By a name of p and twelve letters somebody new would be enrolled, were it not for who is to be there."""
    for who in ("p000000000000", "Nobody"):
        answer = await api.ask("POST", f"{PEOPLE}/{who}/photos", files=[photo(tmp_path, "1.png", KNOWN)])
        assert refusal(answer) == (404, "person_not_found")
    with store_of(settings) as store:
        assert [person.name for person in store.people()] == ["Ada"]


async def test_whom_a_kept_visit_shows(api, settings):
    visit = keep_visit_of(settings, KNOWN)
    made = await api.ask(
        "POST", PEOPLE, "operator", json={"name": "Eileen", "tags": ["a"], "from_visit": visit.lower()}
    )
    assert made.status_code == 201, made.text
    assert (made.json()["photos"], made.json()["tags"]) == (1, ["a"])
    again = await api.ask("POST", f"{PEOPLE}/Eileen/photos", "operator", json={"event_id": visit})
    assert (len(again.json()["already"]), again.json()["taken"]) == (1, [])
    unknown = await api.ask("POST", f"{PEOPLE}/Eileen/photos", json={"event_id": "01KBAGZ0M2T4V6X8Y0A2C4E6G8"})
    assert refusal(unknown) == (404, "visit_not_found")


@pytest.mark.parametrize(
    ("method", "path", "role", "refused"),
    [
        ("POST", f"{ADA}/photos", "viewer", (403, "role_too_low")),
        ("DELETE", f"{ADA}/photos/1", "viewer", (403, "role_too_low")),
        ("GET", f"{ADA}/photos", None, (401, "token_missing")),
        ("GET", f"{ADA}/photos/1/chip", None, (401, "token_missing")),
        ("GET", f"{ADA}/templates", None, (401, "token_missing")),
    ],
)
async def test_who_may_not(api, method, path, role, refused):
    assert refusal(await api.ask(method, path, role)) == refused
