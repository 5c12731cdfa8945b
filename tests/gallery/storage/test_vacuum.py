"""After forget() and vacuum() no file holds anything of whom it was, as bytes of any kind; what is due stays so."""

import sqlite3
from pathlib import Path

import pytest

from gallery.errors import PersonForgotten, PersonNotFound
from gallery.keys.encryption import MasterKey, SealBroken
from gallery.keys.master_key import KeySource
from gallery.keys.vault import template_place
from gallery.people import Consent, OwnThreshold, Profile
from gallery.storage.store import PersonStore
from gallery.storage.vacuum import empty_log
from tests.gallery.fakes import SIGNATURE, SPACE, other_template, photo_of, unit
from tests.gallery.portable import portable_person
from tests.gallery.storage.former_galleries import all_bytes
from tests.small_disk import fill, small_disk

NAME, ID = "Somebody Quite Unmistakable", "EMPLOYEE-4711-X"
CONSENT = Consent("Somebody's Mother", 1.0, "the door of house seventeen", 2.0)


def pieces(blob: bytes) -> list[bytes]:
    """Enough of a blob to tell it by, from all of its pages, a JPEG's head aside; a few lie across two of them."""
    return [blob[at : at + 24] for at in range(1024 if len(blob) > 4096 else 0, max(len(blob) - 23, 1), 2048)]


def traces(store: PersonStore, person_id: str) -> list[bytes]:
    """All that the files hold of a person: in clear, sealed, and the keys; the id aside."""
    found = [
        NAME.encode(),
        b"somebodyquiteunmistakable",
        ID.encode(),
        CONSENT.by.encode(),
        b"house seventeen",
        b"a-tag",
    ]
    for query in (
        "SELECT name_tag, external_tag, profile_key, template_key, profile FROM people WHERE id = ?",
        "SELECT chip, landmarks, digest FROM photos WHERE person_id = ?",
        "SELECT embedding FROM templates WHERE person_id = ?",
    ):
        for row in store._rows(query, person_id):
            found += [
                piece
                for value in row
                if value is not None
                for piece in pieces(value if isinstance(value, bytes) else value.encode())
            ]
    for space in (SPACE, "other.1"):
        faces = store.templates(space)
        mine = [face for face, owner in zip(faces.matrix, faces.person_ids, strict=True) if owner == person_id]
        found += [face.tobytes()[at : at + 32] for face in mine for at in (0, 64)]
    return found


@pytest.fixture
def crowd(store: PersonStore) -> tuple[PersonStore, str]:
    """A store in which somebody unmistakable stands between others; and the id."""
    for seed in range(20):
        store.add_person(f"before {seed}", [photo_of(unit(seed), seed)])
    photos = [photo_of(unit(seed), seed, others=[other_template(300 + seed)]) for seed in range(100, 108)]
    person = store.add_person(Profile(NAME, ID, ("a-tag",), OwnThreshold(SPACE, 0.5), CONSENT), photos[:5])
    for seed in range(40, 60):
        store.add_person(f"after {seed}", [photo_of(unit(seed), seed)])
    store.add_photos(person.id, photos[5:])
    store.add_template(2, "other.1", SIGNATURE, unit(200, 32), 0.5)
    return store, person.id


def test_nothing_is_left_of_whoever_was_forgotten(crowd: tuple[PersonStore, str]) -> None:
    store, person_id = crowd
    gone, folder = traces(store, person_id), store.path.parent
    plain = [trace for trace in gone if trace in all_bytes(folder)]
    assert len(gone) > 60
    if store.key_id is None:
        assert len(plain) > 0.95 * len(gone)
    else:
        assert 30 < len(plain) < len(gone), "sealed blobs and keys are there, what they hold is not"
        assert NAME.encode() not in plain
    with PersonStore(store.path, store._keys) as service:  # who serves has it open meanwhile
        assert service.count() == 41
        assert store.forget(person_id)
        assert store.is_vacuum_due
        assert not [trace for trace in gone if trace in all_bytes(folder)], "overwritten on the spot"
        assert store.vacuum()
        assert not store.is_vacuum_due
        assert not [trace for trace in gone if trace in all_bytes(folder)]
        assert (service.count(), len(service.templates(SPACE)), len(service.templates("other.1"))) == (40, 40, 1)
        assert person_id not in service.profiles()
    store.check()
    assert store.forgotten() == {person_id}
    assert [entry.action for entry in store.audit_entries(person_id)] == ["enrolled", "photos_added", "forgotten"]
    assert not [trace for trace in gone if trace in all_bytes(folder)]


