"""Keys of a gallery that is in use: wrong, missing, changed by another process; bytes that were changed."""

import math
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gallery.errors import GallerySealBroken, GalleryUnwritable, MasterKeyMissing, MasterKeyWrong, PersonNotFound
from gallery.keys.encryption import MasterKey
from gallery.keys.master_key import KeySource
from gallery.people import Profile
from gallery.storage.store import PersonStore
from tests.gallery.fakes import SPACE, other_template, photo_of, unit
from tests.gallery.storage.former_galleries import all_bytes

SECRETS = [b"Ada Lovelace", b"adalovelace", b"E-17", b"staff", *(unit(seed).tobytes()[:48] for seed in (1, 2))]


@pytest.fixture
def keys(tmp_path: Path) -> KeySource:
    return KeySource(tmp_path / "keys")


@pytest.fixture
def path(tmp_path: Path, keys: KeySource) -> Path:
    """An encrypted gallery of two people."""
    path = tmp_path / "data" / "gallery.db"
    with PersonStore(path, keys) as store:
        photos = [photo_of(unit(seed), seed, others=[other_template(seed)]) for seed in (1, 2)]
        store.add_person(Profile("Ada Lovelace", "E-17", ("staff",)), photos)
        store.add_person("Bob", [photo_of(unit(3), 3)])
    return path


@pytest.fixture
def store(path: Path, keys: KeySource) -> Iterator[PersonStore]:
    with PersonStore(path, keys) as opened:
        yield opened


def test_nothing_of_anybody_is_plain_in_the_files(path: Path, store: PersonStore) -> None:
    store.rename(store.find("Ada Lovelace").id, "Ada Byron")
    store.add_template(3, "other.1", "by", unit(9, 32), 0.5)
    found = all_bytes(path.parent)
    chips = [photo.chip for photo in store.photos_without_template("none.1")]
    assert len(chips) == 3
    assert not [secret for secret in (*SECRETS, b"Byron", b"JFIF", unit(9, 32).tobytes()[:48]) if secret in found]


@pytest.mark.parametrize("what", ["missing", "another", "no key", "not to be read"])
def test_without_its_key_nothing_opens_and_nothing_is_written(path: Path, keys: KeySource, what: str) -> None:
    error = MasterKeyWrong
    if what == "missing":
        keys.file.unlink()
        error = MasterKeyMissing
    elif what == "another":
        keys.file.write_text(MasterKey.new().to_text())
    elif what == "no key":
        keys.file.write_text("none")
    else:
        keys.file.unlink()
        keys.file.mkdir()
        error = MasterKeyMissing
    before, kept = path.read_bytes(), keys.file.read_bytes() if keys.file.is_file() else None
    for open_ in (lambda: PersonStore(path, keys), lambda: PersonStore(path, keys, in_memory=True)):
        with pytest.raises(error) as caught:
            open_()
        assert "\n" not in str(caught.value)
    with pytest.raises(MasterKeyMissing, match="is encrypted under master key"):
        PersonStore(path)
    assert path.read_bytes() == before
    assert (keys.file.read_bytes() if keys.file.is_file() else None) == kept
    assert [file.name for file in path.parent.iterdir()] == ["gallery.db"]


def test_a_copy_in_memory_is_opened_with_the_key_and_makes_none(path: Path, keys: KeySource, tmp_path: Path) -> None:
    with PersonStore(path, keys, in_memory=True) as store:
        assert [person.name for person in store.people()] == ["Ada Lovelace", "Bob"]
        assert len(store.templates(SPACE)) == 3
        with pytest.raises(GalleryUnwritable):
            store.forget(store.find("Bob").id)
    plain = tmp_path / "plain.db"
    with PersonStore(plain) as store:
        store.add_person("Eve")
    none = KeySource(tmp_path / "none")
    with PersonStore(plain, none, in_memory=True) as store:
        assert (store.key_id, store.count()) == (None, 1)
    with PersonStore(tmp_path / "nowhere.db", none, in_memory=True) as store:
        assert (store.key_id, store.count()) == (None, 0)
    assert not none.folder.exists()


