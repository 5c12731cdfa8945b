"""The page's files: everybody gets them, from here alone, and nothing stands in them that its policy forbids."""

import re
from importlib import resources

import httpx
import pytest
from fastapi import FastAPI

from streamer.api import problems
from streamer.api.closed import Closed
from streamer.live_view import pages as live_view_pages
from streamer.web.pages import routes
from tests.streamer.access.keys import guard_without_tokens
from tests.streamer.web.parts import Parts

FOLDER = resources.files("streamer.web") / "page"


def names(folder=FOLDER, prefix=""):
    found = []
    for one in folder.iterdir():
        found += names(one, f"{prefix}{one.name}/") if one.is_dir() else [prefix + one.name]
    return sorted(found)


@pytest.fixture
async def client():
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    problems.install(app)
    app.include_router(routes())
    app.include_router(live_view_pages.routes())  # whose icon and parts the page uses
    app.add_middleware(Closed, routes=app.router.routes, guard=guard_without_tokens())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        yield client


async def test_the_page_is_whole(client):
    """It, and whatever its scripts and styles import, however far."""
    page = await client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    parts = Parts()
    parts.feed(page.text)
    assert parts.inline == []
    waiting, seen = list(parts.references), set()
    assert waiting
    while waiting:
        path = waiting.pop()
        if path.startswith("#") or path in seen:
            continue
        seen.add(path)
        answer = await client.get(path)
        assert answer.status_code == 200, path
        if path.endswith(".js"):
            imported = re.findall(r"""^(?:import|export)\b[^;(]*?["']([./][^"']+)["']""", answer.text, re.MULTILINE)
            imported += re.findall(r"""\bimport\(["']([./][^"']+)["']\)""", answer.text)
            waiting += [str(httpx.URL(f"http://here{path}").join(one).path) for one in imported]


async def test_nothing_from_elsewhere_may_run_in_it(client):
    for path in ("/", *(f"/page/{name}" for name in names() if name != "index.html")):
        headers = (await client.get(path)).headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "__init__.py", "..%2Fpages.py", "../../api/errors.py"])
async def test_there_is_no_other_file(client, name):
    answer = await client.get(f"/page/{name}")
    assert answer.status_code in (401, 404), "what is no path of the page's is told to who has a token"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", names())
def test_no_file_names_another_place_or_makes_markup_of_text(name):
    """Licences of what is vendored say where it is from."""
    text = (FOLDER / name).read_text()
    if name.endswith((".html", ".css", ".js")):
        loads = re.findall(r"""(?:src|href|url\(|import|fetch\()\s*=?\s*\(?["']?(?:https?:)?//[^\s"')]+""", text)
        assert loads == []
        if "vendor" not in name:
            assert "innerHTML" not in text, "a person's name is text"
