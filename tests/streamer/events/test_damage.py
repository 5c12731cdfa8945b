"""A damaged outbox is set aside as it is, said and counted; what can be read of it is saved, and all goes on."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.events.damage import has_log, read_aside, set_aside
from streamer.events.outbox import Outbox
from streamer.events.outbox_file import Changes, OutboxFile
from streamer.telemetry.metrics import Metrics
from tests.conftest import PROJECT
from tests.streamer.events.test_outbox import WEEK_S, assert_sound, outbox, sample, until
from tests.streamer.messages import ADA, due, dues, event_id, word_of, words_of

VISITS = 400
KILLED = """
import os, sys
from pathlib import Path
from streamer.events.outbox_file import Changes, OutboxFile
from tests.streamer.messages import dues

file = OutboxFile(Path(sys.argv[1]), 100_000, 1e9, 1000.0)
for word in sys.argv[2].split():
    file.write(Changes(puts=dues(word)), 1000.0)
os._exit(0)
"""


def name(number: int) -> str:
    return f"v{number:04}".translate(str.maketrans("0123456789", "ghijklmopq"))


def filled(path: Path, visits: int = VISITS) -> list[str]:
    """An outbox that was closed, with whole visits, one that is open, and a client id."""
    words = [word for number in range(visits) for word in (f"{name(number)}1n", f"{name(number)}2e")] + ["z1n"]
    file = OutboxFile(path, 100_000, WEEK_S, 1000.0)
    file.write(Changes(puts=dues(" ".join(words))), 1000.0)
    file.close()
    return words


def killed(path: Path, words: str) -> None:
    """An outbox whose process died: what it holds is in the log alone."""
    subprocess.run([sys.executable, "-c", KILLED, str(path), words], cwd=PROJECT, check=True)
    assert has_log(path)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def middle(path: Path) -> int:
    return path.stat().st_size // 2 // 4096 * 4096


def execute(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    with database:
        for statement in statements:
            database.execute(statement)
    database.close()


def replaced(path: Path, statement: str) -> None:
    path.unlink()
    execute(path, statement)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "a file of somebody's").touch()


def leave_a_journal(path: Path) -> None:
    Path(f"{path}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(5000))


def leave_the_log_of_another(path: Path) -> None:
    """Whose pages SQLite lays over those of the file without asking."""
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "outbox.db"
        killed(other, " ".join(f"{name(number)}1n" for number in range(900, 960)))
        shutil.copyfile(f"{other}-wal", f"{path}-wal")


def random_bytes(size: int) -> bytes:
    return bytes((7 * i * i + 13 * i) % 251 for i in range(size))


# What happens to the file, and the least share of its messages that is saved.
DAMAGE: dict[str, tuple[Callable[[Path], object], float]] = {
    "empty": (lambda path: os.truncate(path, 0), 0.0),
    "cut within the header": (lambda path: os.truncate(path, 60), 0.0),
    "cut in half": (lambda path: os.truncate(path, middle(path)), 0.0),
    "zeroed": (lambda path: overwrite(path, 0, bytes(path.stat().st_size)), 0.0),
    "a header of random bytes": (lambda path: overwrite(path, 0, random_bytes(100)), 0.0),
    "random bytes in the middle": (lambda path: overwrite(path, middle(path), random_bytes(3 * 4096)), 0.5),
    "zeroes in the middle": (lambda path: overwrite(path, middle(path), bytes(4096)), 0.5),
    "no database": (lambda path: path.write_text("certainly no database, " * 1000), 0.0),
    "another's database": (lambda path: replaced(path, "CREATE TABLE people (name TEXT)"), 0.0),
    "a gallery": (lambda path: execute(path, "PRAGMA application_id = 2003333748"), 1.0),
    "another schema": (lambda path: execute(path, "ALTER TABLE pending RENAME COLUMN levels TO topics"), 0.0),
    "no table": (lambda path: execute(path, "DROP TABLE last_seen"), 1.0),
    "nobody's": (lambda path: execute(path, "DELETE FROM installation"), 1.0),
    "a visit that is none": (lambda path: execute(path, "UPDATE open_visits SET event = '{}'"), 1.0),
    "no text": (lambda path: execute(path, "UPDATE open_visits SET event = CAST(x'fffe' AS TEXT)"), 1.0),
    "no JSON": (lambda path: execute(path, "UPDATE open_visits SET event = '{'"), 1.0),
    "a time that is none": (lambda path: execute(path, "UPDATE open_visits SET seen_at = 9e999"), 1.0),
    "a folder": (as_folder, 0.0),
    "a journal of another": (leave_a_journal, 1.0),
    "a log of another": (leave_the_log_of_another, 1.0),
}


@pytest.mark.parametrize("what", DAMAGE)
async def test_at_the_start(tmp_path, caplog, what):
    harm, share = DAMAGE[what]
    path, metrics = tmp_path / "outbox.db", Metrics()
    words = filled(path)
    harm(path)
    before = path.read_bytes() if path.is_file() else None
    async with outbox(path, metrics) as box:
        assert box.healthy
        (aside,) = tmp_path.glob("outbox.db.damaged-*Z")
        assert aside.is_dir() if before is None else aside.read_bytes() == before
        kept = sorted(file.name for file in tmp_path.glob("outbox.db.damaged-*"))
        assert box.trouble.startswith(f"damaged, set aside as {', '.join(kept)}; saved: ")
        assert f"; lost: what else waited in it; check the disk; delete {', '.join(kept)} when" in box.trouble
        assert sample(metrics, "outbox_errors_total", code="outbox_damaged") == 1
        (line,) = [record for record in caplog.records if getattr(record, "code", "") == "outbox_damaged"]
        assert "\n" not in line.message
        assert aside.name in line.message
        await box.flush()
        saved = words_of(await box.peek(10_000)).split()
        told = [word for word in saved if word != "z2e"]
        assert told == [word for word in words if word in set(told)], "in order"
        assert len(told) >= share * len(words), f"{len(told)} of {len(words)}"
        for item in dues("new1n new2e"):
            box.put(item)
        assert await box.flush()
        assert words_of(await box.peek(10_000)).split() == [*saved, "new1n", "new2e"]
    assert_sound(path)
    async with outbox(path) as box:
        assert box.trouble == ""
        assert words_of(await box.peek(10_000)).split() == [*saved, "new1n", "new2e"]
    assert len(list(tmp_path.glob("outbox.db.damaged-*Z"))) == 1


async def test_what_a_dead_process_left_in_the_log_is_no_damage(tmp_path):
    path = tmp_path / "outbox.db"
    killed(path, "a1n a2u")
    async with outbox(path) as box:
        await box.flush()
        assert words_of(await box.peek(10)) == "a1n a2u a3e"
    assert not list(tmp_path.glob("*damaged*"))


@pytest.mark.parametrize("at", ["its first page", "its middle", "its end"])
async def test_a_damaged_file_with_a_log_is_set_aside_with_it(tmp_path, at):
    path = tmp_path / "outbox.db"
    words = filled(path)
    killed(path, "new1n")
    offset = {"its first page": 0, "its middle": middle(path), "its end": path.stat().st_size - 4096}[at]
    overwrite(path, offset, random_bytes(4096))
    before = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    async with outbox(path) as box:
        if not box.trouble:
            pytest.skip("the log has that page whole")
        (aside,) = tmp_path.glob("outbox.db.damaged-*Z")
        assert (aside.read_bytes(), Path(f"{aside}-wal").read_bytes()) == before
        saved = words_of(await box.peek(10_000)).split()
        assert set(saved) <= {*words, "new1n", "z2e", "new2e"}


@pytest.fixture
def anybodys() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


async def test_unreadable_rights(anybodys):
    """As another user would see them: root may read everything."""
    path = anybodys / "outbox.db"
    filled(path)
    path.chmod(0)
    program = f"""
