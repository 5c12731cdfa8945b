"""Backups: made while others write, restored into whatever is there, and refused where a byte is another one."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gallery.copies.backup import back_up, restore
from gallery.copies.backup_copy import BackupCopy
from gallery.errors import (
    BackupUnreadable,
    GalleryError,
    GallerySealBroken,
    GalleryTooNew,
    GalleryUnreadable,
    GalleryUnwritable,
    MasterKeyMissing,
    MasterKeyWrong,
    PersonForgotten,
    TargetExists,
    TargetUnwritable,
)
from gallery.keys.encryption import MasterKey
from gallery.keys.master_key import KeySource, in_file
from gallery.storage.store import PersonStore
from tests import forking
from tests.conftest import PROJECT
from tests.gallery.fakes import SPACE, photo_of, unit
from tests.gallery.portable import assert_same, portable_person
from tests.small_disk import fill, small_disk

ADA, BOB, EVE = portable_person(1), portable_person(2, "Bob", photos=1, chips=False), portable_person(3, "Eve")


class Home:
    """A data folder with its gallery and keys, and Ada and Bob in it."""

    def __init__(self, folder: Path, *, encrypt: bool = True, people=(ADA, BOB)) -> None:
        self.folder, self.encrypt = folder, encrypt
        self.path, self.keys = folder / "data" / "gallery.db", KeySource(folder / "keys")
        folder.mkdir(exist_ok=True)
        if people:
            with self.opened() as store:
                for person in people:
                    store.add_portable(person)

    def opened(self) -> PersonStore:
        return PersonStore(self.path, self.keys, actor="ada", encrypt=self.encrypt)

    def backup(self, name: str = "backup.db") -> Path:
        with self.opened() as store:
            back_up(store, self.folder / name)
        return self.folder / name

    def restore(self, file: Path, keys: KeySource | None = None):
        with BackupCopy(file, keys or self.keys) as copy:
            return restore(self.path, copy, self.keys, encrypt=self.encrypt, actor="ada")

    def holds(self, *people) -> None:
        with self.opened() as store:
            assert store.audit_broken() is None
            assert {one.id for one in store.people()} == {person.id for person in people}
            for person in people:
                assert_same(store.portable(person.id), person)
            for person in people:  # tags and the index's way in
                assert store.find(person.profile.name).id == store.find(f"{person.profile.external_id}").id == person.id

    def files(self) -> set[str]:
        return {name for name in os.listdir(self.path.parent) if not name.endswith(("-wal", "-shm"))}


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def home(request, tmp_path) -> Home:
    return Home(tmp_path / "home", encrypt=request.param)


def test_a_backup_brings_back_what_was_changed_since(home):
    file = home.backup()
    assert file.stat().st_mode & 0o777 == 0o600
    with home.opened() as store:
        store.rename(ADA.id, "Somebody")
        store.remove_photo(ADA.id, store.photos(ADA.id)[0].id)
        store.add_portable(EVE)
        before = store.templates(SPACE).ids.tolist()
    restored = home.restore(file)
    assert (restored.what.people, restored.what.photos) == (2, 3)
    assert (restored.what.gone, restored.what.left_out, restored.set_aside) == ((EVE.id,), (), None)
    home.holds(ADA, BOB)
    with home.opened() as store:
        assert set(before).isdisjoint(store.templates(SPACE).ids.tolist()), "an index follows by numbers"
        actions = [(entry.actor, entry.action) for entry in store.audit_entries()]
    assert actions[-2:] == [("ada", "restored"), ("ada", "gone")]
    assert ("ada", "backed_up") in actions, "the log is the gallery's own, and goes on"


def test_the_forgotten_stay_forgotten(home):
    file = home.backup()
    with home.opened() as store:
        store.forget(ADA.id)
    restored = home.restore(file)
    assert restored.what.left_out == (ADA.id,)
    home.holds(BOB)
    with home.opened() as store, pytest.raises(PersonForgotten):
        store.add_portable(ADA)


def test_who_was_forgotten_before_the_backup_stays_so_elsewhere(home, tmp_path):
    with home.opened() as store:
        store.forget(ADA.id)
    file = home.backup()
    other = Home(tmp_path / "other", encrypt=home.encrypt, people=(ADA, EVE))
    restored = other.restore(file, home.keys)
    assert restored.what.gone == (ADA.id, EVE.id)
    other.holds(BOB)
    with other.opened() as store:
        assert store.forgotten() == {ADA.id}


@pytest.mark.parametrize("here", [True, False], ids=["into encrypted", "into plain"])
@pytest.mark.parametrize("there", [True, False], ids=["from encrypted", "from plain"])
@pytest.mark.parametrize("is_empty", [True, False], ids=["new machine", "others are there"])
def test_it_is_put_under_the_key_of_where_it_comes_to(tmp_path, here, there, is_empty):
    file = Home(tmp_path / "from", encrypt=there).backup()
    old_key = KeySource(tmp_path / "from" / "keys")
    target = Home(tmp_path / "to", encrypt=here, people=() if is_empty else (EVE,))
    target.restore(file, old_key)
    shutil.rmtree(tmp_path / "from")
    target.holds(ADA, BOB)
    with target.opened() as store:
        assert (store.key_id is not None) is here
    assert target.files() == {"gallery.db"}


def test_a_key_that_was_rotated_since(tmp_path):
    home = Home(tmp_path / "home")
    file = home.backup()
    old = tmp_path / "old.key"
    shutil.copy(home.keys.file, old)
    with home.opened() as store:
        key = home.keys.begin_rotation(home.path.parent)
        store.rekey(key)
        home.keys.end_rotation(key)
        new_id = store.key_id
    with pytest.raises(MasterKeyWrong, match=r"backup .* is encrypted under master key \w{16}, .* --key-file"):
        home.restore(file)
    with pytest.raises(MasterKeyMissing, match="--key-file"):
        home.restore(file, KeySource(tmp_path / "nowhere"))
    home.holds(ADA, BOB)
    home.restore(file, KeySource(home.keys.folder, in_file(old)))
    home.holds(ADA, BOB)
    with home.opened() as store:
        assert store.key_id == new_id


def damaged_page(data: bytes) -> bytes:
    return data[:8192] + b"\xff" * 4096 + data[12288:]


DAMAGE = {
    "cut short": lambda data: data[: len(data) // 2],
    "cut within a page": lambda data: data[:-100],
    "a page of it": damaged_page,
    "text": lambda data: b"<html>Sign in</html>" * 500,
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_backup_changes_nothing(home, how):
    file = home.backup()
    file.write_bytes(DAMAGE[how](file.read_bytes()))
    with pytest.raises(BackupUnreadable, match=r"backup .*") as told:
        home.restore(file)
    assert "\n" not in str(told.value)
    home.holds(ADA, BOB)


@pytest.mark.parametrize("how", ["nowhere", "a folder", "another database", "the gallery itself", "a newer one"])
def test_what_is_no_backup(home, how):
    file = home.folder / "file.db"
    if how == "a folder":
        file.mkdir()
    elif how == "another database":
        with closing(sqlite3.connect(file)) as db:
            db.execute("CREATE TABLE people (id)")
    elif how == "the gallery itself":
        file.hardlink_to(home.path)
    elif how == "a newer one":
        home.backup("file.db")
        with closing(sqlite3.connect(file)) as db:
            db.execute("PRAGMA user_version = 99")
    with pytest.raises(GalleryTooNew if how == "a newer one" else BackupUnreadable):
        home.restore(file)
    home.holds(ADA, BOB)


@pytest.mark.parametrize(
    "table", ["profile of people", "chip of photos", "landmarks of photos", "embedding of templates"]
)
def test_one_byte_of_a_sealed_blob(tmp_path, table):
    """SQLite has no checksums of its own, and finds nothing."""
    home = Home(tmp_path / "home")
    file = home.backup()
    column, _, rows = table.split()
    with closing(sqlite3.connect(file)) as db:
        rowid, blob = db.execute(f"SELECT rowid, {column} FROM {rows} WHERE {column} IS NOT NULL").fetchone()
        changed = blob[:20] + bytes([blob[20] ^ 1]) + blob[21:]
        db.execute(f"UPDATE {rows} SET {column} = ? WHERE rowid = ?", (changed, rowid))
        db.commit()
    with pytest.raises(BackupUnreadable, match="doesn't open, its bytes were changed"):
        home.restore(file)
    home.holds(ADA, BOB)


@pytest.mark.parametrize(
    "table", ["profile of people", "profile_key of people", "landmarks of photos", "embedding of templates"]
)
@pytest.mark.parametrize("whose", [(ADA,), (BOB,), (ADA, BOB)], ids=["Ada's", "Bob's", "both"])
def test_what_could_not_be_restored_is_no_backup(tmp_path, table, whose):
    home = Home(tmp_path / "home", people=(ADA, BOB, EVE))
    earlier = home.backup("earlier.db")
    column, _, rows = table.split()
    with closing(sqlite3.connect(home.path)) as db:
        for person in whose:
            rowid, blob = db.execute(
                f"SELECT rowid, {column} FROM {rows} WHERE {'id' if rows == 'people' else 'person_id'} = ?",
                (person.id,),
            ).fetchone()  # no cursor is kept, which would go on reading, and have the gallery wait for it
            changed = blob[:20] + bytes([blob[20] ^ 1]) + blob[21:]
            db.execute(f"UPDATE {rows} SET {column} = ? WHERE rowid = ?", (changed, rowid))
        db.commit()
    with pytest.raises(GallerySealBroken, match=", ".join(person.id for person in whose)) as told:
        home.backup()
    assert EVE.id not in str(told.value)
    assert "\n" not in str(told.value)
    assert sorted(os.listdir(home.folder)) == ["data", "earlier.db", "keys"]
    with home.opened() as store:
        assert [entry.action for entry in store.audit_entries()].count("backed_up") == 1
        for person in whose:
            store.forget(person.id)
    home.backup()
    home.restore(earlier)
    home.holds(*(person for person in (ADA, BOB, EVE) if person not in whose))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE photos SET landmarks = 7",
        "UPDATE people SET profile_key = x'00'",
        "UPDATE templates SET person_id = 'x'",
    ],
)
def test_rows_that_are_none_of_ours_are_no_backup(tmp_path, statement):
    home = Home(tmp_path / "home")
    with closing(sqlite3.connect(home.path)) as db:
        db.execute(statement)
        db.commit()
    with pytest.raises((GalleryUnreadable, GallerySealBroken)) as told:
        home.backup()
    assert "\n" not in str(told.value)
    assert not (home.folder / "backup.db").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE people SET profile = 7",
        "UPDATE photos SET landmarks = 'text'",
        "UPDATE people SET profile_key = x'00'",
        "DROP TABLE templates",
        "DELETE FROM people",
        "UPDATE templates SET person_id = 'nobody'",
    ],
)
def test_rows_that_are_none_of_ours(home, statement):
    file = home.backup()
    with closing(sqlite3.connect(file)) as db:
        db.execute(statement)
        db.commit()
    with pytest.raises(BackupUnreadable) as told:
        home.restore(file)
    assert "\n" not in str(told.value)
    home.holds(ADA, BOB)


def test_bits_that_were_flipped_anywhere_never_make_another_person(tmp_path):
    """At random places of an encrypted backup: it is refused, or nothing that counts was hit."""
    home = Home(tmp_path / "home", people=(ADA,))
    file = home.backup()
    whole = file.read_bytes()
    rng = np.random.default_rng(15)
    refused = 0
    for place in rng.integers(0, len(whole), 40):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(data)
        other = Home(tmp_path / f"other{place}", people=())
        try:
            other.restore(file, home.keys)
        except GalleryError:
            refused += 1
        else:
            with other.opened() as store:
                assert_same(store.portable(ADA.id), ADA)
    assert refused > 20


@pytest.mark.parametrize("how", sorted(set(DAMAGE) - {"zeros"}))
def test_a_damaged_gallery_is_set_aside(tmp_path, how):
    home = Home(tmp_path / "home")
    with home.opened() as store:
        store.add_portable(EVE)
    file = home.backup()
    with home.opened() as store:
        store.forget(EVE.id)
    bad = DAMAGE[how](home.path.read_bytes())
    home.path.write_bytes(bad)
    restored = home.restore(file)
    assert restored.set_aside is not None
    assert restored.set_aside.read_bytes() == bad
    assert home.files() == {"gallery.db", restored.set_aside.name}
    home.holds(*((ADA, BOB) if restored.forgotten_known else (ADA, BOB, EVE)))
    assert restored.forgotten_known or how in ("text", "empty", "cut short", "a page of it")


@pytest.mark.parametrize(
    "name", ["gallery.db.damaged-20260101-120000", "gallery.db.damaged-1", "gallery.db.damaged-x y"]
)
def test_what_a_killed_restore_has_set_aside_is_not_set_aside_twice(tmp_path, name):
    home = Home(tmp_path / "home")
    file = home.backup()
    home.path.write_bytes(b"\xff" * 8192)
    aside = home.path.with_name(name)
    aside.hardlink_to(home.path)
    other = home.path.with_name("gallery.db.damaged-long-ago")
    other.write_bytes(b"\xff" * 8192)
    assert home.restore(file).set_aside == aside
    assert home.files() == {"gallery.db", aside.name, other.name}
    home.holds(ADA, BOB)


def test_a_missing_gallery_is_made_of_the_backup_with_its_log(home):
    file = home.backup()
    for left in home.path.parent.iterdir():
        left.unlink()
    restored = home.restore(file)
    assert (restored.what.people, restored.set_aside, restored.forgotten_known) == (2, None, False)
    home.holds(ADA, BOB)
    assert home.path.stat().st_mode & 0o777 == 0o600
    with home.opened() as store:
        assert [entry.action for entry in store.audit_entries()][-2:] == ["imported", "restored"]


@pytest.mark.parametrize("people", [1, 3, 20])
def test_the_log_of_a_gallery_that_is_gone_is_set_aside(tmp_path, people):
    home = Home(tmp_path / "home")
    file = home.backup()
    log, index = (home.path.with_name(home.path.name + end) for end in ("-wal", "-shm"))
    with home.opened() as store:
        for number in range(people):
            store.add_person(f"Late {number}", [photo_of(unit(number), number)])
        left = {path: path.read_bytes() for path in (log, index)}
    home.path.unlink()
    for path, data in left.items():
        path.write_bytes(data)
    restored = home.restore(file)
    assert restored.set_aside is not None
    assert restored.set_aside.read_bytes() == left[log]
    home.holds(ADA, BOB)
    with home.opened() as store:
        store.check()


@pytest.mark.parametrize("how", ["text", "zeros", "a page of it"])
def test_a_damaged_gallery_is_set_aside_where_files_have_one_name_alone(tmp_path, monkeypatch, how):
    def no_links(path, other):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    home = Home(tmp_path / "home")
    file = home.backup()
    bad = DAMAGE[how](home.path.read_bytes())
    home.path.write_bytes(bad)
    restored = home.restore(file)
    assert restored.set_aside is not None
    assert restored.set_aside.read_bytes() == bad
    assert restored.set_aside.stat().st_mode & 0o777 == 0o600
    assert home.files() == {"gallery.db", restored.set_aside.name}
    home.holds(ADA, BOB)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("state", ["living", "missing", "damaged"])
def test_what_root_restores_is_the_folders_owners(tmp_path, state):
    home = Home(tmp_path / "home")
    file = home.backup()
    if state == "missing":
        home.path.unlink()
    elif state == "damaged":
        home.path.write_bytes(b"no gallery" * 500)
    for path in (home.path.parent, *home.path.parent.iterdir()):
        os.chown(path, 12345, 54321)
    home.restore(file)
    with home.opened():
        owners = {(found.stat().st_uid, found.stat().st_gid) for found in home.path.parent.iterdir()}
    assert owners == {(12345, 54321)}


def test_a_file_that_is_there_is_left_alone(home):
    file = home.folder / "backup.db"
    file.write_text("theirs")
    with pytest.raises(TargetExists, match="is there already"):
        home.backup()
    assert file.read_text() == "theirs"
    with pytest.raises(TargetUnwritable):
        home.backup("nowhere/backup.db")
    with home.opened() as store:
        assert "backed_up" not in [entry.action for entry in store.audit_entries()]


def test_no_room_for_a_backup(home):
    with small_disk(1) as disk:
        hog = fill(disk)
        with home.opened() as store, pytest.raises(TargetUnwritable, match="disk is full"):
            back_up(store, disk / "backup.db")
        assert os.listdir(disk) == [hog.name]


def test_no_room_for_what_is_restored(tmp_path):
    source = Home(tmp_path / "from", people=[portable_person(n, f"Person {n}") for n in range(1, 20)])
    file = source.backup()
    with small_disk(2) as disk:
        home = Home(disk / "home")
        shutil.rmtree(home.keys.folder)
        shutil.copytree(source.keys.folder, home.keys.folder)
        shutil.rmtree(home.path.parent)
        home.path.parent.mkdir()
        home = Home(disk / "home", people=(ADA, BOB))
        fill(disk)
        with pytest.raises(GalleryUnwritable):
            home.restore(file)
        (disk / "hog").unlink()
        home.holds(ADA, BOB)


def test_a_backup_made_while_others_enrol_is_of_one_moment(home):
    """Another process writes without a pause; each backup holds each person wholly or not at all."""
    program = f"""