def _changed(path: Path, table: str, column: str, where: str = "1") -> None:
    """One bit of a blob is another one."""
    with closing(sqlite3.connect(path)) as db, db:
        for key, blob in db.execute(f"SELECT rowid, {column} FROM {table} WHERE {where}").fetchall():
            changed = bytes([*blob[:-9], blob[-9] ^ 1, *blob[-8:]])
            db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, key))


READS: dict[str, Callable[[PersonStore, str], object]] = {
    "find by id": lambda store, who: store.find(who),
    "find by name": lambda store, _: store.find("Ada Lovelace"),
    "rename": lambda store, who: store.rename(who, "Ada Byron"),
    "add photos": lambda store, who: store.add_photos(who, [photo_of(unit(6), 6)]),
    "export": lambda store, who: store.portable(who),
    "the same name again": lambda store, _: store.add_person("ada lovelace"),
}


@pytest.mark.parametrize("column", ["profile", "profile_key"])
@pytest.mark.parametrize("read", READS)
def test_a_changed_profile_is_said_with_whose_it_is_and_the_way_out(
    path: Path, keys: KeySource, column: str, read: str
) -> None:
    with PersonStore(path, keys) as store:
        ada, bob = store.people()
    _changed(path, "people", column, f"id = '{ada.id}'")
    with PersonStore(path, keys) as store:
        with pytest.raises(
            GallerySealBroken, match=rf"profile (key )?of {ada.id} doesn't open.*gallery restore"
        ) as told:
            READS[read](store, ada.id)
        assert "Ada" not in str(told.value)
        assert len(store.photos(ada.id)) == ada.photos, "nothing was written"
        assert store.find("Bob") == bob
        assert store.people() == [bob]
        assert store.profiles() == {bob.id: bob.profile}
        assert set(store.templates(SPACE).person_ids) == {bob.id}, "nobody is found who can't be named"
        assert list(store.unreadable) == [ada.id]
        with pytest.raises(PersonNotFound):
            store.find("Somebody Else")
        assert store.forget(ada.id), "the way out"
        assert store.people() == [bob]
        assert store.unreadable == {}


@pytest.mark.parametrize(("table", "column"), [("templates", "embedding"), ("people", "template_key")])
def test_a_changed_template_is_left_out_and_said(path: Path, keys: KeySource, table: str, column: str) -> None:
    with PersonStore(path, keys) as store:
        ada, bob = store.people()
    _changed(path, table, column, f"{'id' if table == 'people' else 'person_id'} = '{ada.id}'")
    with PersonStore(path, keys) as store:
        for templates in (store.templates(SPACE), store.templates(SPACE, 0, 1), store.all_templates(SPACE)):
            assert templates.person_ids == (bob.id,)
        with pytest.raises(GallerySealBroken, match=rf"doesn't open.*\({ada.id}: template (key )?of {ada.id}.*forget"):
            store.check_people()
        assert store.people() == [ada, bob]
        store.forget(ada.id)
        np.testing.assert_array_equal(store.templates(SPACE).matrix, unit(3)[None])
        np.testing.assert_array_equal(store.all_templates(SPACE).matrix, unit(3)[None])
        assert store.unreadable == {}
        store.check_people()


def test_a_template_of_somebody_else_does_not_pass_for_ones_own(path: Path, keys: KeySource) -> None:
    with PersonStore(path, keys) as store:
        ada, bob = store.people()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE templates SET person_id = ? WHERE person_id = ?", (ada.id, bob.id))
    with PersonStore(path, keys) as store:
        assert set(store.templates(SPACE).matrix[:, :].shape) == {2, len(unit(1))}
        assert set(store.templates(SPACE).person_ids) == {ada.id} == set(store.unreadable)


@pytest.mark.parametrize("column", ["chip", "landmarks"])
def test_a_changed_chip_spoils_that_photo_alone(path: Path, keys: KeySource, column: str) -> None:
    _changed(path, "photos", column, "id = 1")
    with PersonStore(path, keys) as store:
        assert [photo.chip is None for photo in store.photos_without_template("none.1")] == [True, False, False]


