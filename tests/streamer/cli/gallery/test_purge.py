"""`gallery purge` and `gallery audit` as a user types them."""

import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest

from gallery.people import Consent
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source
from streamer.settings_reading import load
from tests.command import assert_refused, whosthere
from tests.gallery.portable import portable_person
from tests.seeded import keep_visit, opened, seeded


def with_consent(person, until):
    profile = replace(person.profile, consent=Consent("Ada", 1.7e9, "the door", until))
    return replace(person, profile=profile)


OVER = with_consent(portable_person(1, "Ada"), 1.76e9)
GOES_ON = with_consent(portable_person(2, "Bob"), 4e9)
NO_CONSENT = replace(portable_person(3, "Eve"), profile=replace(portable_person(3, "Eve").profile, consent=None))


def test_who_has_had_their_time_is_erased(tmp_path):
    home = seeded(tmp_path / "home", [OVER, GOES_ON, NO_CONSENT])
    first = whosthere("gallery", "purge", "--dry-run", "--json", cwd=home)
    assert first.document == {
        "dry_run": True,
        "people": [{"id": OVER.id, "why": "consent_expired", "since": 1.76e9}],
        "visits": 0,
        "vacuum_left": False,
    }
    assert "1 of them have had their time: whosthere gallery purge" in whosthere("check", cwd=home).out
    done = whosthere("gallery", "purge", cwd=home)
    assert done.out.splitlines() == [
        f"{OVER.id}: the consent was over on 2025-10-09",
        "1 people and 0 kept visits are erased",
    ]
    with opened(home) as store:
        assert {person.name for person in store.people()} == {"Bob", "Eve"}
        assert store.forgotten() == {OVER.id}
        last = store.audit_entries()[-1]
        assert not store.is_vacuum_due
    assert (last.action, last.person_id, last.details) == ("forgotten", OVER.id, {"why": "consent_expired"})

    old = whosthere("gallery", "purge", "--set", "gallery.keep_days=30", "--json", cwd=home)
    assert [(one["id"], one["why"]) for one in old.document["people"]] == [
        (GOES_ON.id, "kept_long_enough"),
        (NO_CONSENT.id, "kept_long_enough"),
    ]
    assert whosthere("gallery", "purge", cwd=home).out == "0 people and 0 kept visits are erased\n"


def test_kept_visits_go_with_their_person_and_by_their_age(tmp_path):
    home = seeded(tmp_path / "home", [OVER, GOES_ON])
    theirs = keep_visit(home, OVER.id, 1, time.time())
    others = keep_visit(home, GOES_ON.id, 2, time.time())
    old = keep_visit(home, GOES_ON.id, 3, time.time() - 15 * 86_400)
    assert whosthere("gallery", "purge", "--dry-run", "--json", cwd=home).document["visits"] == 1
    done = whosthere("gallery", "purge", "--json", cwd=home).document
    assert ([one["id"] for one in done["people"]], done["visits"]) == ([OVER.id], 1)
    settings = load(home / "whosthere.yaml")
    with VisitsFile(settings.visits_path, key_source(settings)) as file:
        left = {visit.event_id for visit in file.search(0.0, 1e12)}
    assert left == {others}
    assert {theirs, old}.isdisjoint(left)


SINCE = {
    "nothing": [],
    "somebody else was forgotten": [("people", "forget", "Eve", "--yes")],
    "another key": [("gallery", "rekey")],
    "a backup came": [("gallery", "backup", "it.db"), ("gallery", "restore", "it.db")],
}


@pytest.mark.parametrize("since", SINCE)
def test_an_erasure_that_was_cut_off_is_finished(tmp_path, since):
    """After its first step, as by SIGKILL: nobody is known, and what else there is of them still lies about."""
    home = seeded(tmp_path / "home", [GOES_ON, NO_CONSENT])
    for person in (GOES_ON, NO_CONSENT):
        keep_visit(home, person.id, 1 if person is GOES_ON else 2, time.time())
    with opened(home) as store:
        store.forget(GOES_ON.id)
    refused = whosthere("people", "forget", "Bob", "--yes", cwd=home)
    assert "somebody's erasure was not finished: whosthere gallery purge" in assert_refused(refused, "person_not_found")
    assert "the erasure of 1 is not finished: whosthere gallery purge" in whosthere("check", cwd=home).out
    for command in SINCE[since]:
        done = whosthere(*command, cwd=home)
        assert done.code == 0, done.err
    done = whosthere("gallery", "purge", "--json", cwd=home).document
    assert (done["people"], done["vacuum_left"]) == ([], False)
    settings = load(home / "whosthere.yaml")
    with VisitsFile(settings.visits_path, key_source(settings)) as file:
        assert (file.count_of(GOES_ON.id), file.count_of(NO_CONSENT.id)) == (0, since != "somebody else was forgotten")
    again = assert_refused(whosthere("people", "forget", "Bob", "--yes", cwd=home), "person_not_found")
    assert "purge" not in again


@pytest.mark.parametrize("value", ["0", "-1", "soon"])
def test_senseless_days(tmp_path, value):
    home = seeded(tmp_path / "home")
    assert_refused(whosthere("gallery", "purge", "--set", f"gallery.keep_days={value}", cwd=home), "config_invalid")


def test_the_audit_log(tmp_path):
    home = seeded(tmp_path / "home", [OVER, GOES_ON])
    assert whosthere("people", "rename", "Bob", "Robert", cwd=home).code == 0
    assert whosthere("people", "forget", "Robert", "--yes", cwd=home).code == 0
    whole = whosthere("gallery", "audit", "--verify", "--json", cwd=home)
    rows = [(row["action"], row["person_id"]) for row in whole.document["entries"]]
    assert rows == [
        ("made", None),
        ("imported", OVER.id),
        ("imported", GOES_ON.id),
        ("renamed", GOES_ON.id),
        ("forgotten", GOES_ON.id),
    ]
    assert whole.document["whole"] is True
    for gone in (GOES_ON.id, GOES_ON.id.upper()):
        about = whosthere("gallery", "audit", "--person", gone, "--json", cwd=home).document["entries"]
        assert [row["action"] for row in about] == ["imported", "renamed", "forgotten"]
    about = whosthere("gallery", "audit", "--person", "ada", cwd=home)
    assert "imported" in about.out
    assert "Robert" not in whole.out + about.out
    assert_refused(whosthere("gallery", "audit", "--person", "Robert", cwd=home), "person_not_found")
    assert whosthere("gallery", "audit", "--verify", cwd=home).out == "5 entries; the log is whole\n"


TAMPERING = {
    "changed": ("UPDATE audit SET actor = 'nobody' WHERE id = 2", 2),
    "one taken out": ("DELETE FROM audit WHERE id = 3", 3),
    "the end cut off": ("DELETE FROM audit WHERE id = 4", 4),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_an_audit_log_that_somebody_changed(tmp_path, how):
    home = seeded(tmp_path / "home", [OVER, GOES_ON, NO_CONSENT])
    statement, entry = TAMPERING[how]
    with closing(sqlite3.connect(home / "var" / "gallery.db")) as db:
        db.executescript("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut")
        db.execute(statement)
        db.commit()
    line = assert_refused(whosthere("gallery", "audit", "--verify", cwd=home), "audit_broken")
    assert f"entry {entry} " in line
    assert f"entry {entry} of the audit log" in whosthere("check", cwd=home).everything
