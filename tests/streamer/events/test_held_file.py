"""An outbox whose file is away, comes back, or can't be replaced: nothing is lost, nothing is there twice."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.errors import OutboxDamaged, OutboxUnwritable
from streamer.events import held_file, outbox_file, outbox_schema
from streamer.events.held_file import HeldFile
from streamer.events.outbox_file import Changes, OutboxFile
from streamer.telemetry.metrics import Metrics
from tests.streamer.events.test_damage import execute, filled, name
from tests.streamer.events.test_outbox import WEEK_S, assert_sound, outbox, sample, until
from tests.streamer.messages import dues, words_of

HARM = {
    "a visit that is none": "UPDATE open_visits SET event = '{}'",
    "a time that is none": "UPDATE open_visits SET seen_at = 9e999",
    "a sighting that is none": "INSERT INTO last_seen VALUES ('pada000000000', '{}')",
}


@pytest.mark.parametrize("when", ["at the start", "later"])
@pytest.mark.parametrize("what", HARM)
async def test_damage_that_only_the_first_look_at_open_visits_shows(tmp_path, monkeypatch, what, when):
    """Where there is no room for a copy of its log, a file is opened unseen."""
    path, metrics, open_file = tmp_path / "outbox.db", Metrics(), outbox_schema.open_outbox
    filled(path, 2)
    execute(path, HARM[what])
    monkeypatch.setattr(outbox_schema, "_check_whole", lambda _: None)
    monkeypatch.setattr(held_file, "RETRY_S", 0.0)
    fails = iter([when == "later"])

    def opened(path: Path) -> sqlite3.Connection:
        if next(fails, False):
            raise OutboxUnwritable("outbox can't be opened")
        return open_file(path)

    monkeypatch.setattr(outbox_file, "open_outbox", opened)
    async with outbox(path, metrics) as box:
        await until(lambda: box.trouble.startswith("damaged, set aside as "))
        box.put(dues("new1n")[0])
        assert await box.flush()
        saved = words_of(await box.peek(100)).split()
        assert [word for word in saved if word != "z2e"] == [
            f"{name(0)}1n",
            f"{name(0)}2e",
            f"{name(1)}1n",
            f"{name(1)}2e",
            "z1n",
            "new1n",
        ]
        assert ("z2e" in saved) == (what == "a sighting that is none")
        assert sample(metrics, "outbox_errors_total", code="outbox_damaged") == 1
        assert box.healthy


class Place:
    """The folder of an outbox, and the outbox as its writer holds it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "outbox.db"
        folder.mkdir()
        self.held = HeldFile(
            self.path, lambda: OutboxFile(self.path, 10_000, WEEK_S, 1000.0), lambda: 1000.0, Metrics()
        )
        self.held.open()

    def put(self, words: str) -> None:
        self.held.use(lambda file: file.write(Changes(puts=dues(words)), 1000.0))

    def words(self) -> str:
        return self.held.use(lambda file: words_of(file.rows(0, 100)))

    def set_aside(self) -> int:
        return sum(not file.name.endswith(("-wal", "-shm")) for file in self.folder.glob("*.damaged-*"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(held_file, "RETRY_S", 0.0)
    monkeypatch.setattr(held_file, "RENEW_S", 0.0)
    place = Place(tmp_path / "var")
    yield place
    place.held.close()


def failing_stat(monkeypatch: pytest.MonkeyPatch, path: Path, code: int) -> Callable[[], None]:
    real = Path.stat

    def stat(self: Path, **options: bool) -> os.stat_result:
        if self == path:
            raise OSError(code, os.strerror(code))
        return real(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    return lambda: monkeypatch.setattr(Path, "stat", real)


def moved_away(folder: Path, _: pytest.MonkeyPatch) -> Callable[[], None]:
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    return lambda: (elsewhere.rename(folder), None)[1]


def a_file_in_its_place(folder: Path, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    bring_back = moved_away(folder, patch)
    folder.touch()
    return lambda: (folder.unlink(), bring_back())[1]


AWAY: dict[str, Callable[[Path, pytest.MonkeyPatch], Callable[[], None]]] = {
    "moved": moved_away,
    "a file in its place": a_file_in_its_place,
    "its disk fails": lambda folder, patch: failing_stat(patch, folder / "outbox.db", errno.EIO),
    "its server has lost it": lambda folder, patch: failing_stat(patch, folder / "outbox.db", errno.ESTALE),
    "nobody may look": lambda folder, patch: failing_stat(patch, folder / "outbox.db", errno.EACCES),
}


@pytest.mark.parametrize("how", AWAY)
async def test_a_folder_that_is_away_for_a_while(tmp_path, monkeypatch, how):
    path, metrics = tmp_path / "var/outbox.db", Metrics()
    path.parent.mkdir()
    async with outbox(path, metrics) as box:
        for item in dues("a1n a2u"):
            box.put(item)
        assert await box.flush()
        bring_back = AWAY[how](path.parent, monkeypatch)
        await until(lambda: not box.healthy)
        for item in dues("a3u b1n"):
            box.put(item)
        assert not await box.flush()
        bring_back()
        await until(lambda: box.healthy)
        for item in dues("b2e a4e"):
            box.put(item)
        assert await box.flush()
        assert box.trouble == ""
        stored = await box.peek(10)
        assert words_of(stored) == "a1n a2u a3u b1n b2e a4e"
        assert [item.row for item in stored] == [1, 2, 3, 4, 5, 6]
    assert not list(path.parent.glob("*damaged*"))
    assert not sample(metrics, "outbox_dropped_total")
    assert_sound(path)
    async with outbox(path) as box:
        await box.flush()
        assert words_of(await box.peek(10)) == "a1n a2u a3u b1n b2e a4e"


@pytest.mark.parametrize("count", [1, 16, 2500])
async def test_what_waits_at_the_end_goes_to_a_file_that_is_away(tmp_path, count):
    path, elsewhere = tmp_path / "var/outbox.db", tmp_path / "elsewhere"
    path.parent.mkdir()
    words = ["a1n", *(f"a{seq}u" for seq in range(2, count + 2))]
    async with outbox(path) as box:
        box.put(dues(words[0])[0])
        await box.flush()
        path.parent.rename(elsewhere)
        await until(lambda: not box.healthy)
        for item in dues(" ".join(words[1:])):
            box.put(item)
    async with outbox(elsewhere / "outbox.db") as box:
        await box.flush()
        assert words_of(await box.peek(10_000)).split() == [*words, f"a{count + 2}e"]


async def test_what_waits_at_the_end_is_said_to_be_lost_where_its_folder_was_deleted(tmp_path, caplog):
    path, metrics = tmp_path / "var/outbox.db", Metrics()
    path.parent.mkdir()
    async with outbox(path, metrics) as box:
        shutil.rmtree(path.parent)
        await until(lambda: not box.healthy)
        box.put(dues("a1n")[0])
    assert "1 events could not be written and are lost" in caplog.text
    assert sample(metrics, "outbox_dropped_total") == 1


async def test_a_folder_that_comes_back_empty(tmp_path):
    """What the file held is still there to be read."""
    path = tmp_path / "var/outbox.db"
    path.parent.mkdir()
    async with outbox(path) as box:
        box.put(dues("a1n")[0])
        await box.flush()
        path.parent.rename(tmp_path / "elsewhere")
        await until(lambda: not box.healthy)
        box.put(dues("a2u")[0])
        path.parent.mkdir()
        await until(lambda: box.healthy)
        assert await box.flush()
        assert words_of(await box.peek(10)) == "a1n a2u"


def test_a_damaged_file_that_can_not_be_renamed_and_is_whole_after_all(place, monkeypatch):
    """A read that failed once: the very file is opened again, and nothing is in it twice."""
    place.put("a1n a2u")

    def fails(path: Path) -> Path:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(held_file, "set_aside", fails)
        with pytest.raises(OSError, match="Read-only"):
            place.held.use(damaged_once())
    with pytest.raises(OutboxUnwritable):
        place.put("a3u")
    place.held.look()
    place.put("a3u a4e")
    assert place.words() == "a1n a2u a3u a4e"
    assert place.set_aside() == 0


def damaged_once() -> Callable[[OutboxFile], None]:
    told = iter([True])

    def act(_: OutboxFile) -> None:
        if next(told, False):
            raise OutboxDamaged("outbox is damaged (disk I/O error)")

    return act


@pytest.mark.parametrize("fails", ["write", "_read", "restore"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_new_file_that_can_not_be_filled_is_tried_anew(place, monkeypatch, fails, times):
    """Before what was saved is committed, and after it."""
    place.put("a1n a2u")
    owner = held_file.Contents if fails == "write" else OutboxFile
    real, calls, error = getattr(owner, fails), [], sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR

    def failing(*arguments: object) -> object:
        calls.append(1)
        by_opening = fails == "_read" and len(calls) % 2
        if len(calls) <= times * (1 + (fails == "_read")) and not by_opening:
            raise error
        return real(*arguments)

    monkeypatch.setattr(owner, fails, failing)
    for attempt in range(times):
        with pytest.raises(sqlite3.OperationalError):
            place.held.use(damaged_once()) if attempt == 0 else place.held.look()
        assert not place.path.exists(), "no file is left that has not got what was saved"
    place.held.look()
    place.put("a3e")
    assert place.words() == "a1n a2u a3e"
    assert place.set_aside() == 1
    assert_sound(next(place.folder.glob("*damaged-*Z")))


@pytest.mark.parametrize("instead", ["another outbox", "some file", "nothing"])
def test_another_file_in_its_place_before_a_new_one_could_be_made(place, monkeypatch, instead):
    place.put("a1n a2u")
    other = place.folder / "other.db"
    filled(other, 2)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(outbox_schema, "_check_place", full)
        place.path.unlink()
        with pytest.raises(OutboxUnwritable):
            place.held.look()
    if instead == "another outbox":
        other.rename(place.path)
    elif instead == "some file":
        place.path.write_text("no database")
    place.held.look()
    place.put("a3e")
    assert place.words() == "a1n a2u a3e"
    assert place.set_aside() == (instead != "nothing")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("2", "saved: 3 waiting messages, 3 open visits; lost: 1 waiting messages; check the disk; "),
        ("1, 3, 4", "saved: 1 waiting messages, 3 open visits; lost: 3 waiting messages; check the disk; "),
        ("1, 2, 3, 4", "saved: 0 waiting messages, 3 open visits; lost: 4 waiting messages; check the disk; "),
    ],
)
def test_what_is_lost_of_a_file_that_was_open_is_counted(place, rows, told):
    place.put("a1n a2u b1n c1n")
    place.held.use(lambda file: file._db.execute(f"UPDATE pending SET event = '{{' WHERE row IN ({rows})"))
    place.words()
    assert told in place.held.set_aside
    (aside,) = place.folder.glob("*.damaged-*Z")
    log = f"{aside.name}-wal"
    assert place.held.set_aside.startswith(f"damaged, set aside as {aside.name}, {log}; ")
    assert place.held.set_aside.endswith(f"; delete {aside.name}, {log} when you no longer want them")
