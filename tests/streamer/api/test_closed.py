"""The application is closed: asked over real sockets, with and without tokens, through every route that it has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from streamer.access.attempts import LIMIT
from streamer.access.guard import Caller, needs, open_to_all
from streamer.access.roles import ROLES, covers
from streamer.api.application import create_app
from streamer.api.closed import needs_of
from streamer.api.server import serve_http
from streamer.readiness import Readiness
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.keys import bearer, guard_with_tokens

OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}


class Looked:
    """As much of a service as the routes look at."""

    def __init__(self, folder: Path) -> None:
        self.metrics = Metrics()
        self.guard, self.headers = guard_with_tokens(folder, self.metrics)

    def readiness(self) -> Readiness:
        return Readiness(())


@pytest.fixture
def service(tmp_path: Path) -> Looked:
    return Looked(tmp_path)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve_http(app, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route that there is."""
    return [
        (method, context.path or "")
        for context in iter_route_contexts(app.router.routes)
        for method in sorted((context.methods or {"GET"}) - {"HEAD"})
    ]


async def test_every_route_but_three_asks_for_a_token(service):
    app = create_app(service)
    there = operations(app)
    assert len(there) >= 5
    async with served(app) as client:
        answers = {one: await client.request(*one) for one in there}
    assert {one for one, answer in answers.items() if answer.status_code != 401} == OPEN
    for one in set(there) - OPEN:
        assert_problem(answers[one], 401, "token_missing")
        assert answers[one].headers["www-authenticate"] == 'Bearer realm="whosthere"'


def test_every_route_says_what_it_needs(service):
    app = create_app(service)
    said = {context.path: needs_of(context) for context in iter_route_contexts(app.router.routes)}
    assert [path for path, needed in said.items() if not needed] == []


@pytest.mark.parametrize("path", ["/nothing", "/", "/api/v1/people", "/healthz/", "//healthz", "/HEALTHZ", "/docs/"])
async def test_what_is_not_there_is_told_to_those_with_a_token_alone(service, path):
    async with served(create_app(service)) as client:
        assert_problem(await client.get(path), 401, "token_missing")
        found = await client.get(path, headers=service.headers["viewer"])
        assert_problem(found, 404, "not_found")
        is_slashed = path != "/" and path.endswith("/")
        assert ("no path here has a slash at its end" in found.json()["detail"]) is is_slashed


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "PROPFIND"])
async def test_an_open_path_is_open_to_its_own_method(service, method):
    async with served(create_app(service)) as client:
        assert (await client.request(method, "/healthz")).status_code == 401
        assert (await client.request(method, "/healthz", headers=service.headers["viewer"])).status_code == 405


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "token_missing"),
        ("Bearer", "token_missing"),
        ("Bearer, x", "token_missing"),
        ("Basic dXNlcjpwYXNz", "token_missing"),
        ("wt_without_a_scheme", "token_missing"),
        ("Bearer wt_" + 43 * "A", "token_invalid"),
        ("Bearer \xe4\xff", "token_invalid"),
        ("bearer x", "token_invalid"),
        ("Bearer " + 8000 * "A", "token_invalid"),
    ],
)
async def test_what_is_no_token_is_refused(service, header, code):
    async with served(create_app(service)) as client:
        answer = await client.get("/docs", headers={"Authorization": header.encode("latin-1")})
    assert_problem(answer, 401, code)
    assert ('error="invalid_token"' in answer.headers["www-authenticate"]) == (code == "token_invalid")
    assert service.metrics.registry.get_sample_value("whosthere_http_refused_total", {"code": code}) == 1


async def test_two_headers_are_none(service):
    token = service.headers["admin"]["Authorization"]
    async with served(create_app(service)) as client:
        answer = await client.get("/docs", headers=[("Authorization", token), ("Authorization", token)])
    assert_problem(answer, 401, "token_missing")


async def test_a_token_in_the_query_is_none(service):
    token = service.headers["admin"]["Authorization"].removeprefix("Bearer ")
    async with served(create_app(service)) as client:
        answer = await client.get("/docs", params={"access_token": token, "token": token})
    assert_problem(answer, 401, "token_missing")
    assert token not in answer.text


