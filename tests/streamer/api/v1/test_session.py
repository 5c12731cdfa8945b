"""A browser signs in, is let in by its cookie wherever a token is taken, and does not do what another page wants."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, Response, WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamer.access.attempts import LIMIT
from streamer.access.cookies import COOKIE
from streamer.access.guard import Caller, needs
from streamer.access.roles import ROLES
from streamer.api.application import create_app
from streamer.api.certificate import Certificate
from streamer.api.gallery_desk import actor_of
from streamer.api.server import serve_http
from streamer.api.streaming.messages import Mailbox
from streamer.api.streaming.streams import Streams
from streamer.api.v1 import session
from tests.certificates import make_certificate
from tests.streamer.access.browsers import PATH, Keys, sign_in
from tests.streamer.access.keys import bearer
from tests.streamer.api.streaming.listeners import next_event
from tests.streamer.api.v1.api import Looked, refusal


class Browser:
    """A client with a jar, the service's keys, and where it is."""

    def __init__(self, keys: Keys, client: httpx.AsyncClient, streams: Streams) -> None:
        self.keys, self.client, self.streams = keys, client, streams
        self.url = str(client.base_url)

    def cookie(self) -> dict[str, str]:
        return {"Cookie": f"{COOKIE}={self.client.cookies[COOKIE]}"}

    def refused(self, code: str) -> float:
        return self.keys.metrics.registry.get_sample_value("whosthere_http_refused_total", {"code": code}) or 0.0


def things(streams: Streams) -> APIRouter:
    """Something of each kind that a page asks for."""
    routes = APIRouter(prefix="/things")

    for role in ROLES:

        @routes.get(f"/{role}")
        @routes.post(f"/{role}")
        async def asked(caller: Annotated[Caller, Depends(needs(role))]) -> str:
            return actor_of(caller)

    @routes.get("/live")
    async def live(caller: Annotated[Caller, Depends(needs("viewer"))]) -> Response:
        return streams.events(caller, nullcontext(Mailbox(10)))

    @routes.websocket("/live")
    async def live_socket(websocket: WebSocket, caller: Annotated[Caller, Depends(needs("viewer"))]) -> None:
        await streams.web_socket(websocket, caller, nullcontext(Mailbox(10)))

    @routes.post("/door")
    async def door(caller: Annotated[Caller, Depends(needs("operator", lambda _: "hunter2"))]) -> str:
        return actor_of(caller)

    return routes


@asynccontextmanager
async def served(
    folder, tls: ssl.SSLContext | None = None, routers: Sequence[APIRouter] = (), **how
) -> AsyncIterator[Browser]:
    keys = Keys(folder)
    streams = Streams(keys.guard, keys.metrics)
    app = create_app(Looked(keys.guard, keys.metrics), [session.routes(keys.guard), things(streams), *routers])
    scheme, verify = ("http", True) if tls is None else ("https", False)
    async with (
        serve_http(app, "127.0.0.1", 0, tls=tls, metrics=keys.metrics, **how) as port,
        httpx.AsyncClient(base_url=f"{scheme}://127.0.0.1:{port}", timeout=30, verify=verify) as client,
    ):
        yield Browser(keys, client, streams)


@pytest.fixture
async def browser(tmp_path):
    async with served(tmp_path) as browser:
        yield browser


def cookie_of(answer: httpx.Response) -> tuple[str, set[str]]:
    """Its value, and what is said of it."""
    (header,) = answer.headers.get_list("set-cookie")
    value, *said = header.split("; ")
    name, _, value = value.partition("=")
    assert name == COOKIE
    return value, set(said)


