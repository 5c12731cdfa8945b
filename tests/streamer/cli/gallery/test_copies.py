"""`gallery backup|restore` as a user types them."""

import os
import shutil
import time

import pytest

from gallery.keys.master_key import in_file
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source, only_one
from streamer.settings_reading import load
from tests.command import assert_refused, whosthere
from tests.gallery.portable import assert_same, portable_person
from tests.seeded import keep_visit, opened, seeded

ADA, BOB, EVE = portable_person(1), portable_person(2, "Bob"), portable_person(3, "Eve")


def test_a_backup_and_back(tmp_path):
    home = seeded(tmp_path / "home", [ADA, BOB])
    made = whosthere("gallery", "backup", "monday.db", "--json", cwd=home)
    assert made.code == 0, made.err
    key = made.document["key"]
    assert made.document == {
        "file": "monday.db",
        "bytes": (home / "monday.db").stat().st_size,
        "people": 2,
        "key": key,
        "key_at": f"file {home}/var-keys/master.key",
    }
    assert made.complaints == [
        f"it opens with master key {key} alone, which is not in it: keep a copy of that (file {home}/var-keys/"
        "master.key) apart from it"
    ]
    assert (home / "monday.db").stat().st_mode & 0o777 == 0o600
    assert_refused(whosthere("gallery", "backup", "monday.db", cwd=home), "target_exists")
    assert_refused(whosthere("gallery", "backup", "nowhere/monday.db", cwd=home), "target_unwritable")

    with opened(home) as store:
        store.forget(BOB.id)
        store.add_portable(EVE)
    back = whosthere("gallery", "restore", "monday.db", cwd=home)
    assert (back.code, back.out) == (0, "1 people with 2 photos are restored\n")
    assert back.complaints == [
        f"left out, since they were forgotten: {BOB.id}; the backup still holds them",
        f"not in the backup, and enrolled no more: {EVE.id}",
    ]
    with opened(home) as store:
        assert_same(store.portable(ADA.id), ADA)
        actions = [(entry.action, entry.person_id) for entry in store.audit_entries()]
    assert actions[-2:] == [("restored", None), ("gone", EVE.id)]


def test_who_is_gone_by_a_restore_can_be_forgotten_all_the_same(tmp_path):
    home = seeded(tmp_path / "home", [ADA])
    assert whosthere("gallery", "backup", "monday.db", cwd=home).code == 0
    with opened(home) as store:
        for person in (BOB, EVE):
            store.add_portable(person)
    for number, person in enumerate((ADA, BOB, EVE), start=1):
        keep_visit(home, person.id, number, time.time())
    assert whosthere("gallery", "restore", "monday.db", cwd=home).code == 0
    settings = load(home / "whosthere.yaml")
    for typed in (BOB.id, EVE.id.upper()):
        done = whosthere("people", "forget", typed, "--yes", cwd=home)
        assert done.code == 0, done.err
        with VisitsFile(settings.visits_path, key_source(settings)) as file:
            assert file.count_of(typed.lower()) == 0
    for unheard_of in ("p" + 12 * "a", "Bob"):
        refused = whosthere("people", "forget", unheard_of, "--yes", cwd=home)
        assert_refused(refused, "person_not_found")
    with VisitsFile(settings.visits_path, key_source(settings)) as file:
        assert file.count_of(ADA.id) == 1
    with opened(home) as store:
        assert store.forgotten() == {BOB.id, EVE.id}
        assert [entry.action for entry in store.audit_entries(BOB.id)] == ["imported", "gone", "forgotten"]