async def test_a_digest_opens_nothing(service, tmp_path):
    async with served(create_app(service)) as client:
        for digest in (
            line.split('"')[3] for line in (tmp_path / "tokens.json").read_text().splitlines() if "sha" in line
        ):
            assert_problem(await client.get("/docs", headers=bearer(digest)), 401, "token_invalid")


def extended(service: Looked) -> FastAPI:
    """Routes as coming issues add them, and some that forget to say what they need."""
    app = create_app(service)
    router = APIRouter(prefix="/routed")

    for role in ROLES:

        @app.get(f"/for/{role}")
        async def direct(caller: Annotated[Caller, Depends(needs(role))]) -> dict[str, Any]:
            return {"name": caller.token.name if caller.token else None, "role": caller.role}

    @app.post("/forgets")
    @app.get("/forgets")
    async def forgets() -> str:
        return "forgotten"

    @router.get("/forgets")
    async def forgets_too() -> str:
        return "forgotten"

    @router.get("/viewer", dependencies=[Depends(needs("viewer"))])
    async def routed() -> str:
        return "seen"

    @router.get("/open", dependencies=[Depends(open_to_all)])
    async def opened() -> str:
        return "open"

    @app.post("/body", dependencies=[Depends(needs("operator"))])
    async def body(count: Annotated[int, Body()]) -> int:
        return count

    def password(request: Request) -> str | None:
        return {"door": "hunter2", "hall": "pass phrase ü", "open": ""}.get(request.path_params["camera"])

    @app.post("/whip/{camera}")
    async def whip(camera: str, caller: Annotated[Caller, Depends(needs("operator", password))]) -> dict[str, Any]:
        return {"camera": camera, "role": caller.role}

    app.include_router(router)
    app.include_router(router, prefix="/strict", dependencies=[Depends(needs("operator"))])
    app.router.routes.append(Route("/plain", lambda _: PlainTextResponse("forgotten")))
    app.router.routes.append(Mount("/mounted", FastAPI()))
    return app


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_opens_what_is_for_it_and_for_those_below(service, role):
    async with served(extended(service)) as client:
        for needed in ROLES:
            answer = await client.get(f"/for/{needed}", headers=service.headers[role])
            if covers(role, needed):
                assert answer.json() == {"name": f"the {role}", "role": role}
            else:
                assert_problem(answer, 403, "role_too_low")
                challenge = answer.headers["www-authenticate"]
                assert challenge == f'Bearer realm="whosthere", error="insufficient_scope", scope="{needed}"'


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/forgets"),
        ("POST", "/forgets"),
        ("GET", "/routed/forgets"),
        ("GET", "/plain"),
        ("GET", "/mounted/docs"),
    ],
)
async def test_a_route_that_forgets_is_for_admins_alone(service, method, path):
    async with served(extended(service)) as client:
        assert_problem(await client.request(method, path), 401, "token_missing")
        for role in ("viewer", "operator"):
            assert_problem(await client.request(method, path, headers=service.headers[role]), 403, "role_too_low")
        assert (await client.request(method, path, headers=service.headers["admin"])).status_code == 200


async def test_routers_say_it_too_and_the_strictest_word_counts(service):
    async with served(extended(service)) as client:
        assert (await client.get("/routed/open")).json() == "open"
        assert (await client.get("/routed/viewer", headers=service.headers["viewer"])).json() == "seen"
        for path in ("/strict/routed/open", "/strict/routed/viewer", "/strict/routed/forgets"):
            assert_problem(await client.get(path), 401, "token_missing")
            assert_problem(await client.get(path, headers=service.headers["viewer"]), 403, "role_too_low")
            assert (await client.get(path, headers=service.headers["operator"])).status_code == 200