@pytest.mark.parametrize("role", ROLES)
async def test_who_has_a_token_signs_in_and_out(browser, role):
    answer = await browser.client.post(PATH, json={"token": f" {browser.keys.secrets[role]}\n"})
    assert answer.status_code == 201
    value, said = cookie_of(answer)
    assert said == {"HttpOnly", "Max-Age=1000", "Path=/", "SameSite=Strict"}
    document = answer.json()
    assert document.keys() == {"name", "role", "csrf", "expires_at"}
    assert (document["name"], document["role"]) == (f"the {role}", role)
    assert 0 < document["expires_at"] - time.time() <= 100
    assert value not in answer.text
    assert answer.headers["cache-control"] == "no-store"

    shown = await browser.client.get(PATH)
    assert shown.json() == document | {"expires_at": shown.json()["expires_at"]}
    for needed in ROLES:
        allowed = ROLES.index(needed) <= ROLES.index(role)
        answer = await browser.client.get(f"/things/{needed}")
        assert answer.status_code == (200 if allowed else 403)
        assert answer.json() == f"the {role}" if allowed else answer.json()["code"] == "role_too_low"

    answer = await browser.client.delete(PATH, headers={"X-CSRF-Token": document["csrf"]})
    assert answer.status_code == 204
    assert cookie_of(answer)[1] >= {"Max-Age=0", "Path=/"}
    assert COOKIE not in browser.client.cookies
    assert refusal(await browser.client.get(PATH)) == (401, "token_missing")
    stale = await browser.client.get(PATH, headers={"Cookie": f"{COOKIE}={value}"})
    assert refusal(stale) == (401, "session_over")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"json": {"token": "wt_no"}}, 401, "token_invalid"),
        ({"json": {"token": "\u00e4\U0001f600"}}, 401, "token_invalid"),
        ({"content": b'{"token": "\\ud800"}', "headers": {"Content-Type": "application/json"}}, 422, "request_invalid"),
        ({"json": {"token": ""}}, 422, "request_invalid"),
        ({"json": {"token": "x" * 201}}, 422, "request_invalid"),
        ({"json": {"token": None}}, 422, "request_invalid"),
        ({"json": {"token": 7, "more": 1}}, 422, "request_invalid"),
        ({"json": []}, 422, "request_invalid"),
        ({"json": {"token": "x" * 5000}}, 413, "body_too_large"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "request_invalid"),
        ({"content": b'{"token": "x"}', "headers": {"Content-Type": "text/plain"}}, 415, "media_type_unsupported"),
        ({"data": {"token": "x"}}, 415, "media_type_unsupported"),
        ({}, 415, "media_type_unsupported"),
    ],
)
async def test_what_is_no_token_is_refused(browser, sent, status, code):
    answer = await browser.client.post(PATH, **sent)
    assert refusal(answer) == (status, code)
    assert "set-cookie" not in answer.headers
    assert "wt_no" not in answer.text
    assert len(browser.keys.sessions) == 0


async def test_who_guesses_waits_and_a_token_holds(browser):
    for _ in range(LIMIT):
        assert refusal(await browser.client.post(PATH, json={"token": "guess"})) == (401, "token_invalid")
    answer = await browser.client.post(PATH, json={"token": "guess"})
    assert refusal(answer) == (429, "too_many_attempts")
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert (browser.refused("token_invalid"), browser.refused("too_many_attempts")) == (LIMIT, 1)
    await sign_in(browser.client, browser.keys.secrets["viewer"])
    for _ in range(LIMIT + 5):  # a page that asks with an old cookie tries nothing
        assert refusal(await browser.client.get(PATH, headers={"Cookie": f"{COOKIE}=x"})) == (401, "session_over")
    assert (await browser.client.get(PATH)).status_code == 200


