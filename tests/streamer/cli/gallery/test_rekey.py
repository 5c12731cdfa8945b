"""`gallery rekey` as a user types it: a key of our own, keys of others, and to plain and back."""

import sqlite3
from contextlib import closing

import pytest

from gallery.keys.encryption import MasterKey
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source
from streamer.settings_reading import load
from tests.command import assert_refused, whosthere
from tests.gallery.portable import assert_same, portable_person
from tests.seeded import keep_visit, opened, seeded

ADA = portable_person(1)


def holds(home):
    with opened(home) as store:
        assert_same(store.portable(ADA.id), ADA)
        return store.key_id


def test_a_new_key_takes_the_place_of_the_old_one(tmp_path):
    home = seeded(tmp_path / "home", [ADA])
    old, before = (home / "var-keys" / "master.key").read_text(), holds(home)
    done = whosthere("gallery", "rekey", "--json", cwd=home)
    assert done.code == 0, done.err
    told = done.document
    assert (told["former_key"], told["finished"], told["vacuumed"]) == (before, False, True)
    assert told["key_at"] == f"file {home}/var-keys/master.key"
    assert holds(home) == told["key"] == MasterKey.from_text((home / "var-keys" / "master.key").read_text()).id
    assert f"backups made before open with master key {before} alone" in done.complaints[0]
    (home / "var-keys" / "master.key").write_text(old)
    assert_refused(whosthere("people", "list", cwd=home), "master_key_wrong")


@pytest.mark.parametrize("is_plain", [True, False])
def test_kept_visits_go_along(tmp_path, is_plain):
    home = seeded(tmp_path / "home", [ADA])
    event_id = keep_visit(home, ADA.id, 1, 1.76e9)
    off = ("--set", "gallery.encryption=false") if is_plain else ()
    assert whosthere("gallery", "rekey", *off, cwd=home).code == 0
    settings = load(home / "whosthere.yaml")
    with VisitsFile(settings.visits_path, key_source(settings)) as file:
        assert (file.key_id is None) is is_plain
        assert [visit.event_id for visit in file.search(0.0, 1e12)] == [event_id]
        assert file.pictures(event_id).scene == b"its scene"
        key_id = file.key_id
    assert is_plain or key_id == holds(home)


def test_what_was_cut_off_is_finished_first(tmp_path):
    home = seeded(tmp_path / "home", [ADA])
    event_id = keep_visit(home, ADA.id, 1, 1.76e9)
    keys = key_source(load(home / "whosthere.yaml"))
    with opened(home) as store:
        key = keys.begin_rotation(home)
        store.rekey(key)
    assert holds(home) == key.id, "both keys are there"
    done = whosthere("gallery", "rekey", cwd=home)
    assert done.out.startswith(f"the rotation that was cut off is finished: all is under master key {key.id}")
    assert holds(home) == key.id
    assert not keys.next_file.exists()
    with VisitsFile(home / "var" / "visits.db", keys) as file:
        assert (file.key_id, file.pictures(event_id).face) == (key.id, b"its face")


def test_damaged_kept_visits_are_told_with_the_way_out(tmp_path):
    home = seeded(tmp_path / "home", [ADA])
    former = holds(home)
    (home / "var" / "visits.db").write_bytes(b"x" * 5000)
    line = assert_refused(whosthere("gallery", "rekey", cwd=home), "kept_visits_damaged")
    assert "the gallery is done: move visits.db away, and run the same gallery rekey again" in line
    (home / "var" / "visits.db").rename(tmp_path / "away.db")
    done = whosthere("gallery", "rekey", cwd=home)
    key = MasterKey.from_text((home / "var-keys" / "master.key").read_text()).id
    assert done.out.startswith(f"the rotation that was cut off is finished: all is under master key {key}")
    assert former != key == holds(home)


def test_to_plain_and_back(tmp_path):
    home = seeded(tmp_path / "home", [ADA])
    off = ("--set", "gallery.encryption=false")
    assert whosthere("people", "list", *off, cwd=home).code == 0
    done = whosthere("gallery", "rekey", *off, cwd=home)
    assert (done.code, done.out) == (0, "all is plain now (gallery.encryption is false)\n")
    with closing(sqlite3.connect(home / "var" / "gallery.db")) as db:
        ((profile,),) = db.execute("SELECT profile FROM people").fetchall()
    assert b"Ada Lovelace" in profile
    again = whosthere("gallery", "rekey", *off, cwd=home)
    assert again.out == "all is plain already\n"
    assert holds(home) is not None, "opened with encryption on it is encrypted"
    assert b"Lovelace" not in (home / "var" / "gallery.db").read_bytes()


def test_a_key_that_the_settings_name_is_exchanged_for_one_that_is_given(tmp_path):
    old, new = MasterKey.new(), MasterKey.new()
    (tmp_path / "old.key").write_text(old.to_text())
    (tmp_path / "new.key").write_text(new.to_text())
    home = seeded(tmp_path / "home", [ADA], gallery={"master_key": {"file": str(tmp_path / "old.key")}})
    line = assert_refused(whosthere("gallery", "rekey", cwd=home), "new_key_needed")
    assert "--new-file" in line
    assert_refused(whosthere("gallery", "rekey", "--new-file", tmp_path / "none.key", cwd=home), "master_key_missing")
    (tmp_path / "bad.key").write_text("secret")
    line = assert_refused(
        whosthere("gallery", "rekey", "--new-file", tmp_path / "bad.key", cwd=home), "master_key_wrong"
    )
    assert "secret" not in line
    assert holds(home) == old.id
    done = whosthere("gallery", "rekey", "--new-file", tmp_path / "new.key", cwd=home)
    assert done.out == f"all is under master key {new.id} now, file {tmp_path}/new.key\n"
    assert f"now name the new key in gallery.master_key (file {tmp_path}/new.key)" in done.complaints[0]
    again = whosthere("gallery", "rekey", "--new-file", tmp_path / "new.key", cwd=home)
    assert again.out == f"all is under master key {new.id} already, file {tmp_path}/new.key\n"
    assert_refused(whosthere("people", "list", cwd=home), "master_key_wrong")
    seeded(home, gallery={"master_key": {"file": str(tmp_path / "new.key")}})
    assert holds(home) == new.id
    assert not (home / "var-keys").exists()


@pytest.mark.parametrize("how", ["variable", "command"])
def test_other_places_of_a_new_key(tmp_path, how):
    new = MasterKey.new()
    home = seeded(tmp_path / "home", [ADA])
    value = {"variable": "NEW_KEY", "command": f"echo {new.to_text()}"}[how]
    done = whosthere("gallery", "rekey", f"--new-{how}", value, cwd=home, environ={"NEW_KEY": new.to_text()})
    assert done.code == 0, done.err
    assert done.out.startswith(f"all is under master key {new.id} now")
    assert new.to_text() not in done.everything


def test_bad_usage(tmp_path):
    home = seeded(tmp_path / "home", [ADA])
    before = holds(home)
    for given in (
        ("--new-file", "a", "--new-variable", "B"),
        ("--new-variable", "no name"),
        ("--new-command", "pass 'x"),
        ("--new-command", "secret\\"),
        ("--new-command", "  "),
    ):
        done = whosthere("gallery", "rekey", *given, cwd=home)
        assert done.code == 2, given
        assert "Traceback" not in done.err
        assert "secret" not in done.err
    assert holds(home) == before
