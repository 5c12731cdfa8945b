"""The service's own upkeep, with a clock of the test's."""

import logging
import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest

from gallery.errors import GalleryUnwritable
from gallery.people import Consent
from streamer.settings_reading import load
from streamer.upkeep.daily import DAY_S, TRUST_AFTER_S, Upkeep
from tests.gallery.portable import portable_person
from tests.seeded import opened, seeded

NOW = time.time()


def until(number, name, at):
    person = portable_person(number, name)
    return replace(person, profile=replace(person.profile, consent=Consent("Ada", 1.7e9, "the door", at)))


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def names(home):
    with opened(home) as store:
        return [person.name for person in store.people()]


@pytest.fixture
def home(tmp_path):
    people = [until(1, "Ada", NOW - 1), until(2, "Bob", NOW + DAY_S / 2), until(3, "Eve", NOW + 10 * DAY_S)]
    return seeded(tmp_path / "home", people)


async def test_at_the_start_and_once_a_day(home, caplog):
    clock = Clock()
    upkeep = Upkeep(load(home / "whosthere.yaml"), clock=clock)
    with caplog.at_level(logging.INFO, logger="streamer.upkeep"):
        await upkeep.look()
    assert names(home) == ["Bob", "Eve"]
    assert "Ada" not in caplog.text
    assert f"person {portable_person(1).id} is erased: consent_expired" in caplog.text
    for after, left in ((0.9 * DAY_S, ["Bob", "Eve"]), (DAY_S, ["Eve"]), (1.5 * DAY_S, ["Eve"])):
        clock.now = NOW + after
        await upkeep.look()
        assert names(home) == left
    with opened(home) as store:
        last = [entry for entry in store.audit_entries() if entry.action == "forgotten"]
    assert [(entry.actor, entry.details["why"]) for entry in last] == [("service", "consent_expired")] * 2


async def test_a_clock_that_was_never_set_erases_nobody_and_is_looked_at_again(home):
    clock = Clock(1000.0)
    upkeep = Upkeep(load(home / "whosthere.yaml"), clock=clock)
    await upkeep.look()
    assert names(home) == ["Ada", "Bob", "Eve"]
    clock.now = NOW
    await upkeep.look()
    assert names(home) == ["Bob", "Eve"]


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), PermissionError(13, "Permission denied"), GalleryUnwritable("full")]
)
async def test_a_disk_that_fails_ends_nothing_and_is_tried_again(home, caplog, monkeypatch, error):
    settings = load(home / "whosthere.yaml")
    upkeep = Upkeep(settings, clock=Clock())

    def failing(self):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(type(settings.gallery_path), "exists", failing)
        await upkeep.look()
        await upkeep.look()
    assert caplog.text.count("is erased when it can be") == 1
    await upkeep.look()
    assert names(home) == ["Bob", "Eve"]


@pytest.mark.parametrize(("table", "column"), [("photos", "added_at"), ("people", "created_at"), ("people", "profile")])
async def test_who_can_not_be_read_keeps_nobody_else_from_being_erased(home, caplog, table, column):
    with opened(home) as store, closing(sqlite3.connect(store.path)) as db, db:
        where = "person_id" if table == "photos" else "id"
        db.execute(f"UPDATE {table} SET {column} = x'41' WHERE {where} = ?", (portable_person(3).id,))
    settings = load(home / "whosthere.yaml", overrides=["gallery.keep_days=1"])
    upkeep = Upkeep(settings, clock=Clock())
    await upkeep.look()
    with opened(home) as store:
        assert not store.is_enrolled(portable_person(1).id)
        assert store.is_enrolled(portable_person(3).id), "nobody knows whether the time is over"


async def test_a_gallery_that_is_gone_is_not_begun_anew(home, caplog):
    settings = load(home / "whosthere.yaml")
    settings.gallery_path.rename(home / "elsewhere.db")
    upkeep = Upkeep(settings, clock=Clock())
    await upkeep.look()
    await upkeep.look()
    assert not settings.gallery_path.exists()
    assert caplog.text.count("is gone; put it back") == 1
    (home / "elsewhere.db").rename(settings.gallery_path)
    await upkeep.look()
    assert names(home) == ["Bob", "Eve"], "it is tried again"


async def test_a_damaged_gallery_is_told_once_and_left_alone(home, caplog):
    settings = load(home / "whosthere.yaml")
    good = settings.gallery_path.read_bytes()
    bad = b"no gallery" * 1000
    settings.gallery_path.write_bytes(bad)
    upkeep = Upkeep(settings, clock=Clock())
    await upkeep.look()
    await upkeep.look()
    assert caplog.text.count("is damaged or no gallery") == 1
    assert settings.gallery_path.read_bytes() == bad
    settings.gallery_path.write_bytes(good)
    await upkeep.look()
    assert names(home) == ["Bob", "Eve"]


async def test_a_clock_that_leaps_ahead_erases_nobody_for_a_day(home, caplog):
    """At the start already, or while the service runs."""
    for leapt_before_start in (True, False):
        clock, steady = Clock(NOW + 400 * DAY_S if leapt_before_start else NOW - 10.0), Clock(5000.0)
        upkeep = Upkeep(load(home / "whosthere.yaml"), clock=clock, steady=steady)
        await upkeep.look()
        if not leapt_before_start:
            steady.now += 3 * DAY_S
            clock.now = NOW + 400 * DAY_S
            await upkeep.look()
        assert names(home) == ["Ada", "Bob", "Eve"]
        assert "more than 30 days ahead of the gallery's last change: 3 people" in caplog.text
        caplog.clear()
    clock.now = NOW
    await upkeep.look()
    assert names(home) == ["Bob", "Eve"], "it was set right"
    for after_s in (10 * DAY_S, 40 * DAY_S):
        clock.now, steady.now = NOW + after_s, steady.now + TRUST_AFTER_S
        await upkeep.look()
    assert names(home) == []


async def test_where_the_clock_stays_so_it_is_believed_a_day_later(home):
    clock, steady = Clock(NOW + 31 * DAY_S), Clock(5000.0)
    upkeep = Upkeep(load(home / "whosthere.yaml"), clock=clock, steady=steady)
    await upkeep.look()
    assert names(home) == ["Ada", "Bob", "Eve"]
    clock.now, steady.now = clock.now + DAY_S, steady.now + DAY_S - 40.0  # it is slewed
    await upkeep.look()
    assert names(home) == []
