"""/api/v1/people over a real gallery and the project's own networks: who is there, enrolled, changed, forgotten."""

import asyncio
import sqlite3
import threading
from contextlib import closing

import pytest
import pytest_asyncio

from gallery.errors import NoPhotoAccepted
from gallery.people import Profile
from streamer.api.v1 import people
from streamer.process import store_of
from streamer.settings import MqttSettings, PathsSettings, Settings
from tests.faces import KNOWN, STRANGERS
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.office import office, photo

pytestmark = pytest.mark.asyncio(loop_scope="module")
PEOPLE = "/api/v1/people"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    return Settings(paths=PathsSettings(data=folder / "data"), mqtt=MqttSettings(port=1))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(settings, tmp_path_factory):
    async with office(settings, tmp_path_factory.mktemp("tokens"), [people.routes]) as (api, studio):
        yield api, studio


@pytest.fixture
def api(opened, settings):
    """With three people, whatever the tests before have made of them."""
    with store_of(settings) as store:
        for person in store.people():
            store.forget(person.id)
        store.add_person("Grace Hopper")
        store.add_person(Profile("ada Lovelace", external_id="4711", tags=("staff",)))
        store.add_person(Profile("Émilie du Châtelet", tags=("guest", "staff")))
    return opened[0]


def log_of(settings):
    with store_of(settings) as store:
        return [(entry.actor, entry.action) for entry in store.audit_entries()]


async def names(api, query=""):
    return [one["name"] for one in (await api.ask("GET", f"{PEOPLE}?{query}", "viewer")).json()["people"]]


async def test_all_are_there_page_by_page(api):
    pages, after = [], ""
    while after is not None:
        answer = await api.ask("GET", f"{PEOPLE}?limit=2{after and f'&after={after}'}", "viewer")
        assert answer.status_code == 200
        pages.append([person["name"] for person in answer.json()["people"]])
        after = answer.json()["next"]
    assert pages == [["ada Lovelace", "Grace Hopper"], ["Émilie du Châtelet"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=LOVE", ["ada Lovelace"]),
        ("name=du c", ["Émilie du Châtelet"]),
        ("tag=staff", ["ada Lovelace", "Émilie du Châtelet"]),
        ("tag=staff&name=é", ["Émilie du Châtelet"]),
        ("external_id=4711", ["ada Lovelace"]),
        ("external_id=471", []),
    ],
)
async def test_whom_filters_leave(api, query, found):
    assert await names(api, query) == found


@pytest.mark.parametrize("broken", [1, 2, 3])
async def test_of_whom_something_does_not_open_the_id_is_told(api, settings, broken):
    with store_of(settings) as store:
        ids = sorted(person.id for person in store.people())[:broken]
    with closing(sqlite3.connect(settings.gallery_path)) as db, db:
        for person_id in ids:
            db.execute("UPDATE people SET profile = zeroblob(length(profile)) WHERE id = ?", (person_id,))
    answer = (await api.ask("GET", PEOPLE, "viewer")).json()
    assert (answer["left_out"], len(answer["people"])) == (ids, 3 - broken)
    for person_id in ids:
        assert refusal(await api.ask("GET", f"{PEOPLE}/{person_id}")) == (503, "gallery_seal_broken")
        assert (await api.ask("DELETE", f"{PEOPLE}/{person_id}")).json()["forgotten"] == person_id
    assert (await api.ask("GET", PEOPLE, "viewer")).json()["left_out"] == []


@pytest.mark.parametrize("cursor", ["x", "e30", "WzEsMl0", "W" * 399])
async def test_a_cursor_of_no_list_of_ours(api, cursor):
    assert refusal(await api.ask("GET", f"{PEOPLE}?after={cursor}")) == (400, "cursor_invalid")


