"""The HTTP edge, asked over real sockets of a really started server."""

import asyncio
import re
import signal
import socket
from email.utils import parsedate_to_datetime

import httpx
import pytest
import uvloop

from recognition.errors import Overloaded
from streamer.api.application import create_app
from streamer.api.server import serve_http
from streamer.errors import CameraUnknown, HttpAddressInvalid, PortInUse
from streamer.readiness import ModelState, Part, Readiness
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.keys import guard_with_tokens, guard_without_tokens


class FakeService:
    """A service whose readiness is what the test says."""

    def __init__(self, *parts: Part) -> None:
        self.metrics = Metrics()
        self.guard = guard_without_tokens()
        self.parts = parts
        self.models: tuple[ModelState, ...] = (
            ModelState("r100", "face_embedding", False, False, code="weights_missing"),
        )

    def readiness(self) -> Readiness:
        return Readiness(self.parts, self.models)


READY = (Part("models", True), Part("broker", True), Part("outbox", True), Part("camera door", True))


@pytest.fixture
async def served(tmp_path):
    """The application, its service and a client of its server that has a token for everything."""
    service = FakeService(*READY)
    service.guard, tokens = guard_with_tokens(tmp_path)
    app = create_app(service)
    async with (
        serve_http(app, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=tokens["admin"]) as client,
    ):
        yield app, service, client


@pytest.mark.parametrize(
    ("parts", "triton", "rerank"),
    [
        ((), None, None),
        ((Part("rerank", True),), None, {"ok": True, "reason": None}),
        ((Part("triton", True), Part("rerank", True)), {"ok": True, "reason": None}, {"ok": True, "reason": None}),
        (
            (Part("triton", False, "away"), Part("rerank", False, "gave error -1")),
            {"ok": False, "reason": "away"},
            {"ok": False, "reason": "gave error -1"},
        ),
    ],
)
async def test_healthz_says_how_triton_and_rerank_are_and_stays_alive(served, parts, triton, rerank):
    _, service, client = served
    service.parts = (*READY, *parts)
    answer = await client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "alive", "triton": triton, "rerank": rerank}
    assert (await client.get("/readyz")).status_code == (200 if all(part.ok for part in parts) else 503)


def test_healthz_is_alive_under_both_event_loops():
    async def ask() -> None:
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        async with serve_http(create_app(FakeService()), "127.0.0.1", 0) as port:
            assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{port}/healthz")
                assert (answer.status_code, answer.json()["status"]) == (200, "alive")
                assert parsedate_to_datetime(answer.headers["date"])
                assert "server" not in answer.headers
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    asyncio.run(ask())
    uvloop.run(ask())


async def test_readyz_is_200_when_every_part_is_ok(served):
    _, _, client = served

    answer = await client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "parts": {part.name: {"ok": True, "reason": None} for part in READY},
        "models": [
            {
                "name": "r100",
                "role": "face_embedding",
                "ready": False,
                "serving": False,
                "device": None,
                "code": "weights_missing",
                "reason": "",
            }
        ],
    }


async def test_readyz_says_what_is_not_ready_and_why(served):
    _, service, client = served
    service.parts = (*READY[:3], Part("camera door", False, "rtsp://gate:hunter2@192.0.2.9 refuses the login"))

    answer = await client.get("/readyz")

    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in answer.text
    body = answer.json()
    assert (body["status"], body["code"], body["ready"]) == (503, "not_ready", False)
    assert body["detail"] == "camera door: rtsp://***@192.0.2.9 refuses the login"
    assert body["parts"]["broker"] == {"ok": True, "reason": None}
    assert body["parts"]["camera door"]["ok"] is False


async def test_metrics_are_what_the_service_counted(served):
    _, service, client = served
    service.metrics.frames.labels(camera="door", outcome="processed").inc(3)

    answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    assert 'whosthere_frames_total{camera="door",outcome="processed"} 3.0' in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/nothing"])
async def test_head_says_what_get_does_and_has_no_body(served, path):
    _, _, client = served

    whole, head = await client.get(path), await client.head(path)

    assert head.status_code == whole.status_code
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert not head.content


