"""Calibrations in the gallery's file: kept, replaced, and seen where somebody without the key changed them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gallery.copies.backup import back_up, restore
from gallery.copies.backup_copy import BackupCopy
from gallery.keys.encryption import MasterKey
from gallery.keys.master_key import KeySource
from gallery.storage.store import PersonStore

TEXT, OTHER = '{"threshold": 0.4}', '{"threshold": 0.6}'


def test_they_are_kept_replaced_and_taken_away(store: PersonStore):
    before = store.data_version()
    store.keep_calibrations({"a.1": TEXT, "b.2": OTHER}, {"a.1": {"fpir": 0.01}})
    assert store.calibrations() == {"a.1": TEXT, "b.2": OTHER}
    assert store.data_version() != before
    assert store.audit_entries()[-1].action == "calibrated"

    store.keep_calibrations({"a.1": OTHER, "b.2": None}, {})
    assert store.calibrations() == {"a.1": OTHER}
    assert store.audit_broken() is None


@pytest.mark.parametrize("keys", ["encrypted"], indirect=True)
@pytest.mark.parametrize(
    ("column", "new"),
    [
        ("value", "replace(value, '0.4', '0.1')"),
        ("key", "'calibration:b.2'"),
        ("value", "'plain ' || substr(value, 66)"),
    ],
    ids=["another threshold", "another space", "as of a plain gallery"],
)
def test_what_is_changed_without_the_key_is_seen(store: PersonStore, column: str, new: str):
    store.keep_calibrations({"a.1": TEXT}, {})
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute(f"UPDATE meta SET {column} = {new} WHERE key LIKE 'calibration:%'")
    assert list(store.calibrations().values()) == [None]


@pytest.mark.parametrize("to", ["another key", "plain", "encrypted"])
def test_another_master_key_keeps_them(tmp_path: Path, to: str):
    folder = KeySource(tmp_path / "keys")
    with PersonStore(tmp_path / "gallery.db", folder, encrypt=to != "encrypted") as store:
        store.keep_calibrations({"a.1": TEXT}, {})
        store.rekey(None if to == "plain" else MasterKey(b"k" * 32))
        assert store.calibrations() == {"a.1": TEXT}
        with closing(sqlite3.connect(store.path)) as db:
            (value,) = db.execute("SELECT value FROM meta WHERE key = 'calibration:a.1'").fetchone()
    assert value.startswith("plain ") == (to == "plain")


@pytest.mark.parametrize(
    ("since", "gone"), [({"a.1": OTHER}, ()), ({"a.1": None}, ()), ({"b.2": OTHER, "c.3": TEXT}, ("b.2", "c.3"))]
)
def test_a_restore_brings_those_of_the_backup(tmp_path: Path, since: dict[str, str | None], gone: tuple[str, ...]):
    keys = KeySource(tmp_path / "keys")
    path = tmp_path / "gallery.db"
    with PersonStore(path, keys) as store:
        store.keep_calibrations({"a.1": TEXT}, {})
        back_up(store, tmp_path / "backup.db")
        store.keep_calibrations(since, {})
    with BackupCopy(tmp_path / "backup.db", keys) as copy:
        done = restore(path, copy, keys, encrypt=True, actor="the test")
    assert done.what.uncalibrated == gone
    with PersonStore(path, keys) as store:
        assert store.calibrations() == {"a.1": TEXT}