import asyncio, os, sys
from pathlib import Path
from streamer.events.outbox import Outbox
from streamer.telemetry.metrics import Metrics
from tests.streamer.messages import due
if os.getuid() == 0:
    os.setuid(65534)

async def main():
    async with Outbox(Path({str(path)!r}), limit=10, max_age_s=1e9, metrics=Metrics()) as box:
        box.put(due("a1n"))
        print(await box.flush(), box.trouble, flush=True)

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    if "Permission denied" in ended.stderr and "outbox" not in ended.stderr:
        pytest.skip("another user can't read the project")
    assert ended.stdout.startswith("True damaged, set aside as outbox.db.damaged-"), ended
    assert "Traceback" not in ended.stderr


async def damaged_while_running(box: Outbox, path: Path, harm: Callable[[Path], object]) -> None:
    """So much is written that SQLite's memory does not hold the oldest of it, and has to read it anew."""
    for number in range(2000):
        for item in dues(f"{name(number)}1n {name(number)}2e"):
            box.put(item)
    assert await box.flush()
    log = Path(f"{path}-wal")
    overwrite(log, 32, random_bytes(log.stat().st_size - 32))
    harm(path)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: overwrite(path, 4096, random_bytes(path.stat().st_size - 4096)),
        lambda path: overwrite(path, 4096, bytes(path.stat().st_size - 4096)),
        lambda path: os.truncate(path, middle(path)),
        lambda path: overwrite(path, middle(path), random_bytes(8 * 4096)),
    ],
    ids=["random", "zeroed", "cut", "middle"],
)
@pytest.mark.parametrize("by", ["reading", "writing"])
async def test_while_running(tmp_path, harm, by, caplog):
    path, metrics = tmp_path / "outbox.db", Metrics()
    async with outbox(path, metrics) as box:
        await damaged_while_running(box, path, harm)
        in_flight = await box.peek(10)
        number = 0
        while by == "writing" and not box.trouble and number < 300:  # what lies in the middle reading alone finds
            box.put(due(f"{name(number)}3u"))
            number += 1
            await box.flush()
        before = words_of(await box.peek(10_000)).split()
        assert box.trouble.startswith("damaged, set aside as ")
        assert before == sorted(before, key=lambda word: (word.endswith("3u"), word)), "in order"
        for item in dues("new1n new2u new3e"):
            box.put(item)
        assert await box.flush()
        assert words_of(await box.peek(10_000)).split() == [*before, "new1n", "new2u", "new3e"]
        assert sample(metrics, "outbox_errors_total", code="outbox_damaged") == 1
        box.ack(item.row for item in in_flight)
        await box.flush()
        assert words_of(await box.peek(10_000)).split()[-3:] == ["new1n", "new2u", "new3e"], "no row is used twice"
    assert "Traceback" not in caplog.text
    assert_sound(path)


