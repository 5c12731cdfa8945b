"""/api/v1: two people made one, one made two, who is most alike; and a person's ZIP, there and back."""

import asyncio
import json
import zipfile
from dataclasses import replace
from io import BytesIO

import pytest
import pytest_asyncio

from gallery.people import Profile
from streamer.api.v1 import joining, people, person_zips
from streamer.process import store_of
from streamer.settings import MqttSettings, PathsSettings, Settings
from tests.gallery.fakes import SPACE, negative_of, unit
from tests.gallery.portable import portable_person
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.office import office

pytestmark = pytest.mark.asyncio(loop_scope="module")
PEOPLE = "/api/v1/people"
ADA, BOB = portable_person(1), portable_person(2, "Bob")
BYRON = replace(portable_person(3, "Ada Byron"), profile=Profile("Ada Byron", tags=("library",)))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joining")
    return Settings(paths=PathsSettings(data=folder / "data"), mqtt=MqttSettings(port=1))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(settings, tmp_path_factory):
    routes = [people.routes, joining.routes, person_zips.routes]
    async with office(settings, tmp_path_factory.mktemp("tokens"), routes) as (api, _):
        yield api


def gallery_of(settings, *portable):
    """These people, under new ids: those of before may be forgotten ones."""
    with store_of(settings) as store:
        for person in store.people():
            store.forget(person.id)
        made = [store.add_person(one.profile.name) for one in portable]
        for person in made:
            store.forget(person.id)
        them = [
            replace(one, id=person.id[:-4] + person.id[-4:][::-1]) for one, person in zip(portable, made, strict=True)
        ]
        return [store.add_portable(one) for one in them]


async def test_two_become_one(opened, settings):
    ada, byron = gallery_of(settings, ADA, BYRON)
    with store_of(settings) as store:
        store.add_negative(ada.id, negative_of(unit(300), number=1))  # one of Byron's own faces
    answer = await opened.ask("POST", f"{PEOPLE}/ada byron/merge", "operator", json={"into": "Ada Lovelace"})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["person"]["id"], told["merged"], told["photos_added"]) == (ada.id, byron.id, byron.photos)
    assert told["person"]["tags"] == ["library", "night shift", "staff"]
    assert [left["done_by"] for left in told["left"]] == ["service"]  # no broker here
    assert SPACE in told["similarity"]
    assert (await opened.ask("GET", f"{PEOPLE}/{byron.id}")).json()["id"] == ada.id


@pytest.mark.parametrize(
    ("who", "into", "refused"),
    [
        ("Bob", "bob", (409, "merge_refused")),
        ("Bob", "Nobody", (404, "person_not_found")),
        ("Nobody", "Bob", (404, "person_not_found")),
    ],
)
async def test_who_is_not_made_one(opened, settings, who, into, refused):
    gallery_of(settings, BOB)
    assert refusal(await opened.ask("POST", f"{PEOPLE}/{who}/merge", json={"into": into})) == refused


async def test_one_becomes_two(opened, settings):
    (ada,) = gallery_of(settings, ADA)
    with store_of(settings) as store:
        numbers = [photo.id for photo in store.photos(ada.id)]
    apart = {"photos": numbers[:1], "name": "Grace Hopper"}
    answer = await opened.ask("POST", f"{PEOPLE}/{ada.id}/split", "operator", json=apart)
    assert answer.status_code == 201, answer.text
    assert answer.json()["new"]["name"] == "Grace Hopper"
    assert (answer.json()["new"]["photos"], answer.json()["person"]["photos"]) == (1, len(numbers) - 1)


