"""The outbox keeps what is due through crashes, full disks and long outages, and says what it gives up."""

import asyncio
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamer.errors import AlreadyRunning, OutboxTooNew
from streamer.events.event import Due, give_up
from streamer.events.outbox import Outbox
from streamer.events.outbox_file import Changes, OutboxFile
from streamer.telemetry.metrics import Metrics
from tests.conftest import PROJECT
from tests.small_disk import fill, small_disk
from tests.streamer.messages import ADA, due, dues, event_id, words_of

WEEK_S = 7 * 86400.0


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def outbox(path: Path, metrics: Metrics | None = None, **changes: object) -> Outbox:
    options = {"limit": 10_000, "max_age_s": WEEK_S, "metrics": metrics or Metrics(), "now": Clock()} | changes
    return Outbox(path, **options)  # type: ignore[arg-type]


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"whosthere_{name}", labels)


def assert_sound(path: Path) -> None:
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_how_many_wait_is_known_before_whoever_waited_for_them_goes_on(tmp_path, monkeypatch):
    metrics = Metrics()
    shows = metrics.outbox_depth.set
    monkeypatch.setattr(metrics.outbox_depth, "set", lambda depth: (time.sleep(0.05), shows(depth)))
    async with outbox(tmp_path / "outbox.db", metrics) as opened:
        for count, word in enumerate(("a1n", "a2u"), start=1):
            opened.put(due(word))
            await opened.flush()
            assert sample(metrics, "outbox_depth") == count


@pytest.mark.parametrize("backlog", [6_000, 9_000])
def test_what_a_backlog_took_goes_back_to_the_disk_in_steps(tmp_path, backlog):
    file = OutboxFile(tmp_path / "outbox.db", 100_000, WEEK_S, 1000.0)
    event = due("a1n").event
    many = [event.model_copy(update={"event_id": f"{number:026d}"}) for number in range(backlog)]
    file.write(Changes(puts=[Due(one, ("unknown",)) for one in many]), 1000.0)
    rows = {stored.row for stored in file.rows(0, backlog, frozenset())}
    file.write(Changes(acked=rows), 1000.0)
    file.reuse_log()
    large = (tmp_path / "outbox.db").stat().st_size
    for _ in range(4):
        file.tidy()
        file.reuse_log()
    small = (tmp_path / "outbox.db").stat().st_size
    file.close()
    assert large - small > 2 << 20, "what is not spare, and not the visits that are open"
    assert_sound(tmp_path / "outbox.db")


async def test_what_is_put_is_on_disk_after_a_flush_and_comes_out_in_order(tmp_path):
    path, metrics = tmp_path / "outbox.db", Metrics()
    async with outbox(path, metrics) as box:
        box.put(due("a1n"))
        box.put(due("a2u", previous="pbob000000000"))
        box.put(due("a3e"))
        assert await box.flush()
        assert words_of(await box.peek(2)) == "a1n a2u"
        stored = await box.peek(10)

        assert [item.levels for item in stored] == [(ADA,), ("pbob000000000", ADA), (ADA,)]
        assert words_of(await box.peek(10, after=stored[1].row)) == "a3e"
        assert sample(metrics, "outbox_depth") == 3
        assert path.stat().st_mode & 0o777 == 0o600


async def test_acknowledged_messages_are_gone_and_the_rest_survives_a_restart(tmp_path):
    path, metrics = tmp_path / "outbox.db", Metrics()
    async with outbox(path) as box:
        for item in dues("a1n a2e b1n b2e"):
            box.put(item)
        await box.flush()
        box.ack(item.row for item in (await box.peek(10))[:3])
    async with outbox(path, metrics) as box:
        assert words_of(await box.peek(10)) == "b2e"
        assert sample(metrics, "outbox_depth") == 1


async def test_waiting_for_news_ends_when_something_is_written(tmp_path):
    async with outbox(tmp_path / "outbox.db") as box:
        waiting = asyncio.create_task(box.wait())
        box.put(due("a1n"))
        async with asyncio.timeout(20):
            await waiting
        assert words_of(await box.peek(10)) == "a1n"


async def test_no_name_reaches_the_disk(tmp_path):
    path = tmp_path / "outbox.db"
    async with outbox(path) as box:
        box.put(due("a1n", name="Ada Lovelace", previous="pbob000000000"))
        await box.flush()
        on_disk = b"".join(file.read_bytes() for file in tmp_path.iterdir())

        assert ADA.encode() in on_disk
        assert b"Lovelace" not in on_disk