async def test_what_has_not_changed_is_not_sent_again(api):
    first = await api.ask("GET", f"{PEOPLE}/Grace Hopper", "viewer")
    assert first.json()["name"] == "Grace Hopper"
    again = await api.ask("GET", f"{PEOPLE}/{first.json()['id']}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_nobody_of_that_name(api):
    assert refusal(await api.ask("GET", f"{PEOPLE}/Nobody")) == (404, "person_not_found")
    assert refusal(await api.ask("GET", f"{PEOPLE}/%00")) == (422, "name_invalid")


async def test_somebody_new_without_photos(api, settings):
    said = {
        "name": " Mary  Jackson",
        "external_id": "12",
        "tags": ["b", "a"],
        "consent": {"by": "herself", "purpose": "entry", "expires_at": 4102444800},
        "threshold": {"cosine": 0.5},
        "ignored": True,
    }
    answer = await api.ask("POST", PEOPLE, "operator", json=said)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"{PEOPLE}/{made['id']}"
    assert made["consent"]["expires_at"] == 4102444800
    assert made["threshold"]["cosine"] == 0.5
    assert made["threshold"]["space"].startswith("nano_embed")
    assert (made["name"], made["tags"], made["ignored"], made["photos"], made["enrolment"]) == (
        "Mary  Jackson",
        ["a", "b"],
        True,
        0,
        None,
    )
    shown = await api.ask("GET", answer.headers["location"], "viewer")
    assert shown.headers["etag"] == answer.headers["etag"]
    assert log_of(settings)[-1] == ("the operator", "enrolled")


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"name": "GRACE hopper"}, (409, "name_taken")),
        ({"name": "X", "external_id": "4711"}, (409, "external_id_taken")),
        ({"name": " "}, (422, "name_invalid")),
        ({"name": "X", "tags": ["a\tb"]}, (422, "name_invalid")),
        ({"name": "X", "consent": {"by": "me"}}, (422, "consent_invalid")),
        ({"name": "X", "consent": {"by": "me", "purpose": "p", "expires_at": 1}}, (422, "consent_invalid")),
        ({"name": "X", "threshold": {"cosine": 0.5, "space": "of.nobody"}}, (422, "threshold_invalid")),
        ({"name": "X", "threshold": {"cosine": 2}}, (422, "request_invalid")),
        ({"name": "X", "colour": "red"}, (422, "request_invalid")),
        ({"name": "X", "from_visit": "no visit"}, (422, "request_invalid")),
        ({"name": "X", "from_visit": "01KBAGZ0M2T4V6X8Y0A2C4E6G8"}, (404, "kept_visits_missing")),
        ({}, (422, "request_invalid")),
        ([], (422, "request_invalid")),
    ],
)
async def test_who_is_not_enrolled(api, said, refused):
    assert refusal(await api.ask("POST", PEOPLE, json=said)) == refused
    assert len(await names(api)) == 3


@pytest.mark.parametrize(
    ("content", "kind", "refused"),
    [
        (b"{", "application/json", (422, "request_invalid")),
        (b'{"name": "\xff"}', "application/json", (422, "request_invalid")),
        (b'{"name": "\\ud800"}', "application/json", (422, "request_invalid")),
        (b"name=X", "application/x-www-form-urlencoded", (415, "media_type_unsupported")),
        (b"name=X", "multipart/form-data", (400, "bad_request")),
        (b"--c\r\nrubbish", "multipart/form-data; boundary=b", (400, "bad_request")),
        (b"--b\r\nrubbish", "multipart/form-data; boundary=b", (422, "request_invalid")),
    ],
)
async def test_bodies_that_are_none(api, content, kind, refused):
    answer = await api.ask("POST", PEOPLE, content=content, headers={"Content-Type": kind})
    assert refusal(answer) == refused