import sys
from pathlib import Path
from gallery.keys.master_key import KeySource
from gallery.storage.store import PersonStore
from tests.gallery.fakes import photo_of, unit
keys = KeySource(Path({str(home.keys.folder)!r}))
with PersonStore(Path({str(home.path)!r}), keys, encrypt={home.encrypt}) as store:
    for number in range(1000):
        store.add_person(f"Person {{number}}", [photo_of(unit(number), 2 * number + k) for k in range(2)])
        print(number, flush=True)
"""
    writer = subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT, stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        files = [home.backup(f"{number}.db") for number in range(3)]
    finally:
        writer.kill()
        writer.communicate()
    counts = []
    for file in files:
        other = Home(home.folder / f"to-{file.stem}", encrypt=home.encrypt, people=())
        other.restore(file, home.keys)
        with other.opened() as store:
            people = store.people()
        assert all(
            person.photos == person.templates[SPACE] == 2 for person in people if person.name.startswith("Person")
        )
        counts.append(len(people))
    assert counts == sorted(counts)
    assert counts[0] >= 3


def test_somebody_who_is_enrolled_while_it_is_restored_is_there_after_or_gone_whole(home):
    file = home.backup()
    with home.opened() as store, BackupCopy(file, home.keys) as copy:
        copy.under(store._vault)
        new = store.add_person("New", [photo_of(unit(9), 9)])
        restored = restore(home.path, copy, home.keys, encrypt=home.encrypt, actor="bob")
        assert restored.what.gone == (new.id,)
        late = store.add_person("Late", [photo_of(unit(10), 10)])
        assert (late.photos, dict(late.templates)) == (1, {SPACE: 1})
        assert {person.name for person in store.people()} == {"Ada Lovelace", "Bob", "Late"}


def test_the_key_is_not_in_the_backup(tmp_path):
    home = Home(tmp_path / "home")
    data = home.backup().read_bytes()
    key = MasterKey.from_text(home.keys.file.read_text())
    for secret in (key.to_text().encode(), key._key, b"Lovelace", b"night shift", unit(100).tobytes()[:16]):
        assert secret not in data
    assert ADA.id.encode() in data


# A process ends (SIGKILL) at its n-th statement, as it would wherever it is.

_KILLED = """
import os, signal, sys
from pathlib import Path
from gallery.copies.backup import back_up, restore
from gallery.copies.backup_copy import BackupCopy
from gallery.storage import database
from gallery.keys.master_key import KeySource
from gallery.storage.store import PersonStore