@pytest.mark.parametrize(
    ("asked", "packed"),
    [
        ("gzip", True),  # as Prometheus asks
        ("deflate, GZIP ; q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, identity", False),
        ("identity", False),
        ("br", False),
        ("", False),
        (",;,=gzip", False),
    ],
)
async def test_metrics_are_packed_for_who_takes_them_so(served, asked, packed):
    _, service, client = served
    service.metrics.frames.labels(camera="door", outcome="processed").inc(3)

    answer = await client.get("/metrics", headers={"Accept-Encoding": asked})

    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert 'whosthere_frames_total{camera="door",outcome="processed"} 3.0' in answer.text
    assert (int(answer.headers["content-length"]) < len(answer.content)) == packed


async def test_docs_list_every_route_and_load_nothing_from_elsewhere(served):
    _, _, client = served

    schema = (await client.get("/openapi.json")).json()
    page = (await client.get("/docs")).text

    assert set(schema["paths"]) == {"/healthz", "/readyz", "/metrics"}
    for path in schema["paths"]:
        assert f"<b>GET</b>{path}</code>" in page
    assert "Wants a token" not in page
    assert not re.search(r"https?://|<script", page)


async def test_a_path_or_method_that_is_not_there_is_a_problem_document(served):
    _, _, client = served

    missing, wrong = await client.get("/nothing"), await client.post("/healthz")

    for answer, status, code in ((missing, 404, "not_found"), (wrong, 405, "method_not_allowed")):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert (body["status"], body["code"], body["type"]) == (status, code, "about:blank")
    assert missing.json()["title"] == "Not Found"
    assert wrong.headers["allow"] == "GET"
    assert wrong.json()["detail"] == "POST /healthz: Method Not Allowed; it takes GET; /docs lists what there is"


@pytest.mark.parametrize(
    ("error", "status"), [(CameraUnknown("no camera hall; there is door"), 404), (Overloaded("the queue is full"), 429)]
)
async def test_an_error_of_ours_keeps_its_code_and_its_line(served, error, status):
    app, _, client = served

    @app.get("/fails")
    async def fails() -> None:
        raise error

    answer = await client.get("/fails")

    assert answer.status_code == status
    assert (answer.json()["code"], answer.json()["detail"]) == (error.code, str(error))


async def test_what_does_not_validate_is_named_without_its_value(served):
    app, _, client = served

    @app.get("/counts")
    async def counts(n: int) -> int:
        return n

    answer = await client.get("/counts?n=hunter2")

    assert answer.status_code == 422
    body = answer.json()
    assert body["code"] == "request_invalid"
    assert body["errors"][0]["field"] == "query.n"
    assert "hunter2" not in answer.text


async def test_a_bug_is_a_problem_document_without_details_and_is_logged(served, caplog):
    app, _, client = served

    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError("hunter2")

    answer = await client.get("/bug")

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "hunter2" not in answer.text
    assert caplog.records[-1].exc_info[0] is ZeroDivisionError


async def test_a_port_in_use_is_refused_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"http.port {port} on 127.0.0.1 is in use") as caught:
            async with serve_http(create_app(FakeService()), "127.0.0.1", port):
                pass

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.9", "no such host"])
async def test_an_address_that_is_not_ours_is_refused_in_one_line(host):
    with pytest.raises(HttpAddressInvalid, match="http") as caught:
        async with serve_http(create_app(FakeService()), host, 0, trusted_proxies=["192.0.2.1"]):
            pass

    assert host in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_the_port_is_free_again_at_once():
    async with serve_http(create_app(FakeService()), "127.0.0.1", 0) as port, httpx.AsyncClient() as client:
        await client.get(f"http://127.0.0.1:{port}/healthz")

    async with serve_http(create_app(FakeService()), "localhost", port) as again:
        assert again == port


async def test_a_connection_left_open_does_not_hold_up_the_end():
    async with serve_http(create_app(FakeService()), "127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(10):
            assert await reader.readuntil(b"}") != b""

    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