def test_a_plain_blob_is_not_taken_for_a_sealed_one(path: Path, keys: KeySource) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE templates SET embedding = ? WHERE id = 1", (b"\0" + unit(8).tobytes(),))
    with PersonStore(path, keys) as store:
        assert 1 not in store.templates(SPACE).ids.tolist()
        assert list(store.unreadable.values()) == [f"template of {store.people()[0].id} in {SPACE}"]


NUMBERS = {
    "enrolled": ("people", "created_at"),
    "photo's time": ("photos", "added_at"),
    "photo's quality": ("photos", "quality"),
    "template's time": ("templates", "created_at"),
    "template's quality": ("templates", "quality"),
}


@pytest.mark.parametrize("value", ["x'4041424344454647'", "'then'", "1e300"])
@pytest.mark.parametrize("what", NUMBERS)
def test_what_is_no_number_any_more_is_told_and_ends_nothing(
    path: Path, keys: KeySource, what: str, value: str
) -> None:
    with PersonStore(path, keys) as store:
        ada, bob = store.people()
        before = store.newest_photos()
    table, column = NUMBERS[what]
    if column == "quality" and value == "1e300":
        value = "9e999"
    with closing(sqlite3.connect(path)) as db, db:
        where = "id" if table == "people" else "person_id"
        db.execute(f"UPDATE {table} SET {column} = {value} WHERE {where} = ?", (ada.id,))
    with PersonStore(path, keys) as store:
        assert store.people() == ([bob] if what == "enrolled" else [ada, bob])
        newest = math.inf if what == "photo's time" else before[ada.id]
        assert store.newest_photos() == before | {ada.id: newest}
        with pytest.raises(GallerySealBroken, match=ada.id):
            store.portable(ada.id)
        if what == "enrolled":
            with pytest.raises(GallerySealBroken, match=f"time of enrolment of {ada.id}"):
                store.find(ada.id)
        if table == "photos":
            with pytest.raises(GallerySealBroken, match=f"of photo 1 of {ada.id}"):
                store.photos(ada.id)
        assert set(store.unreadable) == ({ada.id} if what in ("enrolled", "photo's time") else set())


@pytest.mark.parametrize(
    ("table", "column", "is_safe"),
    [
        ("people", "profile", True),
        ("templates", "embedding", True),
        ("people", "profile_key", False),
        ("people", "template_key", False),
    ],
)
def test_a_new_key_leaves_who_does_not_open_as_they_are_or_is_refused(
    path: Path, keys: KeySource, table: str, column: str, is_safe: bool
) -> None:
    with PersonStore(path, keys) as store:
        ada, bob = store.people()
    _changed(path, table, column, f"{'id' if table == 'people' else 'person_id'} = '{ada.id}'")
    with PersonStore(path, keys) as store:
        former, key = store.key_id, keys.begin_rotation(path.parent)
        if is_safe:
            store.rekey(key)
        else:
            with pytest.raises(GallerySealBroken, match=rf"key of {ada.id} doesn't open.*forget"):
                store.rekey(key)
        assert store.key_id == (key.id if is_safe else former)
        with pytest.raises(GallerySealBroken, match=ada.id):
            store.check_people()
        assert store.find("Bob") == bob
        assert set(store.unreadable) == {ada.id}


# Another process puts the gallery under another key.

WRITES: dict[str, Callable[[PersonStore], object]] = {
    "add": lambda store: store.add_person("Eve", [photo_of(unit(5), 5)]),
    "add photos": lambda store: store.add_photos(store.find("Bob").id, [photo_of(unit(6), 6)]),
    "rename": lambda store: store.rename(store.find("Bob").id, "Robert"),
    "template": lambda store: store.add_template(3, "other.1", "by", unit(9, 32), 0.5),
    "look for a name": lambda store: store.find("bob"),
    "look whether a name is free": lambda store: store.check_free("Eve"),
    "templates": lambda store: store.templates(SPACE),
    "photos": lambda store: list(store.photos_without_template("none.1")),
    "forget": lambda store: store.forget(store.find("Bob").id),
}


