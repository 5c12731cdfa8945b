"""From every released schema to today's, encrypted or not: whole or not at all, and nothing plain stays in the file."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gallery.copies.backup import restore
from gallery.copies.backup_copy import BackupCopy
from gallery.errors import GalleryTooNew, GalleryUnwritable, MasterKeyMissing, MasterKeyWrong
from gallery.keys.encryption import MasterKey
from gallery.keys.master_key import KeySource, in_file
from gallery.keys.vault import Vault
from gallery.people import Person
from gallery.storage import opening
from gallery.storage.migrations import bring_up_to_date
from gallery.storage.schema import SCHEMA_VERSION
from gallery.storage.store import PersonStore
from tests.gallery.fakes import SIGNATURE, SPACE, negative_of, photo_of, unit
from tests.gallery.storage.former_galleries import RELEASED, all_bytes, chip_of, gallery_of_version, name_of, shape_of


@pytest.fixture(params=RELEASED, ids=lambda version: f"from {version}")
def former(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A gallery of three people by a version of before."""
    (tmp_path / "data").mkdir()
    return gallery_of_version(request.param, tmp_path / "data" / "gallery.db")


@pytest.mark.parametrize("keys", ["plain", "encrypted"], indirect=True)
def test_everything_is_there_and_can_be_gone_on_with(former: Path, keys: KeySource | None, tmp_path: Path) -> None:
    with PersonStore(former, keys, actor="ada") as store:
        store.check()
        people = store.people()
        assert [(p.id, p.name, p.created_at, p.photos, dict(p.templates)) for p in people] == [
            (f"p{seed:012}", name_of(seed), 1.0, 1, {SPACE: 1}) for seed in range(3)
        ]
        assert [p.profile.external_id for p in people] == [None] * 3
        found = store.templates(SPACE)
        np.testing.assert_array_equal(found.matrix, np.stack([unit(seed) for seed in range(3)]))
        assert (found.ids.tolist(), found.person_ids) == ([1, 2, 3], tuple(p.id for p in people))
        (kept,) = store.photos("p000000000001")
        assert (kept.id, kept.quality, kept.added_at, kept.digest) == (2, 0.9, 2.0, "digest 1")
        for seed, photo in enumerate(store.photos_without_template("other.1")):
            np.testing.assert_array_equal(photo.landmarks, photo_of(unit(seed), seed).landmarks)
            assert photo.chip is not None
        assert store.find(name_of(1).upper()).id == "p000000000001"
        assert store.add_template(1, "other.1", "by-other.1", unit(1), 0.9)
        grace = store.add_person("Grace", [photo_of(unit(9), 9)])
        assert (store.count_negatives(), store.merged(), grace.profile.ignored) == (0, {}, False)
        store.add_negative("p000000000001", negative_of(unit(5)))
        assert store.negatives(SPACE).person_ids == ("p000000000001",)
        rows = store._rows("SELECT id, space, signature, source, created_at FROM templates ORDER BY id")
        assert [row[:4] for row in rows] == [
            *((number, SPACE, "", "") for number in (1, 2, 3)),
            (5, "other.1", "by-other.1", "chip"),  # 4 was somebody's who is forgotten
            (6, SPACE, SIGNATURE, "photo"),
        ]
        assert [row[4] for row in rows[:3]] == [2.0] * 3
        assert [entry.action for entry in store.audit_entries()] == [
            "upgraded",
            *(["encrypted"] if keys else []),
            "enrolled",
            "negative_added",
        ]
        assert {entry.actor for entry in store.audit_entries()} == {"ada"}
        assert store.audit_broken() is None
        assert not store.is_vacuum_due
    (tmp_path / "new").mkdir()
    PersonStore(tmp_path / "new" / "gallery.db").close()
    assert shape_of(former) == shape_of(tmp_path / "new" / "gallery.db")
    with PersonStore(former, keys) as store:
        assert store.count() == 4


def secrets(seeds: range = range(3)) -> list[bytes]:
    chips = [chip_of(seed)[at : at + 48] for seed in seeds for at in (1000, 20000)]
    faces = [unit(seed).tobytes()[at : at + 48] for seed in seeds for at in (0, 100)]
    return [*(name_of(seed).encode() for seed in seeds), b"Lovelace", b"lovelace", *chips, *faces]


