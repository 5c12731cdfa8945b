"""Too many requests of one token over a real server: 429, how much is left, and nobody else waits."""

import httpx
import pytest
from fastapi import APIRouter, Depends

from streamer.access.guard import needs, open_to_all
from streamer.api.application import create_app
from streamer.api.server import serve_http
from streamer.settings import HttpSettings, RateLimitSettings
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.keys import guard_with_tokens
from tests.streamer.api.v1.api import Looked, refusal


def routes() -> APIRouter:
    router = APIRouter()

    @router.get("/seen", dependencies=[Depends(needs("viewer"))])
    async def seen() -> str:
        return "seen"

    @router.get("/open", dependencies=[Depends(open_to_all)])
    async def open_() -> str:
        return "open"

    return router


async def ask(tmp_path, limit: RateLimitSettings, paths: list[tuple[str, str | None]]) -> list[httpx.Response]:
    """Each path by a token of that role."""
    metrics = Metrics()
    guard, headers = guard_with_tokens(tmp_path, metrics)
    app = create_app(Looked(guard, metrics), [routes()], HttpSettings(rate_limit=limit))
    async with (
        serve_http(app, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        return [await client.get(path, headers={} if role is None else headers[role]) for path, role in paths]


@pytest.mark.parametrize(("burst", "role", "path"), [(1, "viewer", "/seen"), (3, "admin", "/seen"), (2, None, "/open")])
async def test_beyond_the_burst_it_is_told_to_wait(tmp_path, burst, role, path):
    limit = RateLimitSettings(requests_per_s=0.01, burst=burst)
    answers = await ask(tmp_path, limit, [(path, role)] * (burst + 1))
    assert [answer.status_code for answer in answers] == [200] * burst + [429]
    last = answers[-1]
    assert refusal(last) == (429, "too_many_requests")
    assert 1 <= int(last.headers["retry-after"]) <= 100
    assert last.headers["ratelimit-policy"] == f'"requests";q={burst};w={burst * 100}'
    assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers] == [
        f'"requests";r={left}' for left in [*reversed(range(burst)), 0]
    ]


async def test_another_token_is_not_held_up(tmp_path):
    limit = RateLimitSettings(requests_per_s=0.01, burst=1)
    answers = await ask(tmp_path, limit, [("/seen", "viewer"), ("/seen", "viewer"), ("/seen", "operator")])
    assert [answer.status_code for answer in answers] == [200, 429, 200]


async def test_without_a_limit_nothing_is_counted(tmp_path):
    answers = await ask(tmp_path, RateLimitSettings(requests_per_s=None, burst=1), [("/seen", "viewer")] * 3)
    assert [answer.status_code for answer in answers] == [200] * 3
    assert "ratelimit" not in answers[0].headers


async def test_as_it_comes_a_thousand_in_a_row_are_let_through(tmp_path):
    answers = await ask(tmp_path, RateLimitSettings(), [("/open", None)] * 1000)
    assert {answer.status_code for answer in answers} == {200}