async def test_a_change_is_our_pages_alone(browser):
    csrf = await sign_in(browser.client, browser.keys.secrets["operator"])
    for wrong in ({}, {"X-CSRF-Token": "0" * 64}, csrf | {"Origin": "http://evil.example"}):
        assert refusal(await browser.client.post("/things/operator", headers=wrong)) == (403, "csrf_refused")
        assert refusal(await browser.client.delete(PATH, headers=wrong)) == (403, "csrf_refused")
    assert browser.refused("csrf_refused") == 6
    for right in (csrf, csrf | {"Origin": browser.url}, csrf | {"Sec-Fetch-Site": "same-origin"}):
        assert (await browser.client.post("/things/operator", headers=right)).json() == "the operator"
    assert refusal(await browser.client.post("/things/admin", headers=csrf)) == (403, "role_too_low")
    assert (await browser.client.get(PATH)).status_code == 200, "nobody was signed out"


async def test_nobody_is_signed_in_by_another_page(browser):
    token = {"token": browser.keys.secrets["viewer"]}
    for asks in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        assert refusal(await browser.client.post(PATH, json=token, headers=asks)) == (403, "csrf_refused")
    assert len(browser.keys.sessions) == 0


async def test_a_bearers_header_counts_before_a_cookie(browser):
    await sign_in(browser.client, browser.keys.secrets["viewer"])
    admin = bearer(browser.keys.secrets["admin"])
    assert (await browser.client.post("/things/admin", headers=admin)).json() == "the admin"
    assert refusal(await browser.client.get("/things/viewer", headers=bearer("wt_no"))) == (401, "token_invalid")
    shown = (await browser.client.get(PATH, headers=admin)).json()
    assert shown == {"name": "the admin", "role": "admin", "csrf": None, "expires_at": None}
    assert (await browser.client.post("/things/door", headers=bearer("hunter2"))).json() == "api"
    basic = {"Authorization": "Basic YTpi"}  # as a proxy's own login sends it
    assert (await browser.client.get("/things/viewer", headers=basic)).json() == "the viewer"
    assert (await browser.client.get(PATH, headers=basic)).json()["csrf"]


async def test_who_signs_in_anew_has_one_session(browser):
    await sign_in(browser.client, browser.keys.secrets["viewer"])
    first = browser.cookie()
    csrf = await sign_in(browser.client, browser.keys.secrets["operator"])
    assert len(browser.keys.sessions) == 1
    assert refusal(await browser.client.get(PATH, headers=first)) == (401, "session_over")
    assert (await browser.client.post("/things/operator", headers=csrf)).is_success
    both = {"Cookie": f"{first['Cookie']}; {browser.cookie()['Cookie']}"}
    assert (await browser.client.get(PATH, headers=both)).json()["role"] == "operator"


async def test_a_session_that_is_not_used_or_whose_token_is_gone_is_over(browser):
    await sign_in(browser.client, browser.keys.secrets["viewer"])
    browser.keys.clock.now_s += 99
    assert (await browser.client.get("/things/viewer")).is_success
    browser.keys.clock.now_s += 101
    assert refusal(await browser.client.get("/things/viewer")) == (401, "session_over")

    await sign_in(browser.client, browser.keys.secrets["viewer"])
    browser.keys.revoke("viewer")
    answer = await browser.client.get("/things/viewer")
    assert refusal(answer) == (401, "session_over")
    assert "sign in again" in answer.json()["detail"]
    assert refusal(await browser.client.get("/nowhere")) == (401, "session_over")
    assert (await browser.client.get("/healthz")).is_success


@pytest.mark.parametrize("ends", ["signed out", "revoked", "too old"])
async def test_streams_end_with_their_session(browser, ends):
    csrf = await sign_in(browser.client, browser.keys.secrets["viewer"])
    origin = {"Origin": browser.url}
    url = browser.url.replace("http", "ws") + "/things/live"
    async with (
        asyncio.timeout(20),
        browser.client.stream("GET", "/things/live") as events,
        connect(url, additional_headers=browser.cookie() | origin, proxy=None) as heard,
    ):
        lines = events.aiter_lines()
        assert await next_event(lines) == {"retry": "2000"}
        while len(browser.streams) < 2:
            await asyncio.sleep(0.005)
        if ends == "signed out":
            assert (await browser.client.delete(PATH, headers=csrf)).status_code == 204
        elif ends == "revoked":
            browser.keys.revoke("viewer")
        else:
            browser.keys.clock.now_s += 1000
        with pytest.raises(ConnectionClosed) as closed:
            await heard.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "token_invalid")
        assert (await next_event(lines))["event"] == "end"


