"""A `whosthere serve` with something of everything in it, for whoever asks its HTTP: a camera that sees somebody who
is enrolled and a stranger, kept visits with snapshots, a token of each role, a revoked one, and photos beside it.

Blocks until all of that is there.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx

from streamer.access.roles import ROLES
from streamer.access.token_file import make_token, revoke_token
from tests.faces import KNOWN, NAME, STRANGERS, picture_of, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.streamer.access.keys import bearer

CAMERA = "door"
PHOTOS = {
    "eileen_collins.jpg": KNOWN.file,
    "ada.jpg": STRANGERS[1].file,
    "grace.jpg": STRANGERS[2].file,
    "mary.jpg": STRANGERS[3].file,
}


@dataclass(frozen=True)
class Home:
    """tokens: by role, and one that is `revoked`. person, event: ids of the enrolled one, and of a visit of hers."""

    service: ServiceProcess
    folder: Path
    url: str
    tokens: dict[str, str]
    person: str = ""
    event: str = ""
    document: dict[str, Any] = field(default_factory=dict)

    def client(self, token: str = "admin", **options: Any) -> httpx.Client:
        """Asks with the token of a role; the caller closes it."""
        return httpx.Client(base_url=self.url, headers=bearer(self.tokens[token]), timeout=60.0, **options)

    def people(self) -> list[dict[str, Any]]:
        """As the API shows them."""
        with self.client() as client:
            people: list[dict[str, Any]] = client.get("/api/v1/people").json()["people"]
        return people

    def environment(self) -> dict[str, str]:
        """What lines of the documentation find set."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WHOSTHERE_")}
        ours = {"WHOSTHERE": self.url, "TOKEN": self.tokens["admin"], "CAMERA": CAMERA}
        return clean | ours | {"PERSON": self.person, "EVENT": self.event}


@contextmanager
def home(folder: Path, **sections: Any) -> Iterator[Home]:
    """sections: of the configuration, in place of these."""
    with ExitStack() as stack:
        (folder / "mosquitto").mkdir()
        broker = stack.enter_context(Mosquitto(folder / "mosquitto"))
        service = ServiceProcess(folder, _config(folder, broker.port) | sections)
        person = service.run("enrol", NAME, KNOWN.file)
        assert NAME in person
        for name, photo in PHOTOS.items():
            shutil.copy(photo, folder / name)
        cv2.imwrite(str(folder / "two.jpg"), picture_of(STRANGERS[1:3]))
        _somebody_elsewhere(service, folder)
        tokens = _tokens(service.data / "tokens.json")
        stack.enter_context(service)
        asyncio.run(service.until_ready())
        assert service.http is not None
        yield _seen(Home(service, folder, service.http, tokens))


def _tokens(file: Path) -> dict[str, str]:
    """One of each role and one that is revoked, without `tokens make`: each command takes a second of processor."""
    tokens = {role: make_token(file, role, role)[1] for role in ROLES}
    tokens["revoked"] = make_token(file, "revoked", "admin")[1]
    revoke_token(file, "revoked")
    return tokens


def _somebody_elsewhere(service: ServiceProcess, folder: Path) -> None:
    """A ZIP from another gallery, of a person who can be imported."""
    there = ("--set", "paths.data=elsewhere", "--set", "paths.keys=elsewhere-keys")
    service.run("enrol", "Mary Somerville", STRANGERS[4].file, *there)
    service.run("people", "export", "Mary Somerville", folder / "elsewhere.zip", *there)


def _config(folder: Path, broker: int) -> dict[str, Any]:
    film = write_film(folder / "door.mp4", ([KNOWN, STRANGERS[0]], 2), ((), 2))
    return {
        "paths": {"data": "data", "keys": "keys"},
        "mqtt": {"port": broker},
        "cameras": {CAMERA: {"url": str(film), "fps": 5, "loop": True, "snapshots": True}},
        "events": {"faces_to_settle": 1, "gone_after_s": 0.5, "keep_unknown_h": 1},
    }


def _seen(found: Home) -> Home:
    """With the ids of who is enrolled and of a visit that is over."""
    with found.client() as client:
        document = client.get("/openapi.json").json()
        person = client.get("/api/v1/people").json()["people"][0]["id"]
        event = asyncio.run(_first_visit(client)) if "/api/v1/events" in document["paths"] else ""
    return Home(found.service, found.folder, found.url, found.tokens, person, event, document)


async def _first_visit(client: httpx.Client) -> str:
    def over() -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = client.get("/api/v1/events?type=end").json()["events"]
        return events

    await until(over)
    return str(over()[0]["event_id"])
