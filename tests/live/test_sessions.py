"""A session in headless Chromium: what our own page may by the cookie, and what pages of other origins may not.

The other origins are on other ports of this host: to a browser the same site, so that SameSite lets the cookie through.
"""

from http.server import BaseHTTPRequestHandler

import pytest

from streamer.access.cookies import COOKIE
from streamer.web import pages
from tests.http_servers import Quiet, http_servers
from tests.live.browser import Browser
from tests.streamer.api.v1.test_session import Browser as Served
from tests.streamer.api.v1.test_session import served

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

SIGN_IN = """
const answer = await fetch("/api/v1/session", {method: "POST", headers: {"Content-Type": "application/json"},
                                               body: JSON.stringify({token: arguments[0]})});
window.csrf = (await answer.json()).csrf;
return answer.status;
"""
CHANGE = """
const answer = await fetch("/things/operator", {method: "POST", headers: arguments[0] ? {"X-CSRF-Token": csrf} : {}});
return answer.status;
"""
# From here on for any page: by its origin, with whatever a page can send along.
ASK = """
const [url, method] = arguments;
try {
  const answer = await fetch(url, {method, credentials: "include", mode: arguments[2]});
  return answer.type === "opaque" ? "sent, and unread" : `${answer.status} ${await answer.text()}`;
} catch (error) { return "refused"; }
"""
LISTENS = """
const source = new EventSource(arguments[0], {withCredentials: true});
return new Promise((done) => {
  source.onopen = () => { source.close(); done(true); };
  source.onerror = () => { source.close(); done(false); };
});
"""
OPENS = """
const socket = new WebSocket(arguments[0]);
return new Promise((done) => {
  socket.onopen = () => { socket.close(); done(true); };
  socket.onerror = () => done(false);
});
"""


class Elsewhere(Quiet, BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><p>Another program on this host.</p>")


async def test_our_page_may_and_those_of_others_may_not(tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<!doctype html><title>ours</title>")
    async with served(tmp_path, routers=[pages.routes(tmp_path / "page")]) as there, Browser() as browser:
        with http_servers() as start:
            await _ours(browser, there)
            await _theirs(browser, there, start(Elsewhere))
        await browser.open(there.url)
        assert (await browser.run(ASK, "/api/v1/session", "GET", "cors")).startswith("200"), "it goes on all the same"


async def _ours(browser: Browser, there: Served) -> None:
    await browser.open(there.url)
    assert await browser.run(SIGN_IN, there.keys.secrets["operator"]) == 201
    assert COOKIE not in await browser.run("return document.cookie"), "no script can read it"
    assert await browser.run(ASK, "/things/operator", "GET", "cors") == '200 "the operator"'
    assert [await browser.run(CHANGE, known) for known in (True, False)] == [200, 403]
    assert await browser.run(LISTENS, "/things/live")
    assert await browser.run(OPENS, there.url.replace("http", "ws") + "/things/live")
    await browser.open(there.url + "/things/viewer")  # an address that is typed in
    assert "the operator" in await browser.run("return document.body.textContent")


async def _theirs(browser: Browser, there: Served, elsewhere: str) -> None:
    """Same site, another origin."""
    before = there.refused("csrf_refused")
    await browser.open(elsewhere)
    for method in ("GET", "POST", "DELETE"):
        assert await browser.run(ASK, there.url + "/things/operator", method, "cors") == "refused"
    assert await browser.run(ASK, there.url + "/things/operator", "POST", "no-cors") in ("refused", "sent, and unread")
    assert there.refused("csrf_refused") > before, "it came with the cookie, and was refused"
    assert not await browser.run(LISTENS, there.url + "/things/live")
    assert not await browser.run(OPENS, there.url.replace("http", "ws") + "/things/live")
    assert await browser.run(ASK, there.url + "/api/v1/session", "GET", "cors") == "refused", "nor learns what to say"
    framed = """
    const frame = document.createElement("iframe");
    frame.src = arguments[0];
    const loaded = new Promise((done) => { frame.onload = done; });
    document.body.append(frame);
    await loaded;
    try { return frame.contentDocument === null ? "closed" : frame.contentDocument.body.textContent; }
    catch (error) { return "closed"; }
    """
    assert await browser.run(framed, there.url + "/things/viewer") == "closed"