@pytest.mark.parametrize(
    ("method", "path", "said", "faults"),
    [
        ("POST", PEOPLE, {"name": "X"} | {f"key{number}\n{'x' * 240}": 1 for number in range(1000)}, 1000),
        ("POST", PEOPLE, {"name": "X", "tags": [1] * 90}, 90),
        ("PATCH", f"{PEOPLE}/p7f3k2m9q1xz4", {f"\u200b{number}": 1 for number in range(21)}, 21),
    ],
)
async def test_of_a_body_with_many_faults_the_first_are_told(api, method, path, said, faults):
    answer = await api.ask(method, path, json=said)
    assert refusal(answer) == (422, "request_invalid")
    told = answer.json()
    assert len(told["errors"]) == 20
    assert told["detail"].endswith(f"; and {faults - 20} more")
    assert told["detail"].isprintable()


async def test_a_body_that_is_no_upload_is_small(api):
    answer = await api.ask("POST", PEOPLE, json={"name": "X", "tags": ["x" * 300_000]})
    assert refusal(answer) == (413, "body_too_large")


async def test_enrolled_by_photos(api, tmp_path):
    sent = [
        photo(tmp_path, "one.png", KNOWN),
        photo(tmp_path, "two.png", None, KNOWN),
        photo(tmp_path, "none.png", None),
        ("images", ("one.png", b"no photo", "image/png")),
    ]
    form = {"name": "Eileen", "tags": ["astronaut", "pilot"], "consent_by": "herself", "consent_purpose": "entry"}
    answer = await api.ask("POST", PEOPLE, "operator", data=form, files=sent)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["tags"] == ["astronaut", "pilot"]
    assert made["consent"]["purpose"] == "entry"
    assert sum(made["templates"].values()) == made["photos"] == 2
    told = made["enrolment"]
    assert (told["person"]["id"], told["added_to"]) == (made["id"], False)
    assert [one["image"] for one in told["taken"]] == ["one.png", "two.png"]
    assert {one["image"]: one["code"] for one in told["refused"]} == {
        "none.png": "no_face",
        "one.png (4)": "image_unreadable",
    }
    again = await api.ask("POST", PEOPLE, data={"name": "Somebody else"}, files=sent[:1])
    assert refusal(again) == (409, "enrolled_already")


async def test_where_no_photo_passes_nobody_is_enrolled(api, tmp_path):
    sent = [photo(tmp_path, "none.png", None), ("images", ("empty.jpg", b"", "image/jpeg"))]
    answer = await api.ask("POST", PEOPLE, data={"name": "Nobody"}, files=sent)
    assert refusal(answer) == (422, "no_photo_accepted")
    assert [(one["image"], one["code"]) for one in answer.json()["refused"]] == [
        ("none.png", "no_face"),
        ("empty.jpg", "image_empty"),
    ]
    assert len(await names(api)) == 3


@pytest.mark.parametrize(
    ("form", "images"),
    [
        ({}, 1),
        ({"name": "X", "pick": "all"}, 1),
        ({"name": "X", "colour": "red"}, 1),
        ({"name": ["X", "Y"]}, 1),
        ({"name": "X", "images": "a text"}, 0),
        ({"name": "X", "consent_expires_at": "nan"}, 1),
    ],
)
async def test_forms_that_say_it_wrong(api, tmp_path, form, images):
    sent = [photo(tmp_path, "one.png", KNOWN)] * images or [("other", ("x", b"", "text/plain"))]
    assert refusal(await api.ask("POST", PEOPLE, data=form, files=sent)) == (422, "request_invalid")


async def test_more_photos_than_are_taken_at_once(api):
    sent = [("images", (f"{number}.jpg", b"x", "image/jpeg")) for number in range(people.MOST_PHOTOS + 1)]
    answer = await api.ask("POST", PEOPLE, data={"name": "X"}, files=sent)
    assert refusal(answer) == (400, "bad_request")
    assert str(people.MOST_PHOTOS) in answer.json()["detail"]


