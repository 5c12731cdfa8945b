"""Who may ask the running service: `whosthere serve` as a process, tokens by the command line, real TLS."""

import asyncio
import shlex
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.certificates import make_certificate
from tests.command import run_python
from tests.galleries import open_store
from tests.gallery.fakes import photo_of, unit
from tests.live.servers import unused_port
from tests.live.service import ServiceProcess, until
from tests.streamer.access.keys import bearer

pytestmark = pytest.mark.live

PERSON = "Ada Lovelace"
DEVICE = "Grace Hopper's phone"


async def address_of(service: ServiceProcess) -> str:
    """Where it says that it listens."""

    def told() -> list[str]:
        return [line["extra"]["http"] for line in service.log() if "http" in line.get("extra", {})]

    await until(told)
    return told()[-1]


async def test_tokens_are_made_and_revoked_while_it_runs_and_no_name_is_told(tmp_path):
    with ServiceProcess(tmp_path, {"mqtt": {"port": 1}, "paths": {"data": "data"}}) as service:
        with open_store(service.data / "gallery.db") as store:
            store.add_person(PERSON, [photo_of(unit(1), 1)])
        async with httpx.AsyncClient(base_url=await address_of(service), timeout=60) as client:
            assert (await client.get("/docs")).status_code == 401

            (hint,) = (line for line in service.log() if "make a token" in line["message"])
            words = shlex.split(hint["message"].partition("make a token: ")[2])
            assert words[:3] == ["whosthere", "tokens", "make"]
            made = run_python(["-m", "streamer", *words[1:]], tmp_path)
            assert made.code == 0, made.err
            secret = made.out.strip()

            async def status(path: str, token: str) -> int:
                return (await client.get(path, headers=bearer(token))).status_code

            async def until_status(wanted: int, token: str) -> None:
                async with asyncio.timeout(20):
                    while await status("/docs", token) != wanted:
                        await asyncio.sleep(0.05)

            await until_status(200, secret)
            other = service.run("tokens", "make", DEVICE, "--role", "viewer").strip()
            await until_status(200, other)
            service.run("tokens", "revoke", DEVICE)
            await until_status(401, other)
            assert await status("/docs", secret) == 200

            (service.data / "tokens.json").write_text("{")
            await until_status(401, secret)
            assert (await client.get("/healthz")).status_code == 200
            part = (await service.parts())["tokens"]
            assert part["ok"] is False
            assert "nobody gets in" in part["reason"]

            open_to_all = (await client.get("/metrics")).text + (await client.get("/readyz")).text
        for private in (PERSON, "Ada", DEVICE, "Grace", secret, other):
            assert private not in open_to_all
        assert await service.metric("whosthere_http_refused_total", code="token_invalid") >= 2
        assert service.stop() == 0
    log = service.log_file.read_text()
    assert secret not in log
    assert other not in log
    assert [line["code"] for line in service.log() if line.get("code") == "tokens_unreadable"] == ["tokens_unreadable"]


async def test_beyond_this_machine_with_a_certificate(tmp_path):
    """And the health check of the image asks in the same way."""
    files = make_certificate(tmp_path)
    http = {"host": "0.0.0.0", "port": unused_port(), "tls": {"cert": files.cert.name, "key": files.key.name}}
    config: dict[str, Any] = {"mqtt": {"port": 1}, "http": http, "paths": {"data": "data"}}
    (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump(config))
    assert alive(tmp_path) == 1
    with ServiceProcess(tmp_path, config) as service:
        assert (await address_of(service)) == f"https://0.0.0.0:{http['port']}"
        secret = service.run("tokens", "make", "me", "--role", "viewer").strip()

        trusting = ssl.create_default_context(cafile=str(files.ca))
        async with httpx.AsyncClient(base_url=f"https://localhost:{http['port']}", verify=trusting) as client:
            parts = (await client.get("/readyz")).json()["parts"]
            assert (parts["certificate"], parts["tokens"]["ok"]) == ({"ok": True, "reason": None}, True)
            async with asyncio.timeout(20):
                while (await client.get("/docs", headers=bearer(secret))).status_code != 200:
                    await asyncio.sleep(0.05)
        assert alive(tmp_path) == 0
        await _goes_on_over_a_restart(service, secret, trusting)
        assert service.stop() == 0
    assert alive(tmp_path) == 1


async def _goes_on_over_a_restart(service: ServiceProcess, secret: str, trusting: ssl.SSLContext) -> None:
    """A browser that signed in; and not when it has signed out meanwhile."""
    port = (await address_of(service)).rpartition(":")[2]
    async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=trusting) as client:
        answer = await client.post("/api/v1/session", json={"token": secret})
        assert "; Secure" in answer.headers["set-cookie"]
        assert (await client.get("/docs")).status_code == 200
        cookie = {"Cookie": f"whosthere_session={client.cookies['whosthere_session']}"}
        assert service.stop() == 0
        service.start()
        await until(lambda: _listens(client))
        assert (await client.get("/docs")).status_code == 200
        shown = (await client.get("/api/v1/session")).json()
        assert shown["csrf"] == answer.json()["csrf"], "an open page goes on with what it has"
        gone = await client.delete("/api/v1/session", headers={"X-CSRF-Token": shown["csrf"]})
        assert gone.status_code == 204
        assert (await client.get("/docs", headers=cookie)).json()["code"] == "session_over"


async def _listens(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).is_success
    except httpx.TransportError:
        return False


def alive(folder: Path) -> int:
    return run_python(["-m", "streamer.api.alive"], folder).code
