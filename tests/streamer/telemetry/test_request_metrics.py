"""Requests are counted by how they were answered, over a real server; refused ones, too."""

import httpx
from fastapi import APIRouter, Depends

from streamer.access.guard import open_to_all
from streamer.api.application import create_app
from streamer.api.server import serve_http
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.keys import guard_with_tokens
from tests.streamer.api.v1.api import Looked


async def test_requests_are_counted_by_their_answers(tmp_path):
    router = APIRouter(dependencies=[Depends(open_to_all)])

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a bug")

    metrics = Metrics()
    guard, headers = guard_with_tokens(tmp_path, metrics)
    app = create_app(Looked(guard, metrics), [router])
    async with (
        serve_http(app, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        for path, role in (("/healthz", None), ("/docs", "viewer"), ("/docs", None), ("/nothing", "viewer")):
            await client.get(path, headers=headers[role] if role else {})
        assert (await client.get("/broken")).status_code == 500
        await client.get("/metrics")

    def counted(status: int) -> float | None:
        return metrics.registry.get_sample_value("whosthere_http_requests_total", {"status": str(status)})

    assert {status: counted(status) for status in (200, 401, 404, 500)} == {200: 3, 401: 1, 404: 1, 500: 1}
    assert metrics.registry.get_sample_value("whosthere_http_request_seconds_count") == 6