# What waits; how many may; what is kept; visits of which no more will be told, not counting those that are over.
OVERFLOW = [
    ("a1n a2u a3e", 3, "a1n a2u a3e", ""),
    ("a1n a2u b1n b2u", 3, "a1n b1n b2u", ""),
    ("a1n a2u b1n b2u c1n", 3, "a1n b1n c1n", ""),
    ("a1n a2u a3e b1n c1n", 2, "b1n c1n", ""),
    ("a1n b1n c1n", 2, "b1n c1n", "a"),
    ("a1n b1n a2e c1n", 3, "b1n c1n", ""),
    ("a2e b1n c1n", 2, "b1n c1n", ""),
    ("a5u a6u a7u", 2, "a6u a7u", ""),
    ("a1n b1n c1n d1n", 1, "d1n", "a b c"),
]


@pytest.mark.parametrize(("waiting", "limit", "kept", "unheard"), OVERFLOW)
def test_overflow_in_the_file(tmp_path, waiting, limit, kept, unheard):
    file = OutboxFile(tmp_path / "outbox.db", limit, WEEK_S, 1000.0)
    lost = file.write(Changes(puts=dues(waiting)), 1000.0)

    assert words_of(file.rows(0, 100)) == kept
    assert lost == len(waiting.split()) - len(kept.split())
    assert file.count == len(kept.split())
    for visit in unheard.split():
        assert file.write(Changes(puts=dues(f"{visit}2u {visit}3e")), 1000.0) == 2
    assert words_of(file.rows(0, 100)) == kept
    assert not {event_id(visit) for visit in unheard.split()} & {d.event.event_id for d in file.interrupted()}
    file.close()


@pytest.mark.parametrize(("waiting", "limit", "kept", "unheard"), OVERFLOW)
def test_overflow_in_memory(waiting, limit, kept, unheard):
    left, never_told = give_up(dues(waiting), len(waiting.split()) - limit)

    assert words_of(left) == kept
    assert never_told == {event_id(visit) for visit in unheard.split()}


def test_what_is_in_flight_is_not_given_up(tmp_path):
    file = OutboxFile(tmp_path / "outbox.db", 3, WEEK_S, 1000.0)
    file.write(Changes(puts=dues("a1n a2u b1n")), 1000.0)
    assert words_of(file.rows(0, 2)) == "a1n a2u"

    assert file.write(Changes(puts=dues("c1n")), 1000.0) == 1
    assert words_of(file.rows(0, 2)) == "a1n a2u"
    assert words_of(file.rows(2, 10)) == "c1n"

    file.release()
    assert file.write(Changes(puts=dues("d1n")), 1000.0) == 1
    assert words_of(file.rows(0, 10)) == "a1n c1n d1n"
    file.close()


@pytest.mark.parametrize(("put_off", "kept"), [({2}, "a1n b1n c1n"), ({3}, "a1n a2u c1n"), ({2, 3}, "a1n b1n c1n")])
def test_what_was_handed_out_and_put_off_is_given_up_like_others_that_wait(tmp_path, put_off, kept):
    file = OutboxFile(tmp_path / "outbox.db", 3, WEEK_S, 1000.0)
    file.write(Changes(puts=dues("a1n a2u b1n")), 1000.0)
    file.rows(0, 10)
    file.put_off(put_off)

    assert file.write(Changes(puts=dues("c1n")), 1000.0) == 1
    assert words_of(file.rows(0, 10)) == kept
    file.close()


def test_a_row_is_never_used_twice(tmp_path):
    """An acknowledgement that is written late must not hit a newer message."""
    file = OutboxFile(tmp_path / "outbox.db", 10, WEEK_S, 1000.0)
    file.write(Changes(puts=dues("a1n")), 1000.0)
    (first,) = file.rows(0, 10)
    file.write(Changes(acked={first.row}), 1000.0)
    file.write(Changes(puts=dues("b1n"), acked={first.row}), 1000.0)

    assert words_of(file.rows(0, 10)) == "b1n"
    assert file.count == 1
    file.close()


async def test_what_is_too_old_is_given_up_and_a_new_takes_its_visit_along(tmp_path):
    clock, metrics = Clock(), Metrics()
    async with outbox(tmp_path / "outbox.db", metrics, now=clock, max_age_s=100.0) as box:
        for item in dues("a1n b1n"):
            box.put(item)
        await box.flush()
        clock.at += 60.0
        for item in dues("a2u c1n"):
            box.put(item)
        await box.flush()
        assert sample(metrics, "outbox_oldest_seconds") == 60.0
        box.ack([item.row for item in await box.peek(10) if item.event.event_id == event_id("b")])
        box.release()
        clock.at += 60.0
        box.put(due("a3e"))
        await box.flush()

        assert words_of(await box.peek(10)) == "c1n"
        assert sample(metrics, "outbox_dropped_total") == 3