async def test_of_two_who_are_enrolled_at_once_under_one_name_one_is(api, tmp_path, settings):
    casts = [(STRANGERS[0],), (STRANGERS[1],), (None, STRANGERS[2])]
    asked = [
        api.ask("POST", PEOPLE, data={"name": "Twin"}, files=[photo(tmp_path, f"{number}.png", *cast)])
        for number, cast in enumerate(casts)
    ]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"name_taken"}
    with store_of(settings) as store:
        assert store.find("Twin").photos == 1


@pytest.mark.parametrize("asked", [2, 5, 9])
async def test_few_have_a_gallery_of_their_own_open_at_once(api, opened, tmp_path, monkeypatch, asked):
    """Each has all templates in memory."""
    _, studio = opened
    door, under_way, most = asyncio.Event(), [], []

    async def enrol(who, photos, store, *_, **__):
        under_way.append(who)
        most.append(len(under_way))
        await door.wait()
        under_way.remove(who)
        raise NoPhotoAccepted("none")

    monkeypatch.setattr(studio, "enrol", enrol)
    sent = [photo(tmp_path, "1.png", KNOWN)]
    forms = [{"name": f"Twin {number}"} for number in range(asked)]
    asking = [asyncio.create_task(api.ask("POST", PEOPLE, data=form, files=sent)) for form in forms]
    async with asyncio.timeout(60):
        while len(under_way) < min(asked, 3):
            await api.ask("GET", PEOPLE)
        door.set()
        answers = await asyncio.gather(*asking)
    assert [answer.json()["code"] for answer in answers] == ["no_photo_accepted"] * asked
    assert max(most) == min(asked, 3)


async def test_what_is_said_anew_and_what_is_left_out(api, settings):
    before = (await api.ask("GET", f"{PEOPLE}/4711")).json()
    consent = {"by": "herself", "purpose": "entry"}
    changed = await api.ask("PATCH", f"{PEOPLE}/4711", "operator", json={"consent": consent, "ignored": True})
    assert changed.status_code == 200, changed.text
    after = changed.json()
    assert after | {"consent": None, "ignored": False} == before
    assert (after["consent"]["by"], after["consent"]["expires_at"]) == ("herself", None)
    until = await api.ask("PATCH", f"{PEOPLE}/{before['id']}", json={"consent": {"expires_at": 4102444800}})
    assert until.json()["consent"] == after["consent"] | {"expires_at": 4102444800}
    none = {"consent": None, "external_id": None, "tags": [], "threshold": None, "name": "Ada", "ignored": False}
    last = (await api.ask("PATCH", f"{PEOPLE}/{before['id']}", json=none)).json()
    assert last == before | none
    await api.ask("PATCH", f"{PEOPLE}/{before['id']}", "operator", json={"name": "Augusta"})
    changed = ("the admin", "changed")
    assert log_of(settings)[-4:] == [("the operator", "changed"), changed, changed, ("the operator", "renamed")]


async def test_only_what_was_read_is_changed(api):
    read = await api.ask("GET", f"{PEOPLE}/Grace Hopper")
    held = {"If-Match": read.headers["etag"]}
    first = await api.ask("PATCH", f"{PEOPLE}/Grace Hopper", json={"tags": ["navy"]}, headers=held)
    assert first.headers["etag"] != read.headers["etag"]
    for method, sent in (("PATCH", {"json": {"tags": []}}), ("DELETE", {})):
        late = await api.ask(method, f"{PEOPLE}/Grace Hopper", headers=held, **sent)
        assert refusal(late) == (412, "precondition_failed")
    assert (await api.ask("GET", f"{PEOPLE}/Grace Hopper")).json()["tags"] == ["navy"]