path, folder, file = map(Path, sys.argv[1:4])
keys, what, left = KeySource(folder), sys.argv[4], [int(sys.argv[5])]

def count(statement):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)

opens = database.open_database
def opened(*arguments, **options):
    db, vault = opens(*arguments, **options)
    db.set_trace_callback(count)
    return db, vault
database.open_database = opened
if what == "backup":
    with PersonStore(path, keys) as store:
        back_up(store, file)
elif what == "rekey":
    key = keys.begin_rotation(path.parent)
    with PersonStore(path, keys) as store:
        store.rekey(key)
        count("")
    keys.end_rotation(key)
else:
    with BackupCopy(file, keys) as copy:
        restore(path, copy, keys, encrypt=True, actor="killed")
"""


def killed_at(home: Home, file: Path, what: str, statement: int) -> bool:
    """Whether it was killed; False where it had fewer statements."""
    arguments = map(str, (home.path, home.keys.folder, file, what, statement))
    done = forking.run(list(arguments), PROJECT, os.environ, program=_KILLED)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("state", ["living", "missing", "damaged"])
def test_a_restore_that_is_killed_has_happened_or_has_not(tmp_path, state):
    home = Home(tmp_path / "home")
    file = home.backup()
    with home.opened() as store:
        store.add_portable(EVE)
        store.forget(BOB.id)
    if state == "missing":
        home.path.unlink()
    elif state == "damaged":
        home.path.write_bytes(b"no gallery" * 500)
    before = home.path.read_bytes() if state == "damaged" else b""
    seen, statement = set(), 0
    while killed_at(home, file, "restore", statement):
        statement += 1 + statement // 3
        if state == "living":
            with home.opened() as store:
                store.check()
                found = frozenset(person.id for person in store.people())
            assert found in ({ADA.id, EVE.id}, {ADA.id}), statement
            home.holds(*([ADA, EVE] if EVE.id in found else [ADA]))
            seen.add(found)
            if EVE.id not in found:
                with home.opened() as store:
                    store.add_portable(EVE)
        else:
            assert (home.path.read_bytes() if home.path.exists() else b"") == before
    assert statement > 5
    home.holds(*([ADA] if state == "living" else [ADA, BOB]))
    assert state != "living" or len(seen) == 2, "killed before and after it was done"


def test_a_backup_that_is_killed_is_there_or_not(tmp_path):
    home = Home(tmp_path / "home")
    statement, file = 0, home.folder / "backup.db"
    while killed_at(home, file, "backup", statement):
        statement += 1
        assert not file.exists(), "it gets its name at the very end"
    assert statement > 2
    Home(tmp_path / "other", people=()).restore(file, home.keys)
    home.holds(ADA, BOB)


def test_a_rotation_that_is_killed_leaves_all_readable_and_is_finished(tmp_path):
    home = Home(tmp_path / "home")
    statement = 0
    while killed_at(home, home.path, "rekey", statement):
        statement += 1 + statement // 4
        home.holds(ADA, BOB)
    assert statement > 5
    home.holds(ADA, BOB)
    assert not home.keys.next_file.exists()


def test_no_room_for_what_takes_the_place_of_a_damaged_gallery(tmp_path):
    source = Home(tmp_path / "from", people=[portable_person(n, f"Person {n}") for n in range(1, 20)])
    file = source.backup()
    with small_disk(2) as disk:
        home = Home(disk / "home", people=())
        home.keys = source.keys
        home.path.parent.mkdir()
        home.path.write_bytes(b"no gallery" * 500)
        fill(disk)
        with pytest.raises(GalleryUnwritable, match="can't be written"):
            home.restore(file)
        assert home.path.read_bytes() == b"no gallery" * 500
        assert home.files() == {"gallery.db"}
