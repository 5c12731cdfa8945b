"""Guards and tokens for tests of whatever asks for one."""

from pathlib import Path

from streamer.access.guard import Guard
from streamer.access.live_tokens import LiveTokens
from streamer.access.roles import ROLES, Role
from streamer.access.token_file import make_token
from streamer.telemetry.metrics import Metrics


def bearer(secret: str) -> dict[str, str]:
    """The header."""
    return {"Authorization": f"Bearer {secret}"}


def guard_with_tokens(folder: Path, metrics: Metrics | None = None) -> tuple[Guard, dict[Role, dict[str, str]]]:
    """A guard, and for each role the header with a token of it."""
    path = folder / "tokens.json"
    headers = {role: bearer(make_token(path, f"the {role}", role)[1]) for role in ROLES}
    tokens = LiveTokens(path)
    tokens.look()
    return Guard(tokens, metrics or Metrics()), headers


def guard_without_tokens() -> Guard:
    """Nobody gets in."""
    return Guard(LiveTokens(Path("nowhere/tokens.json")), Metrics())