@pytest.mark.parametrize("cut_off", ["before the gallery", "after the gallery", "with a key that is given"])
def test_a_backup_names_the_key_that_it_is_under_while_a_rotation_is_unfinished(tmp_path, cut_off):
    home = seeded(tmp_path / "home", [ADA])
    keys = key_source(load(home / "whosthere.yaml"))
    coming = keys.begin_rotation(home / "var")
    if cut_off != "before the gallery":
        with opened(home) as store:
            store.rekey(coming)
    if cut_off == "with a key that is given":
        keys.next_file.rename(home / "given.key")
        seeded(home, gallery={"master_key": {"file": str(home / "given.key")}})
    place = {
        "before the gallery": keys.file,
        "after the gallery": keys.next_file,
        "with a key that is given": home / "given.key",
    }[cut_off]
    made = whosthere("gallery", "backup", "monday.db", "--json", cwd=home)
    assert made.document["key_at"] == f"file {place}"
    assert made.document["key"] == in_file(place).key().id
    assert f"keep a copy of that (file {place}) apart" in made.complaints[0]


def test_bad_backups_change_nothing(tmp_path):
    home = seeded(tmp_path / "home", [ADA])
    assert whosthere("gallery", "backup", "good.db", cwd=home).code == 0
    data = (home / "good.db").read_bytes()
    (home / "cut.db").write_bytes(data[:5000])
    (home / "text.db").write_text("no backup\n" * 1000)
    for file in ("cut.db", "text.db", "nowhere.db", "var", "var/gallery.db"):
        assert_refused(whosthere("gallery", "restore", file, cwd=home), "backup_unreadable")
    shutil.copytree(home / "var-keys", home / "keys-elsewhere")
    shutil.rmtree(home / "var-keys")
    assert_refused(whosthere("gallery", "restore", "good.db", cwd=home), "master_key_missing")
    assert not (home / "var-keys").exists(), "no key is made where one is missing"
    shutil.copytree(home / "keys-elsewhere", home / "var-keys")
    with opened(home) as store:
        assert_same(store.portable(ADA.id), ADA)


def test_on_a_new_machine(tmp_path):
    home = seeded(tmp_path / "old", [ADA, BOB])
    assert whosthere("gallery", "backup", tmp_path / "it.db", cwd=home).code == 0
    shutil.move(home / "var-keys" / "master.key", tmp_path / "old.key")
    shutil.rmtree(home)
    new = tmp_path / "new"
    new.mkdir()
    (new / "whosthere.yaml").write_text("mqtt: {port: 1}\n")
    line = assert_refused(whosthere("gallery", "restore", "../it.db", cwd=new), "master_key_missing")
    assert "--key-file" in line
    assert not (new / "var").exists()
    done = whosthere("gallery", "restore", "../it.db", "--key-file", "../old.key", "--json", cwd=new)
    assert done.code == 0, done.err
    assert done.document == {
        "people": 2,
        "photos": 4,
        "left_out": [],
        "gone": [],
        "uncalibrated": [],
        "set_aside": None,
        "forgotten_known": False,
    }
    assert done.complaints == [
        "who was forgotten since the backup is not known, for the gallery that said so is gone or can't be read: "
        "forget them again",
        f"a master key was made for the gallery, {new}/var-keys/master.key: keep a copy of it, apart from the data",
    ]
    with opened(new) as store:
        assert {person.name for person in store.people()} == {"Ada Lovelace", "Bob"}
    assert os.listdir(new / "var") == ["gallery.db"]


@pytest.mark.parametrize("is_gone", [True, False])
def test_the_way_out_of_a_damaged_or_missing_gallery_while_a_service_runs(tmp_path, is_gone):
    home = seeded(tmp_path / "home", [ADA])
    assert whosthere("gallery", "backup", "it.db", cwd=home).code == 0
    with only_one(home / "var"):
        if is_gone:
            (home / "var" / "gallery.db").unlink()
            assert_refused(whosthere("people", "list", cwd=home), "gallery_missing")
        else:
            (home / "var" / "gallery.db").write_bytes(b"rubbish" * 3000)
            line = assert_refused(whosthere("people", "list", cwd=home), "gallery_unreadable")
            assert "restore" in line
        done = whosthere("gallery", "restore", "it.db", "--json", cwd=home)
        assert done.code == 0, done.err
        assert (done.document["set_aside"] is None) is is_gone
        assert done.document["forgotten_known"] is False
        assert "forget them again" in done.err
        listed = whosthere("people", "list", "--json", cwd=home).document
    assert [person["name"] for person in listed["people"]] == ["Ada Lovelace"]