async def test_last_sightings_are_remembered_until_the_person_is_forgotten(tmp_path):
    path = tmp_path / "outbox.db"
    async with outbox(path) as box:
        box.put(due("a1n", captured_at=50.0))
        box.put(due("b1n", captured_at=40.0, camera="hall"))
        box.put(due("c1n", person=None, captured_at=60.0))
        assert box.last_seen[ADA].at == 50.0
    async with outbox(path) as box:
        seen = box.last_seen
        assert list(seen) == [ADA]
        assert (seen[ADA].camera, seen[ADA].at, seen[ADA].event_id) == ("door", 50.0, event_id("a"))
        box.forget([ADA])
    async with outbox(path) as box:
        assert box.last_seen == {}


async def test_each_installation_keeps_a_name_of_its_own_at_the_broker(tmp_path):
    names = []
    for file in ("one.db", "one.db", "two.db"):
        async with outbox(tmp_path / file) as box:
            names.append(box.client_id)
    assert names[0] == names[1] != names[2]


async def test_a_visit_left_open_gets_its_end_once_with_its_last_sighting(tmp_path):
    path = tmp_path / "outbox.db"
    async with outbox(path, unix_s=lambda: 1234.5) as box:
        for item in dues("a1n b1n b2e c1n"):
            box.put(item)
        box.put(due("a2u", previous="pbob000000000"))
        box.sighted(event_id("a"), 1234.5, time.monotonic())
        box.sighted(event_id("b"), 1234.5, time.monotonic())
    for _ in range(2):
        metrics = Metrics()
        async with outbox(path, metrics) as box:
            await box.flush()
            stored = await box.peek(100)
    ends = [item for item in stored if item.event.end_reason == "interrupted"]

    assert words_of(ends) == "a3e c2e"
    assert [item.event.captured_at for item in ends] == pytest.approx([1234.5, 1000.0], abs=0.5)
    assert ends[0].event.person is not None
    assert ends[0].event.person.id == ADA
    assert ends[0].event.previous_person is None
    assert ends[0].levels == (ADA,)
    assert box.last_seen[ADA].at == pytest.approx(1234.5, abs=0.5)
    assert sample(metrics, "events_total", type="end", known="true") == 0, "the second start found none open"


