"""Who is spared: at the last moment, and where the clock may be wrong."""

import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest

from gallery.people import Consent
from gallery.retention import DAY_S
from streamer.settings_reading import load
from streamer.upkeep import purge as purging
from tests.command import assert_refused, whosthere
from tests.gallery.fakes import photo_of, unit
from tests.gallery.portable import portable_person
from tests.seeded import opened, seeded

NOW = time.time()
ADA, BOB, EVE = (
    replace(one, profile=replace(one.profile, consent=Consent("Ada", 1.7e9, "the door", NOW - 1.0)))
    for one in (portable_person(1, "Ada"), portable_person(2, "Bob"), portable_person(3, "Eve"))
)
NO_END = replace(portable_person(4, "Joe"), profile=replace(portable_person(4, "Joe").profile, consent=None))


def renew(store, person_id):
    store.change(person_id, lambda one: replace(one, consent=Consent("Ada", NOW, "the door", NOW + 1000.0)))


def take_back(store, person_id):
    store.change(person_id, lambda one: replace(one, consent=None))


def enrol_more(store, person_id):
    take_back(store, person_id)
    store.add_photos(person_id, [photo_of(unit(7), 7)])


@pytest.mark.parametrize(
    ("spare", "keep_days"), [(renew, None), (take_back, None), (enrol_more, 30)], ids=["renewed", "no end", "new photo"]
)
@pytest.mark.parametrize("left", [[BOB], []], ids=["one is erased", "nobody is"])
def test_whoever_is_given_more_time_meanwhile_is_spared(tmp_path, monkeypatch, spare, keep_days, left):
    home = seeded(tmp_path / "home", [ADA, *left])
    due = purging.due

    def overtaken(*arguments):
        found = due(*arguments)
        with opened(home) as store:
            spare(store, ADA.id)
        return found

    monkeypatch.setattr(purging, "due", overtaken)
    settings = load(home / "whosthere.yaml", overrides=[f"gallery.keep_days={keep_days or 'null'}"])
    done = purging.purge(settings, actor="grace", clock=lambda: NOW)
    assert [one.person_id for one in done.people] == [one.id for one in left]
    with opened(home) as store:
        assert [person.id for person in store.people()] == [ADA.id]
        assert (store.forgotten(), store.unfinished()) == ({one.id for one in left}, frozenset())
        told = [entry.details for entry in store.audit_entries() if entry.action == "forgotten"]
    assert told == [{"why": "consent_expired"} for _ in left]


@pytest.mark.parametrize(("ahead_days", "is_held_back"), [(0, False), (29, False), (31, True), (4000, True)])
def test_a_clock_that_is_far_ahead_of_the_gallery_is_trusted_when_it_is_said_to_be_right(
    tmp_path, ahead_days, is_held_back
):
    home = seeded(tmp_path / "home", [ADA, NO_END])
    settings = load(home / "whosthere.yaml")

    def purge(**how):
        return purging.purge(settings, actor="grace", clock=lambda: NOW + ahead_days * DAY_S, **how)

    done = purge()
    assert [one.person_id for one in done.held_back] == ([ADA.id] if is_held_back else [])
    assert [one.person_id for one in done.people] == ([] if is_held_back else [ADA.id])
    assert [one.person_id for one in purge(trusts_clock=True).people] == ([ADA.id] if is_held_back else [])
    with opened(home) as store:
        assert store.forgotten() == {ADA.id}


def test_the_command_asks_for_yes(tmp_path):
    home = seeded(tmp_path / "home", [ADA])
    with closing(sqlite3.connect(home / "var" / "gallery.db")) as db:
        db.executescript("DROP TRIGGER audit_is_not_changed")
        db.execute("UPDATE audit SET at = ?", (NOW - 31 * DAY_S,))
        db.commit()
    line = assert_refused(whosthere("gallery", "purge", cwd=home), "confirmation_needed")
    assert "1 people are not erased" in line
    assert "1 people and 0 kept visits would be erased" in whosthere("gallery", "purge", "--dry-run", cwd=home).out
    assert "1 people and 0 kept visits are erased" in whosthere("gallery", "purge", "--yes", cwd=home).out