async def test_nothing_is_read_of_a_body_before(service):
    async with served(extended(service)) as client:
        assert_problem(await client.post("/body", content="no json"), 401, "token_missing")
        answer = await client.post("/body", content="no json", headers=service.headers["viewer"])
        assert_problem(answer, 403, "role_too_low")
        answer = await client.post("/body", content="no json", headers=service.headers["operator"])
        assert answer.json()["code"] == "request_invalid"


@pytest.mark.parametrize(("camera", "password"), [("door", "hunter2"), ("hall", "pass phrase ü")])
async def test_a_routes_own_secret_opens_that_path_alone(service, camera, password):
    header = {"Authorization": f"Bearer {password}".encode()}
    async with served(extended(service)) as client:
        answer = await client.post(f"/whip/{camera}", headers=header)
        assert (answer.status_code, answer.json()) == (200, {"camera": camera, "role": None})
        other = "hall" if camera == "door" else "door"
        for path in (f"/whip/{other}", "/whip/open", "/whip/nobody"):
            assert_problem(await client.post(path, headers=header), 401, "token_invalid")
        assert_problem(await client.get("/docs", headers=header), 401, "token_invalid")
        assert (await client.post(f"/whip/{camera}", headers=service.headers["operator"])).json()["role"] == "operator"
        assert_problem(await client.post(f"/whip/{camera}", headers=service.headers["viewer"]), 403, "role_too_low")


async def test_who_guesses_has_to_wait_and_nobody_else_does(service):
    """The secret of another camera may be tried, and a token holds."""
    async with served(extended(service)) as client:
        for _ in range(LIMIT):
            assert_problem(await client.post("/whip/door", headers=bearer("guess")), 401, "token_invalid")
        for guess in ("guess", "hunter2"):
            answer = await client.post("/whip/door", headers=bearer(guess))
            assert_problem(answer, 429, "too_many_attempts")
            assert 0 < int(answer.headers["retry-after"]) <= 60
        assert (await client.post("/whip/hall", headers={"Authorization": "Bearer pass phrase ü".encode()})).is_success
        assert (await client.post("/whip/door", headers=service.headers["operator"])).is_success
        assert_problem(await client.post("/whip/door"), 401, "token_missing")
    told = service.metrics.registry.get_sample_value("whosthere_http_refused_total", {"code": "too_many_attempts"})
    assert told == 2


async def test_guesses_at_tokens_count_wherever_they_are_made(service):
    async with served(extended(service)) as client:
        for number in range(LIMIT):
            assert_problem(await client.get(f"/nothing/{number}", headers=bearer("guess")), 401, "token_invalid")
        assert_problem(await client.get("/docs", headers=bearer("guess")), 429, "too_many_attempts")
        assert (await client.get("/docs", headers=service.headers["viewer"])).status_code == 200
        assert (await client.get("/healthz")).status_code == 200


async def test_a_route_that_the_guard_was_not_asked_about_fails(service):
    """As if Closed and the router did not agree on which route a request is for."""
    app = FastAPI()

    @app.get("/people", dependencies=[Depends(needs("viewer"))])
    async def people() -> str:
        return "everybody"

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        assert (await client.get("/people", headers=service.headers["admin"])).status_code == 500


async def test_what_is_neither_http_nor_a_websocket_is_not_served(service):
    app = extended(service)

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(RuntimeError, match="webtransport is not served"):
        await app({"type": "webtransport", "path": "/for/viewer", "headers": []}, nothing, nothing)


async def test_openapi_tells_which_operations_want_a_token(service):
    async with served(extended(service)) as client:
        paths = (await client.get("/openapi.json", headers=service.headers["viewer"])).json()["paths"]
        page = (await client.get("/docs", headers=service.headers["viewer"])).text
    assert {path for path, said in paths.items() if "security" not in next(iter(said.values()))} >= {
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert paths["/for/viewer"]["get"]["security"] == [{"token": []}]
    assert page.count("Wants a token") == sum("security" in one for said in paths.values() for one in said.values())


async def test_many_requests_at_once_are_all_asked(service):
    async with served(create_app(service)) as client:
        answers = await asyncio.gather(*(client.get("/docs") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {401}


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["status"], answer.json()["code"]) == (status, code)
