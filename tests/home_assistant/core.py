"""A real Home Assistant core on 127.0.0.1, with an MQTT broker and a token to look at it: started, stopped, asked.

A folder and a broker's port go in; states and registries come out, as its own pages would read them. Ended by its pid.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import websockets

from tests.conftest import PROJECT

PYTHON = PROJECT / ".ha" / "bin" / "python"
STARTS_WITHIN_S = 120.0
LONG_AGO = "2025-01-01T00:00:00+00:00"
USER, SESSION = "tester", "session"

CONFIGURATION = """
homeassistant: {{name: Test, time_zone: UTC, country: GB}}
http: {{server_host: 127.0.0.1, server_port: {http}}}
api:
websocket_api:
config:
person:
logger: {{default: info}}
automation: !include automations.yaml
"""

Document = dict[str, Any]


class Core:
    """start() and stop() as often as a test likes: it keeps what it knows in `folder`."""

    def __init__(self, folder: Path, mqtt_port: int, automations: str = "[]") -> None:
        """automations: as in its automations.yaml."""
        folder.mkdir(parents=True)
        (folder / "automations.yaml").write_text(automations)
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self._configure(mqtt_port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns at once: it is up when it says `online` on homeassistant/status."""
        with (self.folder / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                [PYTHON, Path(__file__).with_name("start.py"), "-c", self.folder, "--skip-pip"],
                stdout=output,
                stderr=output,
            )

    def stop(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def ask(self, kind: str, **more: object) -> Any:
        """One command of its WebSocket API."""
        async with websockets.connect(f"ws://127.0.0.1:{self._port}/api/websocket", max_size=None) as socket:
            await socket.recv()
            await socket.send(json.dumps({"type": "auth", "access_token": self._token}))
            assert json.loads(await socket.recv())["type"] == "auth_ok"
            await socket.send(json.dumps({"id": 1, "type": kind, **more}))
            answer = json.loads(await socket.recv())
            assert answer["success"], answer
            return answer["result"]

    async def entities(self) -> dict[str, Document]:
        """Those that MQTT made, by unique_id: as its registry has them, with `state` and `attributes`."""
        states = {one["entity_id"]: one for one in await self.ask("get_states")}
        listed = [one for one in await self.ask("config/entity_registry/list") if one["platform"] == "mqtt"]
        unknown: Document = {"state": None, "attributes": {}}
        return {
            one["unique_id"]: one | {key: states.get(one["entity_id"], unknown)[key] for key in ("state", "attributes")}
            for one in listed
        }

    async def state(self, unique_id: str) -> str | None:
        """None where there is no such entity."""
        found = (await self.entities()).get(unique_id)
        return None if found is None else found["state"]

    async def devices(self) -> dict[str, Document]:
        """Those that MQTT made, by the first of their ids."""
        devices = await self.ask("config/device_registry/list")
        return {ids[0][1]: one for one in devices if (ids := one["identifiers"]) and ids[0][0] == "mqtt"}

    async def triggered(self, automation: str) -> str | None:
        """When an automation ran last; None: never."""
        states = {one["entity_id"]: one for one in await self.ask("get_states")}
        found = states[f"automation.{automation}"]["attributes"]["last_triggered"]
        return None if found is None else str(found)

    async def notifications(self) -> list[str]:
        return [str(one["message"]) for one in await self.ask("persistent_notification/get")]

    async def picture(self, entity_id: str) -> httpx.Response:
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {self._token}"}) as client:
            return await client.get(f"http://127.0.0.1:{self._port}/api/image_proxy/{entity_id}")

    def complaints(self) -> list[str]:
        """Lines of its log, of all starts, at WARNING or above by what has to do with MQTT."""
        log = [line for file in self.folder.glob("home-assistant.log*") for line in file.read_text().splitlines()]
        return [
            line for line in log if re.search(r" (WARNING|ERROR|CRITICAL) .*\[homeassistant\.components\.mqtt", line)
        ]

    def _configure(self, mqtt_port: int) -> None:
        (self.folder / "configuration.yaml").write_text(CONFIGURATION.format(http=self._port))
        key = secrets.token_hex(64)
        session = {"id": SESSION, "user_id": USER, "client_id": None, "client_name": "test", "client_icon": None}
        session |= {"token_type": "long_lived_access_token", "created_at": LONG_AGO, "token": secrets.token_hex(64)}
        session |= {"access_token_expiration": 3.2e8, "jwt_key": key, "last_used_at": None, "last_used_ip": None}
        session |= {"expire_at": None, "credential_id": None, "version": None}
        user = {"id": USER, "group_ids": ["system-admin"], "is_owner": True, "is_active": True, "name": "test"}
        user |= {"system_generated": False, "local_only": False}
        groups = {"admin": "Administrators", "users": "Users", "read-only": "Read Only"}
        self._store(
            "auth",
            1,
            {
                "users": [user],
                "groups": [{"id": f"system-{one}", "name": name} for one, name in groups.items()],
                "credentials": [],
                "refresh_tokens": [session],
            },
        )
        entry = {"entry_id": "broker", "domain": "mqtt", "title": "broker", "version": 1, "minor_version": 2}
        entry |= {"data": {"broker": "127.0.0.1", "port": mqtt_port}, "options": {}, "source": "user"}
        entry |= {"unique_id": None, "disabled_by": None, "created_at": LONG_AGO, "modified_at": LONG_AGO}
        entry |= {"pref_disable_new_entities": False, "pref_disable_polling": False}
        entry |= {"discovery_keys": {}, "subentries": []}
        self._store("core.config_entries", 5, {"entries": [entry]})
        self._token = _signed({"iss": SESSION, "iat": int(time.time()) - 5, "exp": int(time.time()) + 86_400}, key)

    def _store(self, name: str, minor: int, data: Document) -> None:
        folder = self.folder / ".storage"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps({"version": 1, "minor_version": minor, "key": name, "data": data}))


def _signed(claims: Document, key: str) -> str:
    """A JSON Web Token, HS256."""

    def encoded(part: bytes) -> bytes:
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    text = b".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (text + b"." + encoded(hmac.digest(key.encode(), text, hashlib.sha256))).decode()


async def until_is(core: Core, unique_id: str, *states: str | None, within_s: float = 30.0) -> None:
    """Until an entity's state is one of these; None: there is no such entity."""
    seen: str | None = ""
    try:
        async with asyncio.timeout(within_s):
            while (seen := await core.state(unique_id)) not in states:
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"{unique_id} is {seen}, not {' or '.join(map(str, states))}") from None
