"""Another master key for gallery and kept visits: one rotation at a time, nothing is left under a key that is gone."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gallery.errors import GalleryUnwritable
from gallery.keys.master_key import KeySource
from gallery.storage.store import PersonStore
from recognition.whole_file import held_alone
from streamer.errors import KeptVisitsDamaged
from streamer.kept_visits.visits_file import VisitsFile
from streamer.upkeep import rotation
from streamer.upkeep.rotation import Rotated, rotate
from tests.gallery.portable import portable_person
from tests.streamer.kept_visits.made import change, visit_id

ADA = portable_person(1)


@pytest.fixture
def home(tmp_path) -> Path:
    """A folder with a gallery and kept visits, under one key."""
    with PersonStore(tmp_path / "gallery.db", keys_of(tmp_path)) as store:
        store.add_portable(ADA)
    with VisitsFile(tmp_path / "visits.db", keys_of(tmp_path), make=True) as file:
        file.unlock(encrypt=True)
        file.write([change(visit_id())])
    return tmp_path


def keys_of(home: Path) -> KeySource:
    return KeySource(home / "keys")


def rotated(home: Path, *, encrypt: bool = True) -> Rotated:
    with PersonStore(home / "gallery.db", keys_of(home), encrypt=encrypt) as store:
        return rotate(store, keys_of(home), home / "visits.db", encrypt=encrypt)


def key_ids(home: Path) -> list[str | None]:
    """Of gallery and kept visits, both of which open."""
    with (
        PersonStore(home / "gallery.db", keys_of(home), encrypt=False) as store,
        VisitsFile(home / "visits.db", keys_of(home)) as file,
    ):
        assert store.portable(ADA.id).profile == ADA.profile
        (visit,) = file.search(0.0, 1e12)
        assert file.pictures(visit.event_id) is not None
        return [store.key_id, file.key_id]


@pytest.mark.parametrize("step", ["begin_rotation", "_rekey_visits", "end_rotation"])
def test_two_at_once_are_one_after_the_other(home, monkeypatch, step):
    at_step, second_waits, done = threading.Event(), threading.Event(), []
    where = rotation if step == "_rekey_visits" else KeySource
    real, lock = getattr(where, step), rotation.held_alone

    def stopped(*given):
        if threading.current_thread().name == "first":
            at_step.set()
            assert second_waits.wait(30.0)
            assert not done
        return real(*given)

    def locked(path):
        if threading.current_thread().name == "second":
            second_waits.set()
        return lock(path)

    monkeypatch.setattr(where, step, stopped)
    monkeypatch.setattr(rotation, "held_alone", locked)
    threads = [threading.Thread(target=lambda: done.append(rotated(home)), name=name) for name in ("first", "second")]
    threads[0].start()
    assert at_step.wait(30.0)
    threads[1].start()
    for thread in threads:
        thread.join()
    one, two = done
    assert (one.was_finished, two.was_finished) == (False, False)
    assert two.former == one.key
    assert key_ids(home) == [two.key, two.key]
    assert [file.name for file in (home / "keys").iterdir()] == ["master.key"]


@pytest.mark.parametrize("encrypt", [True, False])
def test_a_lock_that_can_t_be_had_is_told(home, encrypt):
    before = key_ids(home)
    (home / "gallery.db.lock").mkdir()
    with pytest.raises(GalleryUnwritable, match="can't be locked"):
        rotated(home, encrypt=encrypt)
    assert key_ids(home) == before


def test_it_waits_for_whoever_holds_the_gallery(home):
    done: list[Rotated] = []
    before = key_ids(home)
    thread = threading.Thread(target=lambda: done.append(rotated(home, encrypt=False)))
    with held_alone(home / "gallery.db"):
        thread.start()
        assert key_ids(home) == before
        assert not done
    thread.join()
    assert key_ids(home) == [None, None]


@pytest.mark.parametrize("encrypt", [True, False])
@pytest.mark.parametrize("damage", ["text", "empty", "another SQLite file", "its key"])
def test_damaged_kept_visits_are_no_dead_end(home, damage, encrypt):
    visits = home / "visits.db"
    if damage == "its key":
        with closing(sqlite3.connect(visits)) as db, db:
            db.execute("UPDATE meta SET value = x'00' WHERE key = 'store_key'")
    elif damage == "another SQLite file":
        visits.unlink()
        with closing(sqlite3.connect(visits)) as db, db:
            db.execute("CREATE TABLE t (a)")
    else:
        visits.write_bytes(b"" if damage == "empty" else b"x" * 5000)
    for _ in range(2):
        with pytest.raises(KeptVisitsDamaged, match=r"kept visits .*; the gallery is done: move visits\.db away"):
            rotated(home, encrypt=encrypt)
    visits.unlink()
    done = rotated(home, encrypt=encrypt)
    assert (done.was_finished, [file.name for file in (home / "keys").iterdir()]) == (encrypt, ["master.key"])
    with PersonStore(home / "gallery.db", keys_of(home), encrypt=False) as store:
        assert store.portable(ADA.id).profile == ADA.profile
        assert store.key_id == done.key == (keys_of(home).for_new_store(home).id if encrypt else None)