def test_with_the_master_key_and_a_copy_of_the_wrapped_keys_nothing_left_opens(tmp_path: Path) -> None:
    with PersonStore(tmp_path / "data" / "gallery.db", KeySource(tmp_path / "keys")) as store:
        gone = store.add_person(NAME, [photo_of(unit(1), 1)])
        store.add_person("Ada", [photo_of(unit(2), 2)])
        ((wrapped,),) = store._rows("SELECT template_key FROM people WHERE id = ?", gone.id)
        store.forget(gone.id)
        cipher = store._vault.template_cipher(gone.id, wrapped)
        left = [blob for row in store._rows("SELECT embedding FROM templates") for blob in row]
        left += [blob for row in store._rows("SELECT chip, landmarks FROM photos") for blob in row]
        assert len(left) == 3
        for blob in left:
            with pytest.raises(SealBroken):
                cipher.open(blob, template_place(gone.id, SPACE))


def test_who_was_forgotten_does_not_come_back_unnoticed(store: PersonStore) -> None:
    ada = store.add_portable(portable_person())
    store.forget(ada.id)
    with pytest.raises(PersonForgotten, match=f"{ada.id} was forgotten"):
        store.add_portable(portable_person())
    with pytest.raises(PersonNotFound):
        store.forget(ada.id)
    again = store.add_person("Ada", [photo_of(unit(1), 1)])
    assert again.id != ada.id
    assert store.forgotten() == {ada.id}


def test_a_removed_photo_is_gone_likewise(crowd: tuple[PersonStore, str]) -> None:
    store, person_id = crowd
    first, *others = store.photos(person_id)
    rows = store._rows(
        "SELECT chip, landmarks, embedding FROM photos JOIN templates ON photo_id = photos.id WHERE photos.id = ?",
        first.id,
    )
    gone = [piece for row in rows for blob in row for piece in pieces(blob)] + [first.digest.encode()]
    assert sum(trace in all_bytes(store.path.parent) for trace in gone) > 0.9 * len(gone)
    assert store.remove_photo(person_id, first.id)
    assert store.is_vacuum_due
    assert not [trace for trace in gone if trace in all_bytes(store.path.parent)]
    assert store.photos(person_id) == others


def test_while_somebody_reads_it_stays_due(store: PersonStore, monkeypatch) -> None:
    for module in ("vacuum", "database"):
        monkeypatch.setattr(f"gallery.storage.{module}.empty_log", lambda db, *_: empty_log(db, within_s=0.05))
    ada = store.add_person("Ada", [photo_of(unit(1))])
    reader = sqlite3.connect(store.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM people").fetchall()
    assert not store.forget(ada.id)
    assert not store.vacuum()
    assert store.is_vacuum_due
    reader.close()
    assert store.vacuum()
    assert not store.is_vacuum_due


def test_without_room_it_stays_due_and_nothing_is_lost() -> None:
    with small_disk(8) as disk:
        keys = KeySource(disk / "keys")
        with PersonStore(disk / "data" / "gallery.db", keys) as store:
            people = [store.add_person(f"person {seed}", [photo_of(unit(seed), seed)]) for seed in range(20)]
            assert store.forget(people.pop().id)
            hog = fill(disk)
            assert not store.vacuum()
            assert store.is_vacuum_due
            assert store.people() == sorted(people, key=lambda person: person.name), "searched and read as before"
            hog.unlink()
            for person in people[5:]:
                store.forget(person.id)
            assert store.vacuum()
            assert not store.is_vacuum_due
            assert [person.name for person in store.people()] == [f"person {seed}" for seed in range(5)]
            size = store.path.stat().st_size
        assert size < 5 * 200_000


MEANWHILE = {
    "somebody else is forgotten": lambda other, bob: other.forget(bob.id, empty_log=False),
    "a photo is removed": lambda other, bob: other.remove_photo(bob.id, other.photos(bob.id)[0].id),
    "it is put under another key": lambda other, bob: other.rekey(MasterKey.new() if other.key_id is None else None),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_what_another_process_erases_meanwhile_stays_due(store: PersonStore, monkeypatch, what: str) -> None:
    ada, bob = (store.add_person(name, [photo_of(unit(seed), seed)]) for seed, name in enumerate(("Ada", "Bob")))
    store.forget(ada.id)
    todo = [MEANWHILE[what]]

    def interrupted(db: sqlite3.Connection, *within_s: float) -> bool:
        done = empty_log(db, *within_s)
        if todo:
            with PersonStore(store.path, store._keys, encrypt=False) as other:
                todo.pop()(other, bob)
        return done

    monkeypatch.setattr("gallery.storage.vacuum.empty_log", interrupted)
    assert not store.vacuum()
    assert store.is_vacuum_due
    assert store.vacuum()
    assert not store.is_vacuum_due


def test_an_erasure_is_unfinished_until_it_is_said_to_be_done(store: PersonStore) -> None:
    ada, bob = (store.add_person(name, [photo_of(unit(seed), seed)]) for seed, name in enumerate(("Ada", "Bob")))
    store.forget(ada.id)
    assert store.vacuum()
    assert store.unfinished() == {ada.id}
    store.forget(bob.id)
    store.finish([ada.id])
    assert (store.unfinished(), store.forgotten()) == ({bob.id}, {ada.id, bob.id})