@pytest.mark.parametrize("to", ["another key", "plain", "plain, then another key"])
@pytest.mark.parametrize("then", WRITES)
def test_a_store_that_is_open_follows_a_rekey(path: Path, keys: KeySource, to: str, then: str) -> None:
    with PersonStore(path, keys) as service, PersonStore(path, keys) as store:
        faces, people = service.templates(SPACE).matrix, service.people()
        if "plain" in to:
            store.rekey(None)
        if "another" in to:
            store.rekey(keys.begin_rotation(path.parent))
        WRITES[then](service)
        assert service.key_id == store.key_id
        if then in ("templates", "photos", "look for a name"):
            np.testing.assert_array_equal(service.templates(SPACE).matrix, faces)
            assert service.people() == people
        assert store.people() == service.people()
        np.testing.assert_array_equal(store.templates(SPACE).matrix, service.templates(SPACE).matrix)
    with PersonStore(path, keys, encrypt=False) as again:
        assert again.count() == len(again.people())


def test_the_name_of_somebody_is_still_taken_under_another_key(path: Path, keys: KeySource) -> None:
    with PersonStore(path, keys) as service, PersonStore(path, keys) as store:
        store.rekey(keys.begin_rotation(path.parent))
        with pytest.raises(Exception, match="is enrolled already"):
            service.check_free("BOB")
        with pytest.raises(Exception, match="is enrolled already"):
            service.add_person("ada lovelace")


def test_a_rekey_that_can_t_be_followed_is_said_and_writes_nothing(path: Path, keys: KeySource) -> None:
    with PersonStore(path, keys) as service, PersonStore(path, keys) as store:
        assert len(service.profiles()) == 2
        store.rekey(MasterKey.new())  # which nobody else has
        for ask in (lambda: service.add_person("Eve"), lambda: service.templates(SPACE)):
            with pytest.raises(MasterKeyWrong):
                ask()
        assert store.count() == 2
        assert len(service.profiles()) == 2, "whoever was opened before is known"


def test_rekey_changes_the_keys_alone(path: Path, keys: KeySource, store: PersonStore) -> None:
    former = store.key_id
    blobs = store._rows("SELECT profile FROM people UNION ALL SELECT embedding FROM templates")
    wrapped = store._rows("SELECT profile_key, template_key, name_tag, external_tag FROM people ORDER BY id")
    key = keys.begin_rotation(path.parent)
    assert store.rekey(key) == former
    assert store.rekey(key) == key.id, "again: nothing is changed"
    assert [entry.action for entry in store.audit_entries()].count("rekeyed") == 1
    assert store._rows("SELECT profile FROM people UNION ALL SELECT embedding FROM templates") == blobs
    now = store._rows("SELECT profile_key, template_key, name_tag, external_tag FROM people ORDER BY id")
    assert not set(filter(None, sum(now, ()))) & set(filter(None, sum(wrapped, ())))
    assert store.find("E-17").name == "Ada Lovelace"
    assert store.vacuum()
    old = [blob for row in wrapped for blob in row if blob]
    assert not [blob for blob in old if blob in all_bytes(path.parent)]
    keys.end_rotation(key)
    with PersonStore(path, keys) as again:
        assert again.find("ada LOVELACE").photos == 2


def test_a_rekey_that_fails_changes_nothing(path: Path, keys: KeySource, store: PersonStore) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TRIGGER stop BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'no'); END")
    before = store._rows("SELECT * FROM people"), store.key_id
    with pytest.raises(sqlite3.IntegrityError):
        store.rekey(MasterKey.new())
    assert (store._rows("SELECT * FROM people"), store.key_id) == before
    assert store.find("Bob").name == "Bob"


def test_made_plain_everything_is_readable_without_any_key(path: Path, keys: KeySource, store: PersonStore) -> None:
    faces = store.templates(SPACE).matrix
    store.rekey(None)
    assert store.vacuum()
    store.close()
    shutil.rmtree(keys.folder)
    with PersonStore(path) as plain:
        assert [person.name for person in plain.people()] == ["Ada Lovelace", "Bob"]
        np.testing.assert_array_equal(plain.templates(SPACE).matrix, faces)
        assert plain.find("E-17").profile.tags == ("staff",)