@pytest.mark.parametrize(
    ("photos", "name", "refused"),
    [
        ([], "X", (409, "split_refused")),
        ([2**62], "X", (404, "photo_not_found")),
        ([2**63], "X", (422, "request_invalid")),
        (["x"], "X", (422, "request_invalid")),
        (None, "X", (409, "split_refused")),
        (1, "ada lovelace", (409, "name_taken")),
    ],
)
async def test_who_is_not_made_two(opened, settings, photos, name, refused):
    """None: all of them; 1: the first."""
    (ada,) = gallery_of(settings, ADA)
    with store_of(settings) as store:
        numbers = [photo.id for photo in store.photos(ada.id)]
    apart = {"photos": numbers if photos is None else numbers[:1] if photos == 1 else photos, "name": name}
    assert refusal(await opened.ask("POST", f"{PEOPLE}/{ada.id}/split", json=apart)) == refused


async def test_who_is_most_alike_where_nobody_has_templates_of_the_model(opened, settings):
    gallery_of(settings, ADA)
    assert refusal(await opened.ask("GET", "/api/v1/look-alikes", "operator")) == (409, "calibration_too_few")


async def test_there_and_back_with_all_that_is_kept(opened, settings):
    (ada,) = gallery_of(settings, ADA)
    exported = await opened.ask("GET", f"{PEOPLE}/{ada.id}/export", "admin")
    assert exported.headers["content-type"] == "application/zip"
    assert exported.headers["content-disposition"] == f'attachment; filename="{ada.id}.zip"'
    assert exported.headers["cache-control"] == "no-store"
    with zipfile.ZipFile(BytesIO(exported.content)) as archive:
        person = json.loads(archive.read("person.json"))
        assert (person["id"], len(person["photos"])) == (ada.id, ada.photos)
    sent = {"file": ("ada.zip", exported.content, "application/zip")}
    assert refusal(await opened.ask("POST", f"{PEOPLE}/import", "admin", files=sent)) == (409, "person_id_taken")
    with store_of(settings) as store:
        assert [entry.action for entry in store.audit_entries(ada.id)][-1] == "exported"
        store.forget(ada.id)
    assert refusal(await opened.ask("POST", f"{PEOPLE}/import", "admin", files=sent)) == (409, "person_forgotten")
    assert list(settings.paths.data.glob("*.zip")) == []


async def test_who_comes_from_another_gallery(opened, settings, tmp_path):
    elsewhere = settings.apart_in(tmp_path)
    elsewhere.paths.data.mkdir(parents=True)
    (bob,) = gallery_of(elsewhere, BOB)
    gallery_of(settings, ADA)
    async with office(elsewhere, tmp_path, [person_zips.routes]) as (other, _):
        exported = await other.ask("GET", f"{PEOPLE}/bob/export", "admin")
    sent = {"file": ("bob.zip", exported.content, "application/zip")}
    asked = [opened.ask("POST", f"{PEOPLE}/import", "admin", files=sent) for _ in range(3)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    shown = await opened.ask("GET", f"{PEOPLE}/{bob.id}")
    assert (shown.json()["name"], shown.json()["photos"]) == ("Bob", bob.photos)


@pytest.mark.parametrize(
    ("content", "refused"),
    [(b"", (422, "archive_invalid")), (b"no ZIP", (422, "archive_invalid")), (None, (422, "person_file_invalid"))],
)
async def test_files_that_are_nobodys(opened, content, refused):
    """None: an empty ZIP."""
    if content is None:
        made = BytesIO()
        zipfile.ZipFile(made, "w").close()
        content = made.getvalue()
    sent = {"file": ("x.zip", content, "application/zip")}
    assert refusal(await opened.ask("POST", f"{PEOPLE}/import", "admin", files=sent)) == refused


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", f"{PEOPLE}/x/export", "operator"),
        ("POST", f"{PEOPLE}/import", "operator"),
        ("POST", f"{PEOPLE}/x/merge", "viewer"),
        ("POST", f"{PEOPLE}/x/split", "viewer"),
        ("GET", "/api/v1/look-alikes", "viewer"),
    ],
)
async def test_who_may_not(opened, method, path, role):
    assert refusal(await opened.ask(method, path, role)) == (403, "role_too_low")
