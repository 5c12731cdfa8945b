"""A new database takes nobody's place, and no log of a former one is laid over it."""

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gallery.storage.new_file import draft_of, put_in_place

_KILLED = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE former (it)")
db.execute("BEGIN")
db.executemany("INSERT INTO former VALUES (?)", [(number,) for number in range(int(sys.argv[2]))])
db.execute("COMMIT")
print(flush=True)
if sys.argv[3] == "stays":
    sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_writer(path: Path, rows: int) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, path, str(rows), "goes"], stdout=subprocess.DEVNULL, check=False)


@pytest.fixture(params=[True, False], ids=["links", "no links"])
def has_links(request, monkeypatch) -> None:
    def no_links(path, other):
        raise OSError(1, "Operation not permitted")

    if not request.param:
        monkeypatch.setattr(Path, "hardlink_to", no_links)


def make(path: Path, what: str) -> None:
    with draft_of(path) as draft:
        with closing(sqlite3.connect(draft)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE made (what)")
            db.execute("INSERT INTO made VALUES (?)", (what,))
            db.commit()
        put_in_place(draft, path)


def what_is_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [name for (name,) in db.execute("SELECT what FROM made")]


@pytest.mark.parametrize("rows", [1, 100, 20_000])
def test_the_log_of_one_that_is_gone_goes(tmp_path, rows):
    path = tmp_path / "a file.db"
    killed_writer(path, rows)
    path.unlink()
    assert path.with_name("a file.db-wal").stat().st_size > 0
    make(path, "new")
    assert what_is_in(path) == ["new"]
    assert os.listdir(tmp_path) == ["a file.db"]


def test_what_somebody_has_open_is_left_to_them(tmp_path):
    path = tmp_path / "file.db"
    command = [sys.executable, "-c", _KILLED, path, "5", "stays"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        path.rename(tmp_path / "away.db")
        with pytest.raises(OSError, match="another process has it open"):
            make(path, "new")
        assert sorted(os.listdir(tmp_path)) == ["away.db", "file.db-shm", "file.db-wal"]
        writer.communicate(b"")
    make(path, "new")
    assert what_is_in(path) == ["new"]


@pytest.mark.usefixtures("has_links")
def test_of_many_that_make_one_the_first_stays(tmp_path):
    path, start = tmp_path / "file.db", threading.Barrier(6)
    seen: list[list[str]] = []

    def make_and_look(number: int) -> None:
        start.wait()
        make(path, str(number))
        seen.append(what_is_in(path))

    threads = [threading.Thread(target=make_and_look, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [seen[0]] * 6, "nobody's was replaced by another"
    assert "file.db" in os.listdir(tmp_path)
    assert not list(tmp_path.glob("*.new*"))


@pytest.mark.usefixtures("has_links")
@pytest.mark.parametrize("kind", ["file", "folder", "link to nowhere"])
def test_it_takes_nobodys_place(tmp_path, kind):
    path = tmp_path / "file.db"
    if kind == "folder":
        path.mkdir()
    elif kind == "link to nowhere":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.write_text("theirs")
    make(path, "new")
    assert os.listdir(tmp_path) == ["file.db"]
    assert not path.is_file() or path.read_text() == "theirs"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("owner", [(12345, 54321), (1, 1), (0, 0)])
def test_what_root_makes_is_the_folders_owners(tmp_path, owner):
    os.chown(tmp_path, *owner)
    make(tmp_path / "file.db", "new")
    found = (tmp_path / "file.db").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (*owner, 0o600)


@pytest.mark.parametrize("log", [None, b"", b"what there was no room for in the file"])
def test_a_draft_whose_log_could_not_be_carried_over_is_not_put_in_place(tmp_path: Path, log: bytes | None) -> None:
    path = tmp_path / "gallery.db"
    with draft_of(path) as draft:
        draft.write_bytes(b"the file")
        if log is not None:
            draft.with_name(f"{draft.name}-wal").write_bytes(log)
        if log:
            with pytest.raises(OSError, match="No space left on device"):
                put_in_place(draft, path)
        else:
            put_in_place(draft, path)
    assert [file.name for file in tmp_path.iterdir()] == ([] if log else ["gallery.db"])
