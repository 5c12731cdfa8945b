"""Two people who become one, and photos that become another's: all of it or nothing, told in the audit log."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from gallery.copies.backup import back_up, restore
from gallery.copies.backup_copy import BackupCopy
from gallery.errors import (
    ExternalIdTaken,
    MergeRefused,
    NameInvalid,
    NameTaken,
    PersonIdTaken,
    PersonNotFound,
    PhotoNotFound,
    SplitRefused,
)
from gallery.keys.master_key import KeySource
from gallery.people import Consent, OwnThreshold, Profile
from gallery.storage.store import PersonStore
from tests.gallery.fakes import SPACE, near, negative_of, other_template, photo_of, unit
from tests.gallery.portable import portable_person
from tests.gallery.storage.former_galleries import all_bytes

ALIKE = {SPACE: 0.5}
NOBODY = "p000000000000"


def test_two_become_one(store: PersonStore) -> None:
    shared = photo_of(unit(3), 3)
    old = store.add_person("Ada B.", [photo_of(unit(1), 1), photo_of(unit(2), 2, others=[other_template(2)]), shared])
    new = store.add_person("Ada Lovelace", [photo_of(unit(4), 4), shared])
    bob = store.add_person("Bob", [photo_of(unit(9), 9)])
    faces = store.all_templates(SPACE)
    assert len(faces) == 6
    merged = store.merge(old.id, new.id, ALIKE)
    assert (merged.photos, merged.negatives, merged.person.id, merged.person.name) == (2, 0, new.id, "Ada Lovelace")
    assert (merged.person.photos, dict(merged.person.templates)) == (4, {SPACE: 4, "other.1": 1})
    assert merged.person.created_at == old.created_at
    assert {person.id for person in store.people()} == {new.id, bob.id}
    after = store.all_templates(SPACE)
    assert sorted(after.person_ids) == sorted([new.id] * 4 + [bob.id])
    assert set(faces.ids[[0, 1, 2]].tolist()).isdisjoint(after.ids.tolist()), "who follows by number sees them"
    mine = after.matrix[[owner == new.id for owner in after.person_ids]]
    np.testing.assert_allclose(np.sort(mine @ np.stack([unit(n) for n in (1, 2, 3, 4)]).T, axis=1)[:, -1], 1, atol=1e-5)
    assert all(photo.chip is not None for photo in store.photos_without_template("third.1"))
    store.check_people()


def test_the_id_stands_for_the_other_and_for_nobody_else_ever(store: PersonStore) -> None:
    a, b, c = (store.add_person(name, [photo_of(unit(seed), seed)]) for seed, name in enumerate("ABC"))
    store.merge(a.id, b.id, ALIKE)
    store.merge(b.id, c.id, ALIKE)
    assert store.merged() == {a.id: c.id, b.id: c.id}
    assert store.former_ids(c.id) == sorted([a.id, b.id])
    assert store.find(a.id).id == store.find(b.id.upper()).id == store.find("C").id == c.id
    assert (store.is_enrolled(a.id), store.forgotten()) == (False, frozenset())
    with pytest.raises(PersonNotFound, match=f"merged into {c.id}"):
        store.add_photos(a.id, [photo_of(unit(7), 7)])
    with pytest.raises(PersonNotFound, match="nobody called 'A'"):
        store.find("A")
    coming = portable_person()
    with pytest.raises(PersonIdTaken, match=f"merged into {c.id}"):
        store.check_free(coming.profile, a.id)
    assert [entry.action for entry in store.audit_entries(a.id)] == ["enrolled", "merged_away"]
    assert store.audit_entries(c.id)[-1].details == {"person": b.id, "photos": 2, "negatives": 0}
    assert store.audit_broken() is None


def test_who_is_forgotten_is_so_under_every_id(store: PersonStore) -> None:
    a, b, c = (store.add_person(name, [photo_of(unit(seed), seed)]) for seed, name in enumerate("ABC"))
    store.merge(a.id, b.id, ALIKE)
    store.forget(b.id)
    assert store.forgotten() == store.unfinished() == {a.id, b.id}
    assert (store.merged(), store.tables_with({a.id, b.id})) == ({}, [])
    assert [person.id for person in store.people()] == [c.id]


def test_a_backup_of_before_does_not_bring_back_who_was_merged_and_then_forgotten(
    tmp_path: Path, keys: KeySource | None
) -> None:
    path = tmp_path / "data" / "gallery.db"
    with PersonStore(path, keys) as store:
        a, b, c = (store.add_person(name, [photo_of(unit(seed), seed)]) for seed, name in enumerate("ABC"))
        back_up(store, tmp_path / "before.db")
        store.merge(a.id, b.id, ALIKE)
        back_up(store, tmp_path / "between.db")
        store.forget(b.id)
    for name in ("before.db", "between.db"):
        with BackupCopy(tmp_path / name, keys) as copy:
            restore(path, copy, keys, encrypt=keys is not None, actor="me")
        with PersonStore(path, keys) as store:
            assert ([person.id for person in store.people()], store.merged()) == ([c.id], {})


def test_a_backup_brings_back_how_it_was(tmp_path: Path, keys: KeySource | None) -> None:
    path = tmp_path / "data" / "gallery.db"
    with PersonStore(path, keys) as store:
        a, b = (store.add_person(name, [photo_of(unit(seed), seed)]) for seed, name in enumerate("AB"))
        back_up(store, tmp_path / "before.db")
        store.merge(a.id, b.id, ALIKE)
        back_up(store, tmp_path / "after.db")
    for name, people, ids in (("before.db", {a.id, b.id}, {}), ("after.db", {b.id}, {a.id: b.id})):
        with BackupCopy(tmp_path / name, keys) as copy:
            restore(path, copy, keys, encrypt=keys is not None, actor="me")
        with PersonStore(path, keys) as store:
            assert ({person.id for person in store.people()}, store.merged()) == (people, ids)


def test_what_was_said_of_both_stays(store: PersonStore) -> None:
    consent = Consent("Ada", 1.0, "the door", 9e9)
    old = store.add_person(Profile("Ada B.", "4711", ("staff",), OwnThreshold(SPACE, 0.6), consent))
    new = store.add_person(Profile("Ada", None, ("night",)))
    merged = store.merge(old.id, new.id, ALIKE).person
    assert merged.profile == Profile("Ada", "4711", ("night", "staff"), OwnThreshold(SPACE, 0.6), consent)
    assert store.find("4711").id == new.id
    with pytest.raises(ExternalIdTaken):
        store.check_free(Profile("Bob", "4711"))
    store.check_free("Ada B.")  # the name is free again


@pytest.mark.parametrize("case", ["itself", "nobody", "into nobody", "two external ids"])
def test_what_can_not_be_merged_is_left_as_it_is(store: PersonStore, case: str) -> None:
    ada = store.add_person(Profile("Ada", "1"), [photo_of(unit(1), 1)])
    bob = store.add_person(Profile("Bob", "2"), [photo_of(unit(2), 2)])
    one, into = {
        "itself": (ada.id, ada.id),
        "nobody": (NOBODY, ada.id),
        "into nobody": (ada.id, NOBODY),
        "two external ids": (ada.id, bob.id),
    }[case]
    before = store.last_entry()
    with pytest.raises((MergeRefused, PersonNotFound)):
        store.merge(one, into, ALIKE)
    assert store.last_entry() == before
    assert (store.count(), len(store.templates(SPACE)), store.merged()) == (2, 2, {})


def test_negatives_come_along_but_those_that_show_the_other(store: PersonStore) -> None:
    old, new = (store.add_person(name, [photo_of(unit(seed), seed)]) for seed, name in enumerate("AB"))
    store.add_negative(old.id, negative_of(near(unit(1), 0.8), number=1))  # it was B, and B is A
    store.add_negative(old.id, negative_of(unit(8), number=2))
    store.add_negative(old.id, negative_of(unit(9), number=3))
    store.add_negative(new.id, negative_of(near(unit(0), 0.9), number=4))
    store.add_negative(new.id, negative_of(unit(7), number=3))
    merged = store.merge(old.id, new.id, ALIKE)
    assert merged.negatives == 2
    assert [kept.source for kept in store.list_negatives(new.id)] == ["event 2", "event 3"]
    faces = store.negatives(SPACE)
    assert set(faces.person_ids) == {new.id}
    for kept in (unit(8), unit(7)):
        assert (faces.matrix @ kept).max() > 0.999
    assert len(faces) == 2, "of one source the one stays that was there"
    assert all(one.chip is not None for one in store.negatives_without_template("other.1"))


def test_of_who_was_merged_no_key_is_left(tmp_path: Path) -> None:
    with PersonStore(tmp_path / "data" / "gallery.db", KeySource(tmp_path / "keys")) as store:
        old, new = (store.add_person(name, [photo_of(unit(seed), seed)]) for seed, name in enumerate("AB"))
        ((keys, sealed, tag),) = store._rows("SELECT profile_key, profile, name_tag FROM people WHERE id = ?", old.id)
        assert all(blob in all_bytes(tmp_path / "data") for blob in (keys, sealed, tag))
        assert store.merge(old.id, new.id, ALIKE).is_overwritten
        assert not [blob for blob in (keys, sealed, tag) if blob in all_bytes(tmp_path / "data")]


@pytest.mark.parametrize("fails", ["people", "merged", "templates"])
def test_a_merge_that_fails_half_way_leaves_what_was(store: PersonStore, fails: str) -> None:
    old, new = (store.add_person(name, [photo_of(unit(seed), seed)]) for seed, name in enumerate("AB"))

    def refuse(action: int, table: str | None, *_: str | None) -> int:
        writes = action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
        return sqlite3.SQLITE_DENY if writes and table == fails else sqlite3.SQLITE_OK

    store._db.set_authorizer(refuse)
    with pytest.raises(sqlite3.DatabaseError, match=r"not authorized|prohibited"):
        store.merge(old.id, new.id, ALIKE)
    store._db.set_authorizer(None)
    assert {(person.id, person.name, person.photos) for person in store.people()} == {
        (old.id, "A", 1),
        (new.id, "B", 1),
    }
    store.check_people()


def test_some_photos_become_somebody_elses(store: PersonStore) -> None:
    photos = [photo_of(unit(n), n, others=[other_template(n)]) for n in range(4)]
    ada = store.add_person(Profile("Ada", "4711", ("staff",), consent=Consent("Ada", 1.0, "x", 9e9)), photos)
    store.add_negative(ada.id, negative_of(unit(50)))
    kept = store.photos(ada.id)
    store.all_templates(SPACE)
    left, new = store.split(ada.id, [kept[1].id, kept[3].id], "Grace")
    assert (left.id, left.photos, new.name, new.photos) == (ada.id, 2, "Grace", 2)
    assert new.profile == Profile("Grace")
    assert [photo.digest for photo in store.photos(new.id)] == [kept[1].digest, kept[3].digest]
    assert [photo.id for photo in store.photos(ada.id)] == [kept[0].id, kept[2].id]
    assert [photo.added_at for photo in store.photos(new.id)] == [kept[1].added_at, kept[3].added_at]
    for space, dim in ((SPACE, 64), ("other.1", 32)):
        faces = store.all_templates(space)
        for who, numbers in ((ada.id, (0, 2)), (new.id, (1, 3))):
            mine = faces.matrix[[owner == who for owner in faces.person_ids]]
            np.testing.assert_array_equal(mine, np.stack([unit(n, dim) for n in numbers]))
    assert len(store.list_negatives(ada.id)) == 1
    assert [(e.action, dict(e.details)) for e in store.audit_entries(new.id)] == [
        ("enrolled", {"photos": 2, "split_from": ada.id})
    ]
    assert store.audit_entries(ada.id)[-1].details == {"person": new.id, "photos": 2}
    store.check_people()
    assert store.audit_broken() is None


@pytest.mark.parametrize(
    ("photos", "name", "error"),
    [
        ([1, 2, 3], "Grace", SplitRefused),
        ([], "Grace", SplitRefused),
        ([1, 99], "Grace", PhotoNotFound),
        ([4], "Grace", PhotoNotFound),
        ([1], "BOB", NameTaken),
        ([1], "ada", NameTaken),
        ([1], " ", NameInvalid),
    ],
    ids=["all", "none", "unknown", "somebody else's", "a name that is taken", "the same name", "no name"],
)
def test_what_can_not_be_split_is_left_as_it_is(
    store: PersonStore, photos: list[int], name: str, error: type[Exception]
) -> None:
    ada = store.add_person("Ada", [photo_of(unit(n), n) for n in range(3)])
    store.add_person("Bob", [photo_of(unit(9), 9)])
    before = store.last_entry()
    with pytest.raises(error):
        store.split(ada.id, photos, name)
    with pytest.raises(PersonNotFound):
        store.split(NOBODY, [1], "Grace")
    assert (store.last_entry(), store.count(), len(store.photos(ada.id))) == (before, 2, 3)
