"""Ages in the outbox go by a clock that does not jump: over restarts, boots, and files of an older whosthere."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.events.outbox import Outbox
from streamer.events.outbox_file import Changes, OutboxFile
from streamer.telemetry.metrics import Metrics
from tests.streamer.events.test_outbox import Clock, outbox, sample
from tests.streamer.messages import ADA, BOB, due, dues, event_id, words_of

NOW = 1_763_674_512.0


def at(clock: Clock, steady_s: float) -> Clock:
    clock.at = steady_s
    return clock


async def left(path: Path, clock: Clock, boot: str, words: str = "") -> tuple[str, float]:
    """What waits after a second on this clock, and how old the oldest is said to be."""
    metrics = Metrics()
    async with outbox(path, metrics, now=clock, boot=boot, max_age_s=100.0) as box:
        for item in dues(words):
            box.put(item)
        box.put(due("probe1e"))
        await box.flush()
        stored = await box.peek(100)
        box.ack(item.row for item in stored if item.event.event_id == event_id("probe"))
        await box.flush()
        kept = " ".join(word for word in words_of(stored).split() if word != "probe1e")
        return kept, sample(metrics, "outbox_oldest_seconds") or 0.0


async def test_a_message_ages_on_while_the_service_is_down(tmp_path):
    path, clock = tmp_path / "outbox.db", Clock()
    assert await left(path, clock, "one", "a1n a2e") == ("a1n a2e", 0.0)
    assert await left(path, at(clock, 1060.0), "one", "b1n b2e") == ("a1n a2e b1n b2e", 60.0)
    assert await left(path, at(clock, 1130.0), "one") == ("b1n b2e", 70.0)


@pytest.mark.parametrize("steady_s", [5.0, 1000.0, 1e9])
async def test_another_boot_takes_no_messages(tmp_path, steady_s):
    """How long the machine was off nobody knows; the years that a clock was set by say nothing."""
    path, clock = tmp_path / "outbox.db", Clock()
    await left(path, clock, "one", "a1n a2e")
    kept, oldest_s = await left(path, at(clock, steady_s), "two", "b1n b2e")
    assert kept == "a1n a2e b1n b2e"
    assert oldest_s == pytest.approx(1.0)
    kept, _ = await left(path, at(clock, steady_s + 99.5), "two")
    assert kept == "b1n b2e"


@pytest.mark.parametrize("written_at", [120.0, NOW, NOW + 8 * 86400.0, 4e9])
async def test_a_file_of_an_older_whosthere_has_unix_times(tmp_path, written_at):
    path, clock = tmp_path / "outbox.db", Clock()
    await left(path, clock, "one", "a1n a2e")
    database = sqlite3.connect(path)
    with database:
        database.execute("DROP TABLE clock")
        database.execute("UPDATE pending SET created_at = ?", (written_at,))
    database.close()
    assert await left(path, at(clock, 50.0), "one") == ("a1n a2e", pytest.approx(1.0))
    assert await left(path, at(clock, 160.0), "one") == ("", 0.0)


def test_an_older_whosthere_would_find_unix_times(tmp_path):
    file = OutboxFile(tmp_path / "outbox.db", 10, 100.0, 1000.0, "one")
    file.write(Changes(puts=dues("a1n")), 1001.0)
    file.close()
    database = sqlite3.connect(tmp_path / "outbox.db")
    (created_at,) = database.execute("SELECT created_at FROM pending").fetchone()
    database.close()
    assert abs(created_at - 1.0 - time.time()) < 60.0


async def test_when_an_event_happened_is_known_in_every_process_of_this_boot(tmp_path):
    path, clock = tmp_path / "outbox.db", at(Clock(), 900.0)
    async with outbox(path, now=clock, boot="one") as box:
        clock.at = 1000.0
        box.put(replace(due("a1n", captured_at=120.0), captured_s=time.monotonic() - 4.0))
        await box.flush()
    for boot, told_at in (("one", NOW - 64.0), ("two", None)):
        async with outbox(path, now=at(clock, 1060.0), boot=boot) as box:
            (stored, _end) = await box.peek(10)
            assert (stored.captured_s is None) == (told_at is None)
            event = box.handed_over(stored, NOW)
            if told_at is not None:
                assert event.captured_at == pytest.approx(told_at, abs=0.5)
                assert event.latency_ms.total == pytest.approx(64_000.0, abs=500.0)
                assert box.latency_s(stored, NOW) == pytest.approx(64.0, abs=0.5)


async def interrupted(path: Path, clock: Clock, boot: str) -> tuple[float, float, float]:
    """first_seen_at, captured_at and latency of an `interrupted` end as they are handed over at NOW."""
    async with outbox(path, now=clock, boot=boot) as box:
        await box.flush()
        (stored,) = [item for item in await box.peek(10) if item.event.end_reason == "interrupted"]
        event = box.handed_over(stored, NOW)
        return event.first_seen_at, event.captured_at, event.latency_ms.total or 0.0


@pytest.mark.parametrize("seen_at", [NOW - 40.0, 1010.0, NOW - 3600.0, NOW + 86400.0])
async def test_an_interrupted_visit_lasted_as_long_as_it_did(tmp_path, seen_at):
    """Its clock was set between its `new` (at 1000) and its last sighting, 10 s later; it had begun a second before."""
    path, clock, now_s = tmp_path / "outbox.db", at(Clock(), 900.0), time.monotonic()
    async with outbox(path, now=clock, boot="one") as box:
        clock.at = 1000.0
        box.put(replace(due("a1n"), captured_s=now_s - 20.0))
        await box.flush()
        box.sighted(event_id("a"), seen_at, now_s - 10.0)
    first, last, late_ms = await interrupted(path, at(clock, 1030.0), "one")
    assert last - first == pytest.approx(11.0, abs=0.5)
    assert last == pytest.approx(NOW - 40.0, abs=0.5)
    assert late_ms == pytest.approx(40_000, abs=500)


async def test_who_was_seen_last_does_not_go_by_the_wall_clock(tmp_path):
    now_s, path, wall = time.monotonic(), tmp_path / "outbox.db", at(Clock(), NOW + 9.0)
    async with outbox(path, unix_s=wall) as box:
        box.put(replace(due("a1n", captured_at=NOW), captured_s=now_s - 9.0))
        wall.at = NOW - 3595.0
        box.put(replace(due("b1n", captured_at=NOW - 3600.0, camera="hall"), captured_s=now_s - 5.0))  # set back
        box.put(replace(due("a2e", captured_at=NOW + 1.0), captured_s=now_s - 8.0))  # told late: its last sighting
        hall = ("hall", pytest.approx(NOW - 3600.0, abs=0.5))
        assert (box.last_seen[ADA].camera, box.last_seen[ADA].at) == hall
        await box.flush()
    async with outbox(path) as box:
        assert (box.last_seen[ADA].camera, box.last_seen[ADA].at) == hall


async def test_sightings_of_this_run_are_told_by_the_new_clock(tmp_path):
    path, wall = tmp_path / "outbox.db", at(Clock(), NOW - 86400.0)
    async with outbox(path, unix_s=wall) as box:
        box.put(replace(due("b1n", person=BOB, captured_at=NOW - 86400.0), captured_s=time.monotonic()))
        await box.flush()
    async with Outbox(path, limit=10, max_age_s=1e9, metrics=Metrics(), unix_s=at(wall, 120.0)) as box:
        box.put(replace(due("a1n", captured_at=120.0), captured_s=time.monotonic()))
        wall.at = NOW + 120.0
        for _ in range(2):
            assert box.clock_stepped() == [ADA]
            assert box.last_seen[ADA].at == pytest.approx(NOW + 120.0, abs=0.5)
        await box.flush()
    async with outbox(path) as box:
        seen = {person: seen.at for person, seen in box.last_seen.items()}
        assert seen == pytest.approx({ADA: NOW + 120.0, BOB: NOW - 86400.0}, abs=0.5)


@pytest.mark.parametrize(("before", "after"), [(120.0, NOW), (NOW + 3600.0, NOW), (NOW - 8 * 86400.0, NOW), (NOW, NOW)])
@pytest.mark.parametrize("is_told", [True, False])
async def test_a_picture_of_before_a_step_is_told_by_the_clock_of_now(tmp_path, before, after, is_told):
    """A visit's `end` says when it was last seen, some seconds ago: the clock was set since."""
    path, wall, told = tmp_path / "outbox.db", at(Clock(), before), []
    async with outbox(path, unix_s=wall, boot="one") as box:
        box.hearers.append(told.append)
        seen_s = time.monotonic()
        box.put(replace(due("a1n", captured_at=before - 2.0), captured_s=seen_s - 2.0))
        box.put(replace(due("b1n", person=BOB, captured_at=before), captured_s=seen_s))
        wall.at = after + 1.0
        if is_told:
            box.clock_stepped()
        box.put(replace(due("a2e", captured_at=before), captured_s=seen_s))
        box.sighted(event_id("b"), before, seen_s)
        now = pytest.approx(after + 1.0, abs=0.5)
        assert told[-1].captured_at == now
        assert told[-1].captured_at - told[-1].first_seen_at == pytest.approx(1.0)
        assert box.last_seen[ADA].at == now
        await box.flush()
        (end,) = [item for item in await box.peek(10) if item.event.type == "end"]
        assert box.handed_over(end, wall()).captured_at == end.event.captured_at == now, "nothing is left to move"
    async with outbox(path, boot="two") as box:  # nothing is known of the clocks of another boot
        assert box.last_seen[ADA].at == now
        assert not is_told or box.last_seen[BOB].at == now
