"""Routes of the API over a real server and a real gallery, asked by clients of each role."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import APIRouter

from streamer.access.guard import Guard
from streamer.access.roles import Role
from streamer.api.application import create_app
from streamer.api.server import serve_http
from streamer.readiness import Readiness
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.keys import guard_with_tokens


class Looked:
    """As much of a service as the application itself looks at."""

    def __init__(self, guard: Guard, metrics: Metrics) -> None:
        self.guard, self.metrics = guard, metrics

    def readiness(self) -> Readiness:
        return Readiness(())


class Api:
    """A served application; `as_(role)` asks with a token of that role, None without one."""

    def __init__(self, client: httpx.AsyncClient, headers: dict[Role, dict[str, str]]) -> None:
        self.client = client
        self.headers = headers

    async def ask(
        self,
        method: str,
        path: str,
        role: Role | None = "admin",
        *,
        headers: dict[str, str] | None = None,
        **sent: object,
    ) -> httpx.Response:
        tokens = {} if role is None else self.headers[role]
        return await self.client.request(method, path, headers=tokens | (headers or {}), **sent)  # type: ignore[arg-type]


@asynccontextmanager
async def served(folder: Path, routers: Sequence[APIRouter]) -> AsyncIterator[Api]:
    """folder: where the tokens lie."""
    metrics = Metrics()
    guard, headers = guard_with_tokens(folder, metrics)
    async with (
        serve_http(create_app(Looked(guard, metrics), routers), "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        yield Api(client, headers)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]
