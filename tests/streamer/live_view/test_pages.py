"""The page's files: everybody gets them, they come from here alone, and nothing in them is private or inline."""

import re
from importlib import resources

import httpx
import pytest
from fastapi import FastAPI

from streamer import errors
from streamer.api import problems
from streamer.api.closed import Closed
from streamer.live_view.pages import routes
from streamer.pipeline.camera import NO_PUBLISHER
from streamer.pipeline.camera_trouble import WORDS
from tests.streamer.access.keys import guard_without_tokens
from tests.streamer.web.parts import Parts

FILES = sorted(file.name for file in (resources.files("streamer.live_view") / "page").iterdir())


@pytest.fixture
async def client():
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    problems.install(app)
    app.include_router(routes())
    app.add_middleware(Closed, routes=app.router.routes, guard=guard_without_tokens())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        yield client


@pytest.mark.parametrize("page", ["watch", "publish"])
async def test_a_page_is_whole_and_the_same_for_every_camera(client, page):
    door, other = await client.get(f"/{page}/door"), await client.get(f"/{page}/there-is-no-such-camera")
    assert (door.status_code, door.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert door.content == other.content, "or it would tell strangers which cameras there are"
    parts = Parts()
    parts.feed(door.text)
    assert parts.inline == []
    assert len(parts.references) == 4
    scripts = []
    for reference in parts.references:
        answer = await client.get(reference)
        assert answer.status_code == 200, reference
        if reference.endswith(".js"):
            scripts.append(answer.text)
    (script,) = scripts
    for imported in re.findall(r'from "\./(.+)"', script):
        answer = await client.get(f"/assets/{imported}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")


def test_each_reason_of_a_camera_that_is_away_has_its_words():
    """But for those of errors that are for whoever asks, or publishes, and of a stream that goes on."""
    others = {errors.CameraUnknown, errors.CameraExists, errors.CameraDisabled, errors.CameraNotPublished}
    others |= {errors.CamerasFixed, errors.PublisherPresent, errors.StreamResized}
    codes = {error.code for error in errors.CameraError.__subclasses__() if error not in others}
    assert codes
    states = (resources.files("streamer.live_view") / "page" / "states.js").read_text()
    words = set(re.findall(r"^  (\w+):", states.partition("REASONS")[2], re.MULTILINE))
    assert words >= codes | {"starting", "ended", "stopped", NO_PUBLISHER}
    assert set(re.findall(r"^  (\w+):", states.partition("REASONS")[0], re.MULTILINE)) == set(WORDS)


@pytest.mark.parametrize(
    "path", ["/watch/door", "/publish/door", "/assets/watch.js", "/assets/watch.css", "/assets/icon.svg"]
)
async def test_nothing_from_elsewhere_may_run_in_it(client, path):
    headers = (await client.get(path)).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"


@pytest.mark.parametrize(
    "name", ["nothing.js", "watch.html", "publish.html", "__init__.py", "..%2Fview.py", "%2Fetc%2Fpasswd"]
)
async def test_there_is_no_other_file(client, name):
    # With a / in it that is no path of the pages', and whoever has no token isn't told whether it is one at all.
    assert (await client.get(f"/assets/{name}")).status_code == (401 if "%2F" in name else 404)


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_place(name):
    text = (resources.files("streamer.live_view") / "page" / name).read_text()
    assert set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in text, "a person's name is text"