def test_nothing_plain_stays_in_any_file(former: Path, tmp_path: Path) -> None:
    assert all(secret in all_bytes(former.parent) for secret in secrets() if secret != b"lovelace")
    with PersonStore(former, KeySource(tmp_path / "keys")) as store:
        assert not [secret for secret in secrets() if secret in all_bytes(former.parent)]
        assert store.count() == 3
    assert not [secret for secret in secrets() if secret in all_bytes(former.parent)]


def test_killed_before_the_file_was_written_anew_it_is_at_the_next_opening(
    former: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeySource(tmp_path / "keys")
    with monkeypatch.context() as patch:
        patch.setattr(opening, "vacuum", lambda db, path: False)
        with PersonStore(former, keys) as store:
            assert store.is_vacuum_due
    assert "its file still holds pages of before" in caplog.text
    assert "Lovelace" not in caplog.text
    with PersonStore(former, keys) as store:
        assert not store.is_vacuum_due
    assert not [secret for secret in secrets() if secret in all_bytes(former.parent)]


@pytest.mark.parametrize("trouble", ["no folder for it", "no key", "configured and away"])
def test_without_a_key_nothing_is_changed(former: Path, tmp_path: Path, trouble: str) -> None:
    keys, error = KeySource(tmp_path / "keys"), GalleryUnwritable
    if trouble == "no folder for it":
        keys.folder.write_text("")
    elif trouble == "no key":
        keys.folder.mkdir()
        keys.file.write_text("no key")
        error = MasterKeyWrong
    else:
        keys, error = KeySource(keys.folder, in_file(tmp_path / "away")), MasterKeyMissing
    before, shape = all_bytes(former.parent), shape_of(former)
    with pytest.raises(error):
        PersonStore(former, keys)
    assert (shape_of(former), len(all_bytes(former.parent))) == (shape, len(before))
    assert [secret for secret in secrets() if secret in all_bytes(former.parent)]


@pytest.mark.parametrize("people", [0, 1, 300])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_galleries_of_any_size(tmp_path: Path, version: int, people: int) -> None:
    path = gallery_of_version(version, tmp_path / "gallery.db", people)
    with PersonStore(path, KeySource(tmp_path / "keys")) as store:
        assert store.count() == len(store.templates(SPACE)) == people
        store.add_person("Grace", [photo_of(unit(9), 9)])
        assert store.template_stamps(SPACE).ids.tolist()[-1] == people + 2


def test_a_plain_gallery_is_encrypted_when_it_is_opened_with_encryption_on(tmp_path: Path) -> None:
    path, keys = tmp_path / "data" / "gallery.db", KeySource(tmp_path / "keys")
    with PersonStore(path, keys, encrypt=False) as store:
        store.add_person("Ada Lovelace", [photo_of(unit(seed), seed) for seed in range(3)])
        assert (store.key_id, keys.folder.exists()) == (None, False)
    with PersonStore(path, keys, encrypt=False) as store:
        assert store.key_id is None
    with PersonStore(path, keys) as store:
        assert store.key_id == keys.for_new_store(tmp_path).id
        assert (store.find("ada lovelace").photos, len(store.templates(SPACE))) == (3, 3)
        assert len(list(store.photos_without_template("other.1"))) == 3
    faces = [unit(seed).tobytes()[:48] for seed in range(3)]
    assert not [secret for secret in (b"Ada Lovelace", b"adalovelace", *faces) if secret in all_bytes(path.parent)]
    with PersonStore(path, keys, encrypt=False) as store:
        assert store.key_id is not None, "until gallery rekey"


@pytest.mark.parametrize("keys", ["plain", "encrypted"], indirect=True)
def test_many_may_bring_a_gallery_up_to_date_at_once(tmp_path: Path, keys: KeySource | None) -> None:
    for attempt in range(5):
        path = gallery_of_version(1, tmp_path / f"{attempt}.db")
        with ThreadPoolExecutor(8) as pool:
            start = threading.Barrier(8)

            def count_people(path: Path = path, start: threading.Barrier = start) -> int:
                start.wait()
                with PersonStore(path, keys) as store:
                    return len(store.people())

            assert [done.result() for done in [pool.submit(count_people) for _ in range(8)]] == [3] * 8
        assert shape_of(path)[0] == SCHEMA_VERSION


@pytest.mark.parametrize("keys", ["plain", "encrypted"], indirect=True)
def test_a_change_that_fails_half_way_leaves_what_was(former: Path, keys: KeySource | None, tmp_path: Path) -> None:
    before = shape_of(former)

    def refuse_the_last_step(action: int, name: str | None, value: str | None, *_: str | None) -> int:
        last = (action, name) == (sqlite3.SQLITE_PRAGMA, "user_version") and value is not None
        return sqlite3.SQLITE_DENY if last else sqlite3.SQLITE_OK

    db = sqlite3.connect(former, isolation_level=None)
    db.set_authorizer(refuse_the_last_step)
    vault = Vault(keys.for_new_store(tmp_path) if keys else None)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        bring_up_to_date(db, former, vault, "me")
    db.close()
    assert shape_of(former) == before
    with PersonStore(former, keys) as store:
        assert store.count() == 3


def test_a_gallery_that_a_newer_whosthere_brought_up_to_date_while_we_waited_is_refused(tmp_path: Path) -> None:
    path = gallery_of_version(1, tmp_path / "gallery.db")
    ours = sqlite3.connect(path, isolation_level=None)
    newer = sqlite3.connect(path, isolation_level=None)
    newer.execute("BEGIN IMMEDIATE")
    newer.execute("PRAGMA user_version = 99")

    def commit_when_asked_for_the_lock(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE":
            newer.execute("COMMIT")

    ours.set_trace_callback(commit_when_asked_for_the_lock)
    with pytest.raises(GalleryTooNew):
        bring_up_to_date(ours, path, Vault(None), "me")
    assert not ours.in_transaction
    ours.close()
    newer.close()
    assert shape_of(path)[0] == 99


def encrypted_3(path: Path, keys: KeySource) -> Person:
    """One of today without what came with version 4 is what that wrote, but for `ignored` in profiles."""
    with PersonStore(path, keys) as store:
        ada = store.add_person("Ada", [photo_of(unit(1), 1)])
    with closing(sqlite3.connect(path)) as db, db:
        for table in ("negative_templates", "negatives", "merged"):
            db.execute(f"DROP TABLE {table}")
        db.execute("PRAGMA user_version = 3")
    db.close()
    return ada


@pytest.mark.parametrize("trouble", ["no key", "another key", "no folder"])
def test_an_encrypted_gallery_of_version_3_whose_key_is_away_is_left_as_it_is(tmp_path: Path, trouble: str) -> None:
    path, keys = tmp_path / "data" / "gallery.db", KeySource(tmp_path / "keys")
    encrypted_3(path, keys)
    if trouble == "another key":
        keys.file.write_text(MasterKey.new().to_text())
    else:
        keys.file.rename(tmp_path / "key")
        if trouble == "no folder":
            keys.folder.rmdir()
    before = (path.read_bytes(), keys.file.exists())
    with pytest.raises(MasterKeyWrong if trouble == "another key" else MasterKeyMissing):
        PersonStore(path, keys)
    assert (path.read_bytes(), keys.file.exists()) == before, "no new key is made, and nothing upgraded"


def test_an_encrypted_backup_of_version_3_becomes_a_gallery_with_its_log(tmp_path: Path) -> None:
    path, keys = tmp_path / "old" / "gallery.db", KeySource(tmp_path / "keys")
    encrypted_3(path, keys)
    with BackupCopy(path, keys) as copy:
        restore(tmp_path / "data" / "gallery.db", copy, keys, encrypt=True, actor="me")
    with PersonStore(tmp_path / "data" / "gallery.db", keys) as store:
        assert store.find("Ada").photos == 1
        assert store.audit_broken() is None


def test_an_encrypted_gallery_of_version_3_is_gone_on_with(tmp_path: Path) -> None:
    path, keys = tmp_path / "data" / "gallery.db", KeySource(tmp_path / "keys")
    ada = encrypted_3(path, keys)
    with PersonStore(path, keys, encrypt=False) as store:
        assert [entry.action for entry in store.audit_entries()] == ["made", "enrolled", "upgraded"]
        assert store.audit_broken() is None
        store.add_negative(ada.id, negative_of(unit(2)))
        np.testing.assert_array_equal(store.negatives(SPACE).matrix, unit(2)[None])
    PersonStore(tmp_path / "new.db").close()
    assert shape_of(path) == shape_of(tmp_path / "new.db")
