"""Acceptance: who listens over HTTP hears what the broker does, and goes on hearing it when the broker is gone; kept
visits page by page while the service runs.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.faces import KNOWN, NAME, STRANGERS, write_film
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import SCHEMA, content
from tests.streamer.access.keys import bearer
from tests.streamer.api.streaming.listeners import events, listening, next_event, silent

pytestmark = pytest.mark.live

Event = dict[str, Any]


def serving(folder: Path, port: int) -> ServiceProcess:
    """She and a stranger come and go, again and again, before a camera that keeps its visits."""
    film = write_film(folder / "street.mp4", ([KNOWN, STRANGERS[0]], 2), ((), 2))
    street = {"url": str(film), "fps": 5, "loop": True, "snapshots": True}
    service = ServiceProcess(
        folder,
        {
            "paths": {"data": "data", "keys": "keys"},
            "mqtt": {"port": port},
            "cameras": {"street": street, "yard": street | {"snapshots": False}},
            "events": {"faces_to_settle": 1, "gone_after_s": 0.5},
        },
    )
    service.run("enrol", NAME, KNOWN.file)
    return service


async def token(service: ServiceProcess, name: str, role: str = "viewer") -> dict[str, str]:
    """One that the service knows of."""
    made = bearer(service.run("tokens", "make", name, "--role", role).strip())
    async with httpx.AsyncClient(base_url=service.http or "", headers=made, timeout=30) as client:

        async def is_known() -> bool:
            return (await client.get("/docs")).status_code == 200

        await until(is_known)
    return made


async def from_socket(socket: ClientConnection, count: int) -> list[Event]:
    async with asyncio.timeout(60):
        return [json.loads(await socket.recv()) for _ in range(count)]


async def from_lines(lines: AsyncIterator[str], count: int) -> list[Event]:
    async with asyncio.timeout(60):
        return [json.loads((await next_event(lines))["data"]) for _ in range(count)]


def key(event: Event) -> tuple[str, int]:
    return event["event_id"], event["seq"]


def lasting(event: Event) -> Event:
    """Without times, which are told by the wall clock of the moment."""
    return {name: value for name, value in content(event).items() if not name.endswith("_at")}


async def test_listeners_hear_what_the_broker_does_also_while_it_is_gone(tmp_path, broker, heard):
    with serving(tmp_path, broker.port) as service:
        await service.until_ready("broker", "camera street")
        live, viewer = f"{service.http}/api/v1/events/live", await token(service, "a viewer")
        async with listening(live, viewer) as socket, events(f"{live}?camera=street&known=true", viewer) as lines:
            assert await next_event(lines) == {"retry": "2000"}
            told = await from_socket(socket, 12)
            for event in await from_lines(lines, 3):
                assert (event["camera"], event["person"]["name"]) == ("street", NAME)
            await until(lambda: {key(event) for event in told} <= {key(event) for event in heard.events()})
            by_broker = {key(event): lasting(event) for event in heard.events()}
            assert [lasting(event) for event in told] == [by_broker[key(event)] for event in told]

            broker.kill()

            async def is_gone() -> bool:
                return not (await service.readiness())["broker"]

            await until(is_gone)
            without = await from_socket(socket, 12)
        for event in without:
            SCHEMA.validate(event)
        known_last = {"Last-Event-ID": f"{told[-1]['event_id']}-{told[-1]['seq']}"}
        async with events(live, viewer | known_last) as lines:
            assert await next_event(lines) == {"retry": "2000"}
            missed = await from_lines(lines, len(without))
        assert [content(event) for event in missed] == [content(event) for event in without]


async def test_streams_end_with_their_token_and_with_the_service(tmp_path, broker):
    with serving(tmp_path, broker.port) as service:
        await service.until_ready("camera street")
        live, viewer, other = (
            f"{service.http}/api/v1/events/live",
            await token(service, "one"),
            await token(service, "other"),
        )
        async with listening(live, viewer) as revoked, listening(live, other) as socket, events(live, other) as lines:
            mute = await silent(urlsplit(live).port or 0, "/api/v1/events/live", other)
            service.run("tokens", "revoke", "one")
            await until_closed(revoked)
            assert (revoked.close_code, revoked.close_reason) == (1008, "token_invalid")
            assert len(await from_socket(socket, 3)) == 3
            assert service.stop() == 0
            await until_closed(socket)
            assert (socket.close_code, socket.close_reason) == (1012, "service_stopping")
            last: dict[str, str] = {}
            with suppress(EOFError):
                while True:
                    last = await next_event(lines)
            assert (last["event"], json.loads(last["data"])["code"]) == ("end", "service_stopping")
            mute.close()
        assert [line for line in service.log() if line["level"] == "error" or "exception" in line] == []


async def until_closed(socket: ClientConnection) -> None:
    async with asyncio.timeout(30):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()


async def test_kept_visits_while_the_service_keeps_more(tmp_path, broker):
    with serving(tmp_path, broker.port) as service:
        await service.until_ready("camera street")
        operator = await token(service, "an operator", "operator")
        async with httpx.AsyncClient(base_url=f"{service.http}/api/v1", headers=operator, timeout=30) as client:

            async def ended() -> bool:
                return len((await client.get("/events", params={"type": "end", "person": NAME})).json()["events"]) >= 2

            await until(ended)
            page = (await client.get("/events", params={"type": "end", "person": NAME, "limit": 1})).json()
            (newest,) = page["events"]
            assert (newest["person"]["name"], newest["camera"]) == (NAME, "street")
            assert newest["snapshot"] == newest["event_id"]
            visit = (await client.get(f"/events/{newest['event_id']}")).json()
            assert [event["seq"] for event in visit["events"]] == list(range(1, len(visit["events"]) + 1))
            for kind in visit["snapshots"]:
                picture = await client.get(f"/events/{newest['event_id']}/snapshots/{kind}")
                assert picture.content.startswith(b"\xff\xd8\xff")
            assert visit["snapshots"] == ["face", "scene"]
            assert (await client.delete(f"/events/{newest['event_id']}")).status_code == 204
            assert (await client.get(f"/events/{newest['event_id']}")).status_code == 404
            assert newest["event_id"] not in service.run("events", "--since", "1h", "--json")
            (told,) = (
                line
                for line in json.loads(service.run("gallery", "audit", "--json"))["entries"]
                if line["action"] == "visit_erased"
            )
            assert told["actor"] == "an operator"
