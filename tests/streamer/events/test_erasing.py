"""Nothing of who is forgotten stays in the outbox: not in its messages, its memory, its file, its log, nor in files
that were set aside of a damaged one.
"""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from streamer.events import outbox_writer
from streamer.events.erasing import blot_set_aside, set_aside_files
from streamer.events.outbox_file import Changes, OutboxFile
from streamer.events.outbox_schema import SPARE_BYTES
from streamer.telemetry.metrics import Metrics
from tests.small_disk import fill, small_disk
from tests.streamer.events.test_damage import execute
from tests.streamer.events.test_outbox import WEEK_S, assert_sound, outbox, sample, until
from tests.streamer.messages import ADA, BOB, due, dues, event_id, words_of

EVE = "peve000000000"


def remains(folder: Path, *needles: str) -> list[str]:
    """The files that hold one of these, byte by byte."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file.name for file in files if any(needle.encode() in file.read_bytes() for needle in needles)]


async def test_what_waits_of_the_forgotten_goes_from_file_log_and_memory(tmp_path):
    path, metrics = tmp_path / "outbox.db", Metrics()
    async with outbox(path, metrics) as box:
        for item in (*dues("a1n a2e b1n"), due("c1n", person=BOB), due("d2u", person=BOB, previous=ADA)):
            box.put(item)
        await box.flush()
        assert remains(tmp_path, ADA)
        assert box.forget([ADA]) == {ADA}
        assert await box.flush()
        stored = await box.peek(10)

        assert words_of(stored) == "b1n c1n d2u"
        assert [one.levels for one in stored] == [("unknown",), (BOB,), ("unknown", BOB)]
        assert list(box.last_seen) == [BOB]
        assert remains(tmp_path, ADA) == []
        assert sample(metrics, "outbox_depth") == 3
        assert sample(metrics, "outbox_dropped_total") == 0
        assert box.forget([ADA]) == set(), "they are known by now"
    assert_sound(path)


@pytest.mark.parametrize("candidates", [(ADA, BOB), (BOB, ADA), (BOB, EVE, ADA)])
async def test_who_is_only_a_candidate_goes_too(tmp_path, candidates):
    path = tmp_path / "outbox.db"
    async with outbox(path) as box:
        for item in (due("a1n", candidates=candidates), due("b1n", candidates=(BOB, EVE)), due("c1n", person=BOB)):
            box.put(item)
        await box.flush()
        assert remains(tmp_path, ADA)
        box.forget([ADA])
        box.put(due("d1n", candidates=candidates))  # a verdict was on its way
        await box.flush()
        told = {word: stored.event for stored in await box.peek(10) for word in [words_of([stored])]}
        assert {word: event.decision for word, event in told.items()} == {
            "a1n": "unknown",
            "b1n": "ambiguous",
            "c1n": "known",
            "d1n": "unknown",
        }
        assert [one.id for one in told["b1n"].candidates] == [BOB, EVE]
        assert remains(tmp_path, ADA) == []
    async with outbox(path) as box:  # the service has died: what was open is told to be over
        ends = [stored.event for stored in await box.peek(10) if stored.event.type == "end"]
        assert {end.decision for end in ends} <= {"unknown", "ambiguous", "known"}
        assert remains(tmp_path, ADA) == []
    assert_sound(path)


@pytest.mark.parametrize("count", [1, 50])
async def test_so_it_is_for_many_people_and_many_messages(tmp_path, count):
    path = tmp_path / "outbox.db"
    people = [f"p{number:02d}0000000{letter}zz" for number in range(50) for letter in "qx"]
    async with outbox(path) as box:
        for turn in range(6):
            for number, person in enumerate(people):
                kind = "nuuuue"[turn]
                box.put(due(f"{'abcdefghij'[number // 10]}{'abcdefghij'[number % 10]}{turn + 1}{kind}", person=person))
            await box.flush()
        box.forget(people[:count])
        await box.flush()
        left = await box.peek(1000)
        assert len(left) == 6 * (len(people) - count)
        assert remains(tmp_path, *people[:count]) == []
        assert remains(tmp_path, *people[count:])
        assert len(box.last_seen) == len(people) - count
    assert_sound(path)


@pytest.mark.parametrize("table", ["pending", "last_seen", "open_visits"])
async def test_rows_that_another_program_deleted_leave_nothing_either(tmp_path, table):
    """Deleted without secure_delete, as by the sqlite3 of the command line: their bytes stay in the file's pages."""
    path = tmp_path / "outbox.db"
    async with outbox(path) as box:
        for item in dues("a1n b1n"):
            box.put(item)
    for other in ("pending", "last_seen", "open_visits"):
        execute(path, f"PRAGMA secure_delete = {'OFF' if other == table else 'ON'}", f"DELETE FROM {other}")
    assert remains(tmp_path, ADA)
    async with outbox(path) as box:
        box.forget([ADA])
        await box.flush()
        assert remains(tmp_path, ADA) == []
    assert_sound(path)


async def test_what_comes_later_of_the_forgotten_is_of_somebody_unknown(tmp_path):
    told = []
    async with outbox(tmp_path / "outbox.db") as box:
        box.hearers.append(told.append)
        box.forget([ADA])
        box.put(due("a1n"))
        await box.flush()
        (stored,) = await box.peek(10)
        assert (stored.event.person, stored.levels, box.last_seen) == (None, ("unknown",), {})
        assert told == [stored.event]
        box.forget([BOB])
    assert remains(tmp_path, ADA, BOB) == []