@pytest.mark.parametrize("change", [{"tags": ["navy"]}, {"name": "Grace B. M. Hopper"}, {"ignored": True}])
async def test_who_was_changed_while_others_were_forgotten_is_not_forgotten(api, monkeypatch, change):
    erase, whom, begun, may_end, looked = people.erase, people.whom_to_forget, *(threading.Event() for _ in range(3))

    def look(*asked):
        found = whom(*asked)
        if begun.is_set():
            looked.set()
        return found

    def slow(*asked, **more):
        begun.set()
        may_end.wait(30)
        return erase(*asked, **more)

    monkeypatch.setattr(people, "erase", slow)
    monkeypatch.setattr(people, "whom_to_forget", look)
    read = await api.ask("GET", f"{PEOPLE}/Grace Hopper")
    held = {"If-Match": read.headers["etag"]}
    one = asyncio.create_task(api.ask("DELETE", f"{PEOPLE}/Ada Lovelace"))
    assert await asyncio.to_thread(begun.wait, 30)
    other = asyncio.create_task(api.ask("DELETE", f"{PEOPLE}/Grace Hopper", headers=held))
    assert await asyncio.to_thread(looked.wait, 30)
    path = f"{PEOPLE}/{read.json()['id']}"
    assert (await api.ask("PATCH", path, json=change)).status_code == 200
    may_end.set()
    assert (await one).status_code == 200
    assert refusal(await other) == (412, "precondition_failed")
    assert (await api.ask("GET", path)).status_code == 200


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"name": "ADA lovelace"}, (409, "name_taken")),
        ({"name": None}, (422, "request_invalid")),
        ({"external_id": "4711"}, (409, "external_id_taken")),
        ({"consent": {"expires_at": 4102444800}}, (422, "consent_invalid")),
        ({"ignored": "perhaps"}, (422, "request_invalid")),
        ({"id": "p7f3k2m9q1xz"}, (422, "request_invalid")),
    ],
)
async def test_what_can_not_be_said(api, said, refused):
    before = (await api.ask("GET", f"{PEOPLE}/Grace Hopper")).json()
    assert refusal(await api.ask("PATCH", f"{PEOPLE}/Grace Hopper", json=said)) == refused
    assert (await api.ask("GET", f"{PEOPLE}/Grace Hopper")).json() == before


async def test_forgotten_everywhere_and_told_of(api, settings):
    person_id = (await api.ask("GET", f"{PEOPLE}/4711")).json()["id"]
    answer = await api.ask("DELETE", f"{PEOPLE}/4711", "operator")
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert report["forgotten"] == person_id
    assert [step["step"] for step in report["steps"]] == [
        *("keys", "visits", "outbox", "topics", "classifiers", "files", "search")
    ]
    assert (report["complete"], [left["done_by"] for left in report["left"]]) == (False, ["service"])  # no broker here
    assert refusal(await api.ask("GET", f"{PEOPLE}/{person_id}")) == (404, "person_not_found")
    assert (await api.ask("DELETE", f"{PEOPLE}/{person_id}")).json()["forgotten"] == person_id  # what was left
    assert refusal(await api.ask("DELETE", f"{PEOPLE}/4711")) == (404, "person_not_found")
    with store_of(settings) as store:
        assert person_id in store.forgotten()
    assert ("the operator", "forgotten") in log_of(settings)


@pytest.mark.parametrize(("method", "path"), [("POST", PEOPLE), ("PATCH", f"{PEOPLE}/x"), ("DELETE", f"{PEOPLE}/x")])
async def test_who_only_watches_changes_nobody(api, method, path):
    assert refusal(await api.ask(method, path, "viewer")) == (403, "role_too_low")


async def test_a_gallery_that_is_gone_is_not_made_anew(opened, settings):
    kept = settings.gallery_path.rename(settings.gallery_path.with_suffix(".away"))
    try:
        for method, sent in (("GET", {}), ("POST", {"json": {"name": "X"}})):
            assert refusal(await opened[0].ask(method, PEOPLE, **sent)) == (503, "gallery_missing")
        assert not settings.gallery_path.exists()
    finally:
        kept.rename(settings.gallery_path)
