"""/api/v1/people over a real gallery: who is there, page by page, with entity tags, for those who may."""

import pytest

from streamer.api.gallery_desk import GalleryDesk
from streamer.api.v1 import people
from streamer.process import store_of
from streamer.settings import PathsSettings, Settings
from tests.streamer.api.v1.api import refusal, served


@pytest.fixture
def settings(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    settings = Settings(paths=PathsSettings(data=data))
    with store_of(settings) as store:
        for name in ("Grace Hopper", "ada Lovelace", "Émilie du Châtelet"):
            store.add_person(name)
    return settings


@pytest.fixture
async def api(settings, tmp_path):
    async with GalleryDesk.open(settings) as desk, served(tmp_path, [people.routes(desk)]) as api:
        yield api


async def test_all_are_there_page_by_page(api):
    names, after = [], ""
    while after is not None:
        answer = await api.ask("GET", f"/api/v1/people?limit=2{after and f'&after={after}'}", "viewer")
        assert answer.status_code == 200
        names.append([person["name"] for person in answer.json()["people"]])
        after = answer.json()["next"]
    assert names == [["ada Lovelace", "Grace Hopper"], ["Émilie du Châtelet"]]


@pytest.mark.parametrize("cursor", ["x", "e30", "WzEsMl0", "W" * 399])
async def test_a_cursor_of_no_list_of_ours(api, cursor):
    assert refusal(await api.ask("GET", f"/api/v1/people?after={cursor}")) == (400, "cursor_invalid")


async def test_what_has_not_changed_is_not_sent_again(api):
    first = await api.ask("GET", "/api/v1/people/Grace Hopper", "viewer")
    assert first.json()["name"] == "Grace Hopper"
    again = await api.ask(
        "GET", f"/api/v1/people/{first.json()['id']}", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


async def test_nobody_of_that_name(api):
    assert refusal(await api.ask("GET", "/api/v1/people/Nobody")) == (404, "person_not_found")


async def test_a_gallery_that_is_gone_is_not_made_anew(api, settings):
    settings.gallery_path.unlink()
    assert refusal(await api.ask("GET", "/api/v1/people")) == (503, "gallery_missing")
    assert not settings.gallery_path.exists()