@pytest.mark.parametrize("instead", ["nothing", "another outbox", "some file"])
async def test_deleted_or_replaced_while_running(tmp_path, instead):
    """All that it held is still there to be read, and goes to the new one."""
    path, other = tmp_path / "outbox.db", tmp_path / "other.db"
    filled(other, 3)
    async with outbox(path) as box:
        for item in dues("a1n a2u b1n"):
            box.put(item)
        await box.flush()
        if instead == "nothing":
            path.unlink()
        elif instead == "another outbox":
            other.rename(path)
        else:
            path.with_suffix(".txt").write_text("no database")
            path.with_suffix(".txt").rename(path)
        await until(lambda: box.trouble)
        kept = sorted(file.name for file in tmp_path.glob("*damaged-*"))
        what = "deleted" if instead == "nothing" else "damaged"
        assert box.trouble.startswith(
            f"{what}, set aside as {', '.join(kept)}; saved: 3 waiting messages, 2 open visits;"
        )
        assert "; lost: nothing; " in box.trouble
        assert box.trouble.endswith(
            f"delete {', '.join(kept)} when you no longer want {'it' if len(kept) == 1 else 'them'}"
        )
        box.put(dues("b2e")[0])
        assert await box.flush()
        assert words_of(await box.peek(10)) == "a1n a2u b1n b2e"
    async with outbox(path) as box:
        await box.flush()
        assert words_of(await box.peek(10)) == "a1n a2u b1n b2e a3e"
    assert len(list(tmp_path.glob("*damaged-*Z"))) == (instead != "nothing")


