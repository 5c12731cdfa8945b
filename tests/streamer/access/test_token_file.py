"""The file of tokens: what is kept of them, what a damaged one means, and two commands at once."""

import json
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recognition.whole_file import held_alone
from streamer.access import token_file
from streamer.access.errors import TokenNameInvalid, TokenNameTaken, TokensUnreadable, TokensUnwritable, TokenUnknown
from streamer.access.token_file import make_token, read_tokens, revoke_token
from streamer.access.tokens import LONGEST_NAME, digest_of
from tests.conftest import PROJECT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_what_is_kept_is_no_token(path):
    token, secret = make_token(path, "me", "admin")
    _, other = make_token(path, "wall", "viewer")
    assert secret.startswith("wt_")
    assert len(secret) == len("wt_") + 43
    assert secret != other
    kept = path.read_text()
    assert secret.removeprefix("wt_") not in kept
    assert token.digest == digest_of(secret.encode())
    assert [(one.name, one.role) for one in read_tokens(path)] == [("me", "admin"), ("wall", "viewer")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {file.name for file in path.parent.iterdir()} == {"tokens.json", "tokens.json.lock"}


def test_a_token_is_taken_away_and_its_name_is_free(path):
    make_token(path, "me", "admin")
    make_token(path, "wall", "viewer")
    assert revoke_token(path, "ME").name == "me"
    assert [one.name for one in read_tokens(path)] == ["wall"]
    with pytest.raises(TokenUnknown, match="there is no token 'me'; `whosthere tokens list`"):
        revoke_token(path, "me")
    assert make_token(path, "me", "viewer")[0].role == "viewer"


@pytest.mark.parametrize("name", ["me", "ME", "Küche", "KÜCHE", "Ku\u0308che"])
def test_a_name_is_there_once(path, name):
    make_token(path, "me", "admin")
    make_token(path, "Küche", "viewer")
    with pytest.raises(TokenNameTaken, match=r"there is a token (me|Küche) already"):
        make_token(path, name, "viewer")


@pytest.mark.parametrize(
    "name",
    ["", " ", " me", "me ", "a  b", "a\nb", "a\x00b", "a\x1b[2Jb", "x" * (LONGEST_NAME + 1), "\ud800", "a\u202eb"],
)
def test_a_name_that_can_not_be_read_is_refused(path, name):
    with pytest.raises(TokenNameInvalid, match="a token's name") as caught:
        make_token(path, name, "viewer")
    assert "\n" not in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("name", ["a", "Ada's phone", "home-assistant", "居間", "x" * LONGEST_NAME])
def test_a_name_that_can_be_read_is_taken(path, name):
    make_token(path, name, "operator")
    assert [one.name for one in read_tokens(path)] == [name]


SOUND = {"name": "me", "role": "admin", "created_at": 1.5, "sha256": 64 * "a"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json",
        b"[]",
        b'{"version": 1}',
        b'{"version": 2, "tokens": []}',
        b"\x00" * 4096,
        b"\xff\xfe",
        json.dumps({"version": 1, "tokens": [SOUND]}).encode()[:-3],
        json.dumps({"version": 1, "tokens": [SOUND | {"role": "root"}]}).encode(),
        json.dumps({"version": 1, "tokens": [SOUND | {"sha256": ""}]}).encode(),
        json.dumps({"version": 1, "tokens": [SOUND | {"sha256": None}]}).encode(),
        json.dumps({"version": 1, "tokens": [SOUND, {"name": "x"}]}).encode(),
        json.dumps({"version": 1, "tokens": [SOUND], "more": 2_000_000 * "x"}).encode(),
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_holds_nobody_and_is_not_written_over(path, content):
    path.write_bytes(content)
    for use in (lambda: read_tokens(path), lambda: make_token(path, "new", "admin"), lambda: revoke_token(path, "me")):
        with pytest.raises(TokensUnreadable, match="nobody gets in") as caught:
            use()
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_keys_that_are_not_known_are_no_damage(path):
    path.write_text(json.dumps({"version": 1, "tokens": [SOUND | {"note": "x"}], "more": 1}))
    assert [one.name for one in read_tokens(path)] == ["me"]


def test_what_can_not_be_read_or_written_is_said(tmp_path):
    (tmp_path / "tokens.json").mkdir()
    with pytest.raises(TokensUnreadable, match=r"can't be read .Is a directory."):
        read_tokens(tmp_path / "tokens.json")
    with pytest.raises(TokensUnwritable, match=r"can't be written .No such file or directory."):
        make_token(tmp_path / "gone" / "tokens.json", "me", "admin")


def test_a_full_disk_leaves_what_was(path, monkeypatch):
    make_token(path, "me", "admin")
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TokensUnwritable, match="No space left"):
        make_token(path, "more", "viewer")
    with pytest.raises(TokensUnwritable, match="No space left"):
        revoke_token(path, "me")
    assert path.read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} == {"tokens.json", "tokens.json.lock"}


def test_commands_at_once_lose_nothing(path):
    """Threads share a process, and so lock by their own opened files, as processes do."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: make_token(path, f"token {n}", "viewer"), range(24)))
    assert {one.name for one in read_tokens(path)} == {f"token {n}" for n in range(24)}


def test_processes_at_once_lose_nothing(path):
    program = (
        "import sys; from pathlib import Path; from streamer.access.token_file import make_token\n"
        "for n in range(10): make_token(Path(sys.argv[1]), f'{sys.argv[2]} {n}', 'viewer')"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, path, name], env=os.environ | {"PYTHONPATH": str(PROJECT)})
        for name in "ab"
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(read_tokens(path)) == 20


def test_who_reads_meanwhile_sees_the_old_one_or_the_new_one(path):
    make_token(path, "first", "viewer")
    seen: set[int] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(len(read_tokens(path)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(30):
            make_token(path, f"token {number}", "viewer")
    finally:
        done.set()
        reader.join()
    assert seen <= set(range(1, 32))
    assert 0 not in seen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_and_revokes_is_the_services(tmp_path):
    """`sudo whosthere tokens make`, and then nobody would get in."""
    os.chown(tmp_path, 12345, 54321)
    for change in (
        lambda: make_token(tmp_path / "tokens.json", "me", "admin"),
        lambda: make_token(tmp_path / "tokens.json", "you", "viewer"),
        lambda: revoke_token(tmp_path / "tokens.json", "me"),
    ):
        change()
        owners = {file.name: (file.stat().st_uid, file.stat().st_gid) for file in tmp_path.iterdir()}
        assert owners == dict.fromkeys(("tokens.json", "tokens.json.lock"), (12345, 54321))
        assert (tmp_path / "tokens.json").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_held_for_long_is_said(path, monkeypatch):
    monkeypatch.setattr(token_file, "_BUSY_FOR_S", 0.0)
    with held_alone(path), pytest.raises(TokensUnwritable, match="is being written by another command; try again"):
        make_token(path, "me", "admin")