async def test_a_stream_is_use(browser):
    await sign_in(browser.client, browser.keys.secrets["viewer"])
    async with asyncio.timeout(20), browser.client.stream("GET", "/things/live"):
        for _ in range(5):
            browser.keys.clock.now_s += 60
            (kept,) = browser.keys.sessions._kept.values()
            while kept.used_s < browser.keys.clock.now_s:
                await asyncio.sleep(0.005)
    assert (await browser.client.get(PATH)).status_code == 200


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null"])
async def test_no_page_of_others_opens_a_websocket(browser, origin):
    await sign_in(browser.client, browser.keys.secrets["viewer"])
    headers = browser.cookie() | ({"Origin": origin} if origin else {})
    url = browser.url.replace("http", "ws") + "/things/live"
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, additional_headers=headers, proxy=None):
            pass
    assert caught.value.response.status_code == 403
    assert b"csrf_refused" in caught.value.response.body
    async with connect(url, additional_headers=bearer(browser.keys.secrets["viewer"]), proxy=None):
        pass


async def test_over_tls_the_cookie_comes_by_tls_alone(tmp_path):
    async with served(tmp_path, Certificate(make_certificate(tmp_path).settings).context) as browser:
        answer = await browser.client.post(PATH, json={"token": browser.keys.secrets["viewer"]})
        assert "Secure" in cookie_of(answer)[1]
        csrf = {"X-CSRF-Token": answer.json()["csrf"]}
        assert "Secure" in cookie_of(await browser.client.delete(PATH, headers=csrf))[1]


@pytest.mark.parametrize(("proto", "is_secure"), [("https", True), ("http", False)])
async def test_a_proxys_word_on_tls_is_taken(tmp_path, proto, is_secure):
    async with served(tmp_path, trusted_proxies=["127.0.0.1"]) as browser:
        said = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": proto, "Host": "cameras.example"}
        ours = said | {"Origin": "https://cameras.example"}
        answer = await browser.client.post(PATH, json={"token": browser.keys.secrets["viewer"]}, headers=ours)
        assert ("Secure" in cookie_of(answer)[1]) is is_secure


async def test_who_trickles_bodies_keeps_few_places_and_no_others(browser):
    """Each of one address at once, then refused; who has a session, or another address, is not held up."""
    head = b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    port = httpx.URL(browser.url).port
    await sign_in(browser.client, browser.keys.secrets["viewer"])
    held = [await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port)) for _ in range(session.MOST_OF_ONE)]
    try:
        for one in held:
            one.sendall(head)
        async with asyncio.timeout(20):
            while True:
                answer = await browser.client.post(PATH, json={"token": browser.keys.secrets["viewer"]})
                if answer.status_code != 201:
                    break
        assert refusal(answer) == (429, "overloaded")
        assert (await browser.client.get(PATH)).status_code == 200
    finally:
        for one in held:
            one.close()
    async with asyncio.timeout(20):
        while (await browser.client.post(PATH, json={"token": browser.keys.secrets["viewer"]})).status_code != 201:
            await asyncio.sleep(0.01)


async def test_where_there_are_no_sessions_no_cookie_is_looked_at(tmp_path):
    keys = Keys(tmp_path)
    _, secret = keys.sessions.begin(keys.tokens.find(keys.secrets["viewer"].encode()))  # type: ignore[arg-type]
    keys.guard.sessions = None
    async with (
        serve_http(create_app(Looked(keys.guard, keys.metrics)), "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        answer = await client.get("/docs", headers={"Cookie": f"{COOKIE}={secret}"})
    assert refusal(answer) == (401, "token_missing")
