"""Sessions over a restart: what lies in the file, what of it goes on, and a file or disk that is no good."""

import asyncio
import json
import os
import stat
import threading
import time

import pytest

from streamer.access import kept_sessions as module
from streamer.access.kept_sessions import SessionKeeper
from streamer.access.live_tokens import LiveTokens
from streamer.access.sessions import Sessions
from streamer.access.token_file import make_token, revoke_token
from tests.recognition.fakes import until

IDLE_S, LONGEST_S = 100.0, 1000.0


class Run:
    """A service's run: a steady clock of its own, and the wall's."""

    def __init__(self, folder, steady_s: float = 5000.0, wall_s: float = 1.7e9) -> None:
        self.steady_s, self.wall_s = steady_s, wall_s
        self.tokens = LiveTokens(folder / "tokens.json")
        self.tokens.look()
        self.sessions = Sessions(self.tokens, IDLE_S, LONGEST_S, lambda: self.steady_s)
        self.file = folder / "sessions.json"
        self.keeper = SessionKeeper(self.sessions, self.file, lambda: self.wall_s)
        self.keeper.read()

    def later(self, seconds: float) -> None:
        self.steady_s += seconds
        self.wall_s += seconds

    def begin(self, name: str = "wall") -> bytes:
        (token,) = (one for one in self.tokens._tokens if one.name == name)
        return self.sessions.begin(token)[1].encode()


@pytest.fixture
def run(tmp_path):
    for name in ("wall", "phone"):
        make_token(tmp_path / "tokens.json", name, "viewer")
    return Run(tmp_path)


async def test_a_session_goes_on_as_long_as_it_would_have(run, tmp_path):
    secret = run.begin()
    run.later(40)
    run.begin("phone")
    await run.keeper.save()
    assert secret.decode() not in run.file.read_text()
    assert stat.S_IMODE(run.file.stat().st_mode) == 0o600

    again = Run(tmp_path, steady_s=7.0, wall_s=run.wall_s + 50)
    session = again.sessions.find(secret)
    assert session is not None
    assert (session.token.name, session.began_s) == ("wall", 7.0 - 90)
    assert again.sessions.left_s(session) == IDLE_S
    late = Run(tmp_path, wall_s=run.wall_s + 70)
    assert late.sessions.find(secret) is None, "110 s unused"


async def test_with_its_token_or_by_signing_out_it_is_gone(run, tmp_path):
    first, second, third = run.begin(), run.begin(), run.begin("phone")
    await run.keeper.save()
    found = run.sessions.find(second)
    assert found is not None
    run.sessions.end(found)
    await run.keeper.save()
    revoke_token(tmp_path / "tokens.json", "phone")
    make_token(tmp_path / "tokens.json", "phone", "viewer")
    again = Run(tmp_path)
    assert [again.sessions.find(one) is not None for one in (first, second, third)] == [True, False, False]


async def test_a_wall_clock_that_is_behind_makes_it_no_longer_than_a_new_one(run, tmp_path):
    secret = run.begin()
    await run.keeper.save()
    again = Run(tmp_path, wall_s=0.0)
    session = again.sessions.find(secret)
    assert session is not None
    assert again.sessions.left_s(session) == IDLE_S
    again.steady_s += IDLE_S
    assert again.sessions.find(secret) is None


async def test_what_changes_is_written_soon_and_use_now_and_then(run, monkeypatch):
    monkeypatch.setattr(module, "POLL_S", 0.005)
    monkeypatch.setattr(module, "USED_S", 60.0)
    following = asyncio.create_task(run.keeper.follow())

    def kept():
        return json.loads(run.file.read_text())["sessions"] if run.file.exists() else None

    try:
        secret = run.begin()
        await until(lambda: kept() and len(kept()) == 1)
        run.later(61)
        found = run.sessions.find(secret)
        await until(lambda: kept()[0]["used_at"] == run.wall_s)
        run.sessions.end(found)
        await until(lambda: kept() == [])
    finally:
        following.cancel()


async def test_the_last_word_is_the_stops_also_while_another_is_written(run, tmp_path, monkeypatch, caplog):
    """The task that follows is cancelled, its thread is not."""
    monkeypatch.setattr(module, "POLL_S", 0.001)
    begun, both, fsync = threading.Event(), threading.Event(), os.fsync

    def slow(file: int) -> None:
        """Were two let in here at once, the first would put the other's file in place, and the other find none."""
        if begun.is_set():
            both.set()
            while not run.file.exists():
                time.sleep(0.001)
        else:
            begun.set()
            both.wait(0.3)
        fsync(file)

    monkeypatch.setattr(os, "fsync", slow)
    first = run.begin()
    following = asyncio.create_task(run.keeper.follow())
    await until(begun.is_set)
    following.cancel()
    second = run.begin()
    await run.keeper.save()
    assert caplog.records == []
    again = Run(tmp_path)
    assert again.sessions.find(first) is not None
    assert again.sessions.find(second) is not None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 2, "sessions": []}', b"[" * 100_000, b"\xff", b"x" * 2_000_000]
)
async def test_a_file_that_is_no_good_is_nobodys_session_and_is_written_anew(run, tmp_path, content, caplog):
    run.file.write_bytes(content)
    again = Run(tmp_path)
    assert len(again.sessions) == 0
    assert "sign in again" in caplog.text
    secret = again.begin()
    await again.keeper.save()
    assert Run(tmp_path).sessions.find(secret) is not None


async def test_of_a_file_with_impossible_times_nothing_is_taken(run, tmp_path):
    digests = {"sha256": "0" * 64, "token_sha256": run.tokens._tokens[0].digest}
    for began in ("NaN", "Infinity", "-1", "1e300"):
        entry = json.dumps(digests)[:-1] + f', "began_at": {began}, "used_at": {began}}}'
        run.file.write_text(f'{{"version": 1, "sessions": [{entry}]}}')
        assert len(Run(tmp_path).sessions) == 0


async def test_a_full_disk_is_told_once_and_stops_nothing(run, monkeypatch, caplog):
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    run.begin()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        await run.keeper.save()
        await run.keeper.save()
    assert [record.code for record in caplog.records] == ["sessions_unwritable"]
    assert not run.file.exists()
    await run.keeper.save()
    assert run.file.exists()
