"""/api/v1/identify with the project's own networks: who is in photos, as cameras are judged."""

import asyncio
import tempfile
from pathlib import Path

import pytest
import pytest_asyncio

from streamer.api.v1 import identify, negatives, people, person_zips, photos
from streamer.people import studio as studios
from streamer.settings import PathsSettings, Settings
from tests.faces import KNOWN, STRANGERS
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.office import office, photo

pytestmark = pytest.mark.asyncio(loop_scope="module")
IDENTIFY = "/api/v1/identify"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory):
    """With one who is enrolled."""
    folder = tmp_path_factory.mktemp("identify")
    settings = Settings(paths=PathsSettings(data=folder / "data"))
    of_people = [kind.routes for kind in (people, photos, negatives, person_zips)]
    routes = [*of_people, lambda desk, studio: identify.routes(studio)]
    async with office(settings, folder, routes) as (api, studio):
        sent = [photo(folder, "1.png", KNOWN)]
        added = await api.ask("POST", "/api/v1/people", data={"name": "Eileen"}, files=sent)
        assert added.status_code == 201, added.text
        await studio.live_gallery.refresh()
        yield api, studio


@pytest.fixture
def api(made):
    return made[0]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/identify", "images"),
        ("/people", "images"),
        ("/people/Eileen/photos", "images"),
        ("/people/Eileen/negatives", "images"),
        ("/people/import", "file"),
    ],
)
async def test_no_more_forms_lie_in_memory_than_a_number(made, monkeypatch, path, field):
    api, studio = made
    monkeypatch.setattr(studios, "MOST_FORMS", 1)
    sent = {"files": [(field, ("a", b"no photo", "image/png"))], "data": {"name": "Ada"} if path == "/people" else {}}
    async with studio.admitted():
        answer = await api.ask("POST", f"/api/v1{path}", **sent)
        assert refusal(answer) == (429, "overloaded")
        assert int(answer.headers["retry-after"]) > 0
    answer = await api.ask("POST", f"/api/v1{path}", **sent)
    assert answer.status_code in (200, 422), answer.text


async def test_who_is_known_who_is_not_and_what_is_no_photo(api, tmp_path):
    sent = [
        photo(tmp_path, "both.png", STRANGERS[0], KNOWN),
        ("images", ("notes.txt", b"no photo", "text/plain")),
        photo(tmp_path, "nobody.png", None),
        ("images", ("cut.png", photo(tmp_path, "both.png", KNOWN)[1][1][:4000], "image/png")),
    ]
    answer = await api.ask("POST", IDENTIFY, "operator", files=sent)
    assert answer.status_code == 200, answer.text
    images = answer.json()["images"]
    assert [image["file"] for image in images] == ["both.png", "notes.txt", "nobody.png", "cut.png"]
    assert {face["decision"]: face["person"] and face["person"]["name"] for face in images[0]["faces"]} == {
        "known": "Eileen",
        "unknown": None,
    }
    known = next(face for face in images[0]["faces"] if face["decision"] == "known")
    assert known["similarity"] >= known["threshold"]
    assert known["box"][0] >= 320  # the second place of the picture
    assert [image["error"] and image["error"]["code"] for image in images] == [
        None,
        "image_unreadable",
        None,
        "image_cut_short",
    ]
    assert images[2]["faces"] == []


@pytest.mark.parametrize("size_mib", [0, 2, 5])
async def test_nothing_of_what_was_sent_is_left(api, tmp_path, monkeypatch, size_mib):
    """A photo that is too large for memory lies in a file that has no name, and is gone with the request."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    name, (called, png, kind) = photo(tmp_path, "1.png", KNOWN)
    sent = [(name, (called, png + bytes(size_mib << 20), kind))]
    answer = await api.ask("POST", IDENTIFY, files=sent)
    assert answer.json()["images"][0]["faces"][0]["decision"] == "known"
    assert list(folder.iterdir()) == []
    assert [str(folder) in str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()].count(
        True
    ) == 0


@pytest.mark.parametrize("photos", [2, 5, 20])
async def test_where_nobody_waits_any_more_no_further_photo_is_looked_at(made, tmp_path, monkeypatch, photos):
    api, studio = made
    entered, gone, looked, over = asyncio.Event(), asyncio.Event(), [], asyncio.Event()

    async def identify(path, read):
        looked.append(path)
        entered.set()
        await gone.wait()
        over.set()
        return {"file": str(path), "faces": []}

    monkeypatch.setattr(studio, "identify", identify)
    sent = [photo(tmp_path, f"{number}.png", None) for number in range(photos)]
    asking = asyncio.create_task(api.ask("POST", IDENTIFY, files=sent))
    async with asyncio.timeout(30):
        await entered.wait()
        asking.cancel()  # its connection is closed
        await asyncio.wait([asking])
        await api.ask("GET", "/api/v1/people")  # by now the server has noticed
        gone.set()
        await over.wait()
        await api.ask("GET", "/api/v1/people")
    assert len(looked) == 1


@pytest.mark.parametrize("role", ["viewer", None])
async def test_who_only_watches_sends_no_images(api, tmp_path, role):
    answer = await api.ask("POST", IDENTIFY, role, files=[photo(tmp_path, "1.png", KNOWN)])
    assert answer.status_code in (401, 403)


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        ({"json": {"images": ["AAAA"]}}, (415, "media_type_unsupported")),
        ({"data": {"images": "x"}, "files": [("other", ("x", b"", "image/png"))]}, (422, "request_invalid")),
        ({"data": {"names": "both"}, "files": [("images", ("x", b"", "image/png"))]}, (422, "request_invalid")),
    ],
)
async def test_requests_that_say_it_wrong(api, sent, refused):
    assert refusal(await api.ask("POST", IDENTIFY, **sent)) == refused