KILLED = """
import asyncio, sys
from pathlib import Path
from streamer.telemetry.metrics import Metrics
from streamer.events.outbox import Outbox
from tests.streamer.messages import dues, event_id

async def main():
    async with Outbox(Path(sys.argv[1]), limit=1000, max_age_s=1e9, metrics=Metrics()) as box:
        for item in dues("a1n b1n b2u b3e c1n c2u"):
            box.put(item)
        await box.flush()
        print("flushed", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_sigkill_loses_nothing_and_what_was_open_ends_exactly_once(tmp_path):
    path = tmp_path / "outbox.db"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "flushed\n"
        child.send_signal(signal.SIGKILL)
    for _ in range(2):
        async with outbox(path) as box:
            await box.flush()
            assert words_of(await box.peek(100)) == "a1n b1n b2u b3e c1n c2u a2e c3e"
    assert_sound(path)


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk(4) as folder:
        yield folder


async def put_until_unhealthy(box: Outbox) -> list[str]:
    """Whole visits, one after another, until the disk takes no more; returns the messages in order."""
    words: list[str] = []
    async with asyncio.timeout(60):
        while box.healthy:
            visit = f"v{len(words) // 2:x}".translate(str.maketrans("0123456789", "ghijklmopq"))
            words += [f"{visit}1n", f"{visit}2e"]
            for word in words[-2:]:
                box.put(due(word))
            if len(words) % 100 == 0:
                await box.flush()
    return words


async def test_a_full_disk_holds_events_in_memory_until_there_is_room(disk, caplog):
    metrics = Metrics()
    async with outbox(disk / "outbox.db", metrics) as box:
        hog = fill(disk)
        words = await put_until_unhealthy(box)
        box.put(due("zz1n"))
        assert not await box.flush()

        assert len(await box.peek(10_000)) > 500, "the spare room was used first"
        assert sample(metrics, "outbox_depth") == len(words) + 1
        assert (sample(metrics, "outbox_errors_total", code="outbox_unwritable") or 0) >= 2
        assert [r.levelname for r in caplog.records if "can't be written" in r.message] == ["ERROR"]

        hog.unlink()
        await until(lambda: box.healthy)
        assert await box.flush()
        assert words_of(await box.peek(10_000)).split() == [*words, "zz1n"]
        assert sample(metrics, "outbox_dropped_total") == 0
    assert_sound(disk / "outbox.db")


async def test_on_a_full_disk_delivery_makes_room_again(disk):
    async with outbox(disk / "outbox.db") as box:
        fill(disk)
        words = await put_until_unhealthy(box)
        heard: list[str] = []
        async with asyncio.timeout(60):
            while len(heard) < len(words):
                stored = await box.peek(50)
                heard += words_of(stored).split()
                box.ack([item.row for item in stored])
                await box.flush()

        assert heard == words
        assert box.healthy
    assert_sound(disk / "outbox.db")


async def test_a_disk_that_fails_under_a_write_is_tried_again(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    metrics = Metrics()
    async with outbox(tmp_path / "outbox.db", metrics) as box:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "outbox.db").stat().st_size, hard))
        try:
            words = await put_until_unhealthy(box)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await until(lambda: box.healthy)
        await box.flush()

        assert words_of(await box.peek(10_000)).split() == words
        assert sample(metrics, "outbox_dropped_total") == 0


async def test_memory_is_bounded_while_the_disk_fails(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    metrics = Metrics()
    async with outbox(tmp_path / "outbox.db", metrics, buffer_limit=4) as box:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            box.put(due("a1n"))
            assert not await box.flush()
            for item in dues("a2u b1n c1n c2e d1n a3e"):
                box.put(item)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await until(lambda: box.healthy)
        await box.flush()

        assert words_of(await box.peek(100)) == "b1n c1n c2e d1n"
        assert sample(metrics, "outbox_dropped_total") == 3


async def test_the_file_does_not_grow_with_what_went_through_it(tmp_path):
    path = tmp_path / "outbox.db"
    async with outbox(path) as box:
        for lap in range(3):
            for number in range(3000):
                box.put(due(f"a{lap * 3000 + number + 1}u"))
            await box.flush()
            stored = await box.peek(10_000)
            assert len(stored) == 3000
            box.ack([item.row for item in stored])
            await box.flush()
        await until(lambda: path.stat().st_size <= 3 << 20)
    assert path.stat().st_size <= 3 << 20


async def test_a_file_from_a_newer_version_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path)) as newer, newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    before = path.read_bytes()

    with pytest.raises(OutboxTooNew, match=r"outbox\.db was written by a newer whosthere \(version 99"):
        await outbox(path).__aenter__()
    assert path.read_bytes() == before


async def test_an_outbox_that_cannot_be_opened_keeps_events_in_memory_until_it_can(tmp_path, caplog):
    path, metrics = tmp_path / "missing" / "outbox.db", Metrics()
    async with outbox(path, metrics) as box:
        assert not box.healthy
        assert box.trouble == "can't be written"
        assert box.client_id.startswith("whosthere-")
        box.put(due("a1n"))
        assert not await box.flush()
        assert await box.peek(10) is None
        path.parent.mkdir()
        await until(lambda: box.healthy)
        assert await box.flush()

        assert words_of(await box.peek(10)) == "a1n"
        assert sample(metrics, "outbox_dropped_total") == 0
    (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert line == (
        f"outbox {path} can't be opened (No such file or directory): events wait in memory;"
        " make room on the disk, or bring it back"
    )


async def test_two_cannot_have_one_outbox(tmp_path):
    async with outbox(tmp_path / "outbox.db"):
        with pytest.raises(AlreadyRunning):
            await outbox(tmp_path / "outbox.db").__aenter__()


async def test_a_bug_in_the_writer_reaches_those_who_wait(tmp_path, monkeypatch):
    def broken(*_: object) -> int:
        raise ValueError("a bug")

    box = outbox(tmp_path / "outbox.db")
    await box.__aenter__()
    monkeypatch.setattr(OutboxFile, "write", broken)
    waiting = asyncio.create_task(box.wait())
    box.put(due("a1n"))

    with pytest.raises(RuntimeError, match="writer has ended"):
        await waiting
    with pytest.raises(RuntimeError, match="writer has ended"):
        await box.peek(10)
    assert not box.healthy
    with pytest.raises(ValueError, match="a bug"):
        await box.__aexit__(None, None, None)