@pytest.mark.parametrize(("log", "left"), [(b"", []), (b"a log", ["wal"])], ids=["whole", "its log is left"])
async def test_deleted_while_it_was_stopped(tmp_path, log, left, caplog):
    path = tmp_path / "outbox.db"
    killed(path, "a1n")
    path.unlink()
    if not log:
        Path(f"{path}-wal").unlink()
    async with outbox(path) as box:
        kept = [file.name for file in tmp_path.glob("outbox.db.damaged-*")]
        assert [name.rpartition("-")[2] for name in kept] == left
        if left:
            assert box.trouble.startswith(
                f"deleted, set aside as {kept[0]}; saved: 0 waiting messages, 0 open visits; "
            )
            assert "; lost: what else waited in it; " in box.trouble
            assert "outbox.db was deleted, and outbox.db-wal was left" in caplog.text
        else:
            assert box.trouble == ""


async def test_a_row_that_names_somebody_else_than_its_topic_is_not_saved(tmp_path):
    path = tmp_path / "outbox.db"
    filled(path, 2)
    execute(
        path,
        f"""UPDATE pending SET levels = '["pbob000000000"]' WHERE event_id = '{event_id(name(0))}'""",
        f"UPDATE pending SET type = 'end' WHERE event_id = '{event_id(name(1))}' AND type = 'new'",
        "DELETE FROM installation",
    )
    async with outbox(path) as box:
        assert [word_of(item.event) for item in await box.peek(10)] == [f"{name(1)}2e", "z1n", "z2e"]


@pytest.mark.parametrize(
    "column",
    [
        "event = '{'",
        "event = '{}'",
        "event = json_set(event, '$.captured_s', 'noon')",
        "event = json_set(event, '$.captured_s', 9e999)",
        "event = json_set(event, '$.seq', 'x')",
        "levels = 'no JSON'",
        "levels = '7'",
        "levels = CAST(x'fffe' AS TEXT)",
        "created_at = 9e999",
        "created_at = -1.0",
    ],
)
async def test_a_row_that_is_none_of_ours_is_left_behind_and_the_others_go_on(tmp_path, column):
    path = tmp_path / "outbox.db"
    filled(path, 2)
    execute(path, f"UPDATE pending SET {column} WHERE row = 2")
    async with outbox(path) as box:
        await box.peek(10)
        await box.flush()
        saved = words_of(await box.peek(10)).split()
        assert box.healthy
        assert saved == [f"{name(0)}1n", f"{name(1)}1n", f"{name(1)}2e", "z1n", "z2e"]
        assert "saved: " in box.trouble


async def test_names_and_last_sightings_go_over_to_the_new_file(tmp_path):
    path = tmp_path / "outbox.db"
    filled(path, 2)
    file = OutboxFile(path, 10, WEEK_S, 1000.0)
    client_id = file.client_id
    file.close()
    leave_a_journal(path)
    async with outbox(path) as box:
        assert box.trouble
        assert box.client_id == client_id
        box.put(dues("a1n")[0])
        await box.flush()
        assert list(box.last_seen) == [ADA]


def test_what_is_set_aside_twice_in_a_second_has_two_names(tmp_path):
    path = tmp_path / "outbox.db"
    names = []
    for text in ("one", "two", "three"):
        path.write_text(text)
        Path(f"{path}-wal").write_text(f"{text}'s log")
        names.append(set_aside(path))
    assert [aside.read_text() for aside in names] == ["one", "two", "three"]
    assert [Path(f"{aside}-wal").read_text() for aside in names] == ["one's log", "two's log", "three's log"]
    assert read_aside(names[0]).pending == {}
