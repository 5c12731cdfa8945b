"""Behind reverse proxies: who may ask, and whose word on where a request came from is taken."""

import json
from typing import Any

import pytest

from streamer.api.proxies import BehindProxies
from streamer.telemetry.metrics import Metrics

TRUSTED = ("192.0.2.1", "10.1.0.0/16", "2001:db8::/64")


async def asked(
    peer: str, *headers: tuple[str, str], server: str = "198.51.100.5", metrics: Metrics | None = None
) -> dict[str, Any]:
    """What the application sees, or the refusal."""
    sent: list[dict[str, Any]] = []
    seen: dict[str, Any] = {}

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.update(client=scope["client"][0], scheme=scope["scheme"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "scheme": "http",
        "method": "GET",
        "path": "/",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "client": (peer, 4711),
        "server": (server, 8080),
    }
    await BehindProxies(app, TRUSTED, metrics)(scope, receive, send)
    if seen:
        return seen
    return {"status": sent[0]["status"], "code": json.loads(sent[1]["body"])["code"]}


@pytest.mark.parametrize("peer", ["192.0.2.1", "::ffff:192.0.2.1", "10.1.255.7", "2001:db8::7"])
async def test_a_proxys_word_is_taken(peer):
    found = await asked(peer, ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"))
    assert found == {"client": "203.0.113.9", "scheme": "https"}


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("203.0.113.9, 10.1.0.4", "203.0.113.9"),
        ("198.51.100.66, 203.0.113.9, 10.1.0.4", "203.0.113.9"),
        ("127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:5000", "203.0.113.9"),
        ("", "192.0.2.1"),
    ],
)
async def test_of_a_chain_the_last_who_is_no_proxy_counts(chain, client):
    """What stands before that was written by whoever asked."""
    assert (await asked("192.0.2.1", ("X-Forwarded-For", chain)))["client"] == client


@pytest.mark.parametrize("peer", ["203.0.113.9", "192.0.2.2", "10.2.0.1", "2001:db8:1::7", "", "unknown"])
async def test_nobody_else_may_ask_whatever_they_say(peer):
    metrics = Metrics()
    claims = ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")
    assert await asked(peer, *claims, metrics=metrics) == {"status": 403, "code": "proxy_bypassed"}
    labels = {"code": "proxy_bypassed"}
    assert metrics.registry.get_sample_value("whosthere_http_refused_total", labels) == 1


@pytest.mark.parametrize(
    ("peer", "server"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("198.51.100.5", "198.51.100.5")]
)
async def test_this_machine_may_ask_and_is_taken_for_itself(peer, server):
    found = await asked(peer, ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"), server=server)
    assert found == {"client": peer, "scheme": "http"}