async def test_what_is_handed_out_is_told_without_who_is_forgotten_meanwhile(tmp_path):
    async with outbox(tmp_path / "outbox.db") as box:
        box.put(due("a1n"))
        await box.flush()
        (stored,) = await box.peek(10)
        assert box.as_told(stored) is stored
        box.forget([ADA])
        assert (box.as_told(stored).event.person, box.as_told(stored).levels) == (None, ("unknown",))
        await box.flush()
        assert words_of(await box.peek(10)) == "a1n", "on its way: somebody may have heard of it"


@pytest.mark.parametrize("when", ["before it is opened", "just after"])
async def test_who_was_forgotten_while_nobody_served_is_erased_at_the_start(tmp_path, when):
    """Visits that were open have ended; where the end was on disk by then, nobody has heard of the whole of it."""
    path = tmp_path / "outbox.db"
    async with outbox(path) as box:
        for item in (*dues("a1n b1n b2e"), due("c1n", person=BOB)):
            box.put(item)
        box.sighted(event_id("a"), 1200.0, 1000.0)
    box = outbox(path)
    if when == "before it is opened":
        box.forget([ADA, EVE])
    async with box:
        box.forget([ADA, EVE])
        await box.flush()
        stored = await box.peek(100)
        assert words_of(stored) in ("a1n c1n a2e c2e", "c1n c2e")
        assert {one.event.event_id: one.levels for one in stored if one.levels != ("unknown",)} == {
            event_id("c"): (BOB,)
        }
        assert list(box.last_seen) == [BOB]
        assert remains(tmp_path, ADA) == []


async def test_a_full_disk_puts_it_off_and_no_longer(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox_writer, "SCRUB_AGAIN_S", 0.0)
    with small_disk(8) as disk:
        path = disk / "outbox.db"
        async with outbox(path) as box:
            for item in dues("a1n b1n"):
                box.put(item)
            await box.flush()
            filler = fill(disk)
            box.put(due("c1n"))
            box.forget([ADA])
            assert box.last_seen == {}
            await box.flush()
            filler.unlink()
            await until(lambda: box.healthy)
            await until(lambda: not remains(disk, ADA))
            assert words_of(await box.peek(10)) == "a1n b1n c1n"
        assert_sound(path)


async def test_room_and_log_are_claimed_again_afterwards(tmp_path):
    """What a full disk needs, tests/streamer/events/test_outbox.py shows."""
    path = tmp_path / "outbox.db"
    async with outbox(path) as box:
        box.put(due("a1n"))
        await box.flush()
        box.forget([ADA])
        await box.flush()
        assert path.with_name("outbox.db-wal").stat().st_size >= SPARE_BYTES
        assert path.stat().st_size + path.with_name("outbox.db-wal").stat().st_size >= 2 * SPARE_BYTES


@pytest.mark.parametrize("when", ["after it was set aside", "before it was opened"])
async def test_a_damaged_file_that_was_set_aside_names_nobody_who_is_forgotten(tmp_path, when):
    path = tmp_path / "outbox.db"
    async with outbox(path) as box:
        for item in (*dues("a1n b1n b2e"), due("c1n", person=BOB)):
            box.put(item)
    execute(path, "UPDATE open_visits SET seen_at = 9e999 WHERE event_id LIKE '%C'")
    if when == "before it was opened":
        box = outbox(path)
        box.forget([ADA])
    else:
        box = outbox(path)
    async with box:
        assert set_aside_files(path)
        box.forget([ADA])
        await box.flush()
        assert remains(tmp_path, ADA) == []
        assert remains(tmp_path, BOB)
        assert {one.levels for one in await box.peek(100)} <= {("unknown",), (BOB,)}
    (aside,) = (file for file in set_aside_files(path) if not file.name.endswith(("-wal", "-shm")))
    db = sqlite3.connect(f"{aside.as_uri()}?mode=ro", uri=True)
    assert db.execute("SELECT count(*) FROM pending").fetchone() == (4,), "it can be read as before"
    db.close()


def test_copies_that_a_crash_left_are_written_over_too(tmp_path):
    path = tmp_path / "outbox.db"
    left = tmp_path / "outbox.db.read-x1" / "copy.db"
    left.parent.mkdir()
    left.write_text(f"..{ADA}..{BOB}..{ADA}")
    other = tmp_path / "notes.txt"
    other.write_text(ADA)
    assert blot_set_aside(path, [ADA, EVE]) == 1
    assert left.read_text() == f"..{'-' * 13}..{BOB}..{'-' * 13}"
    assert other.read_text() == ADA, "what is none of ours stays"


def test_a_command_does_it_where_no_service_runs(tmp_path):
    path = tmp_path / "outbox.db"
    file = OutboxFile(path, 1000, WEEK_S, 1000.0)
    file.write(Changes(puts=[*dues("a1n a2e b1n"), due("c1n", person=BOB)]), 1000.0)
    file.close()
    file = OutboxFile(path, 1000, WEEK_S, 1000.0)
    file.write(Changes(forgotten={ADA}), 1000.0)
    file.scrub({ADA})
    assert (words_of(file.rows(0, 10)), file.count) == ("b1n c1n", 2)
    file.close()
    assert remains(tmp_path, ADA) == []
    assert_sound(path)


async def test_what_was_being_written_when_somebody_is_forgotten_goes_with_the_next_round(tmp_path):
    """A message may be on its way to the disk while the loop forgets its person."""
    path = tmp_path / "outbox.db"
    async with outbox(path) as box:
        for number in range(200):
            box.put(due(f"{'abcdefghij'[number % 10]}{number + 1}{'n' if number < 10 else 'u'}"))
            if number == 100:
                await asyncio.sleep(0)
                box.forget([ADA])
        await box.flush()
        await until(lambda: not remains(tmp_path, ADA))
        assert {one.levels for one in await box.peek(1000)} == {("unknown",)}
