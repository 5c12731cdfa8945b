"""Browsers that sign in, for tests of whatever takes their cookie."""

from dataclasses import dataclass, field
from pathlib import Path

import httpx

from streamer.access.cookies import CSRF_HEADER
from streamer.access.guard import Guard
from streamer.access.live_tokens import LiveTokens
from streamer.access.roles import ROLES, Role
from streamer.access.sessions import Sessions
from streamer.access.token_file import make_token, revoke_token
from streamer.telemetry.metrics import Metrics

PATH = "/api/v1/session"


class Clock:
    """Steady seconds, as far as the test lets them go on."""

    now_s = 5000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Keys:
    """A guard that takes sessions; for each role a token. Sessions last for 100 s without use, 1000 s in all."""

    folder: Path
    metrics: Metrics = field(default_factory=Metrics)
    clock: Clock = field(default_factory=Clock)
    secrets: dict[Role, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path = self.folder / "tokens.json"
        self.secrets = {role: make_token(self.path, f"the {role}", role)[1] for role in ROLES}
        self.tokens = LiveTokens(self.path)
        self.tokens.look()
        self.sessions = Sessions(self.tokens, 100.0, 1000.0, self.clock)
        self.guard = Guard(self.tokens, self.metrics, sessions=self.sessions)

    def revoke(self, role: Role) -> None:
        revoke_token(self.path, f"the {role}")
        self.tokens.look()


async def sign_in(client: httpx.AsyncClient, secret: str) -> dict[str, str]:
    """The client has the cookie from now on; the header with which it may change things."""
    answer = await client.post(PATH, json={"token": secret})
    assert answer.status_code == 201, answer.text
    return {CSRF_HEADER: answer.json()["csrf"]}
