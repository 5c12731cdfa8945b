"""What a running service knows of the tokens while commands change them."""

import asyncio
from pathlib import Path
from typing import NoReturn

import pytest

from streamer.access import live_tokens as module
from streamer.access.errors import TokensUnreadable
from streamer.access.live_tokens import LiveTokens
from streamer.access.token_file import make_token, revoke_token
from tests.recognition.fakes import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_nobody_is_known_before_the_first_look(path):
    _, secret = make_token(path, "me", "admin")
    tokens = LiveTokens(path)
    assert tokens.find(secret.encode()) is None
    tokens.look()
    found = tokens.find(secret.encode())
    assert found is not None
    assert (found.name, found.role, len(tokens)) == ("me", "admin", 1)


@pytest.mark.parametrize("spoilt", ["", "wt_", "x", "wt_" + 43 * "A"])
def test_what_is_no_token_is_found_for_nobody(path, spoilt):
    token, secret = make_token(path, "me", "admin")
    tokens = LiveTokens(path)
    tokens.look()
    for wrong in (spoilt, secret[:-1], secret + "A", secret.swapcase(), token.digest):
        assert tokens.find(wrong.encode()) is None


async def test_tokens_made_and_revoked_are_noticed(path, monkeypatch, caplog):
    monkeypatch.setattr(module, "POLL_S", 0.01)
    tokens = LiveTokens(path)
    tokens.look()
    following = asyncio.create_task(tokens.follow())
    try:
        first, secret = make_token(path, "me", "admin")
        await until(lambda: tokens.find(secret.encode()))
        _, other = make_token(path, "wall", "viewer")
        await until(lambda: tokens.find(other.encode()))
        revoke_token(path, "me")
        await until(lambda: tokens.find(secret.encode()) is None)
        assert not tokens.has(first)
        assert len(tokens) == 1
        path.unlink()
        await until(lambda: len(tokens) == 0)
        assert tokens.trouble == ""
    finally:
        following.cancel()
    assert secret not in caplog.text


@pytest.mark.parametrize("content", [b"", b"no json", b'{"version": 9, "tokens": []}'])
async def test_a_file_that_is_damaged_meanwhile_lets_nobody_in_until_it_is_mended(path, monkeypatch, caplog, content):
    monkeypatch.setattr(module, "POLL_S", 0.01)
    _, secret = make_token(path, "me", "admin")
    sound = path.read_bytes()
    tokens = LiveTokens(path)
    tokens.look()
    following = asyncio.create_task(tokens.follow())
    try:
        path.write_bytes(content)
        await until(lambda: tokens.trouble)
        assert "nobody gets in" in tokens.trouble
        assert tokens.find(secret.encode()) is None
        path.write_bytes(sound)
        await until(lambda: tokens.find(secret.encode()))
        assert tokens.trouble == ""
    finally:
        following.cancel()
    assert [record.code for record in caplog.records if record.levelname == "WARNING"] == ["tokens_unreadable"]


def test_a_fault_that_passes_locks_nobody_out(path: Path, monkeypatch: pytest.MonkeyPatch):
    _, secret = make_token(path, "me", "viewer")
    tokens = LiveTokens(path)
    with monkeypatch.context() as broken:
        broken.setattr(module, "read_tokens", _cannot)
        tokens.look()
        assert tokens.find(secret.encode()) is None
    tokens.look()
    assert tokens.find(secret.encode()) is not None
    assert tokens.trouble == ""


def _cannot(_: Path) -> NoReturn:
    raise TokensUnreadable("tokens can't be read (too many open files)")
