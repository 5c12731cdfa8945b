"""What every answer says to browsers, refusals too; over TLS that they come by it alone."""

import ssl

import httpx
import pytest
from fastapi import APIRouter, Depends, Response

from streamer.access.guard import open_to_all
from streamer.api.application import create_app
from streamer.api.certificate import Certificate
from streamer.api.server import serve_http
from streamer.telemetry.metrics import Metrics
from tests.certificates import make_certificate
from tests.streamer.access.keys import guard_with_tokens
from tests.streamer.api.v1.api import Looked


@pytest.fixture
def app(tmp_path):
    metrics = Metrics()
    guard, headers = guard_with_tokens(tmp_path, metrics)
    routes = APIRouter(dependencies=[Depends(open_to_all)])

    @routes.get("/own")
    async def own() -> Response:
        return Response("x", headers={"Cache-Control": "private, no-cache", "Content-Security-Policy": "sandbox"})

    @routes.get("/bug")
    async def bug() -> Response:
        raise RuntimeError

    app = create_app(Looked(guard, metrics), [routes])
    app.state.headers = headers["viewer"]
    return app


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/nowhere", 401), ("/docs", 200), ("/own", 200)]
)
async def test_every_answer_is_for_its_own_use_alone(app, path, status):
    async with serve_http(app, "127.0.0.1", 0) as port, httpx.AsyncClient() as client:
        token = app.state.headers if path == "/docs" else {}
        answer = await client.get(f"http://127.0.0.1:{port}{path}", headers=token)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "strict-transport-security" not in answer.headers
    policy, caching = answer.headers["content-security-policy"], answer.headers["cache-control"]
    if path == "/own":
        assert (policy, caching) == ("sandbox", "private, no-cache")
    else:
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert caching == "no-store"


async def test_the_documentation_keeps_its_style(app):
    """Its policy names the digest of what stands in the page."""
    import base64
    import hashlib

    async with serve_http(app, "127.0.0.1", 0) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/docs", headers=app.state.headers)
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert " style=" not in answer.text


@pytest.mark.parametrize(("days", "told"), [(180, "max-age=15552000"), (1, "max-age=86400"), (0, None)])
async def test_over_tls_browsers_are_told_to_stay_with_it(app, tmp_path, days, told):
    files = make_certificate(tmp_path)
    tls = Certificate(files.settings).context
    trusting = ssl.create_default_context(cafile=str(files.ca))
    async with (
        serve_http(app, "127.0.0.1", 0, tls=tls, hsts_days=days) as port,
        httpx.AsyncClient(verify=trusting) as client,
    ):
        for path in ("/healthz", "/nowhere"):
            answer = await client.get(f"https://localhost:{port}{path}")
            assert answer.headers.get("strict-transport-security") == told
