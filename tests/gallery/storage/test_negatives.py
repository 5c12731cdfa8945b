"""Faces that are not somebody, in the gallery's file: kept, sealed, moved, erased with whom they are not, or whom they
show.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gallery.copies.backup import back_up, restore
from gallery.copies.backup_copy import BackupCopy
from gallery.errors import GallerySealBroken, NegativeNotFound, PersonNotFound
from gallery.keys.encryption import MasterKey
from gallery.keys.master_key import KeySource
from gallery.people import NewNegative
from gallery.storage.store import PersonStore
from recognition.errors import EmbeddingSpaceMismatch
from tests.gallery.fakes import SPACE, near, negative_of, other_template, photo_of, unit
from tests.gallery.storage.former_galleries import all_bytes

NOBODY = "p000000000000"


def test_they_are_kept_with_all_that_was_seen_and_listed(store: PersonStore) -> None:
    ada, bob = (store.add_person(name, [photo_of(unit(seed), seed)]) for seed, name in enumerate(("Ada", "Bob")))
    first = store.add_negative(ada.id, negative_of(unit(10), unit(11), number=1))
    second = store.add_negative(bob.id, negative_of(unit(12), number=2, source="photo abc"))
    third = store.add_negative(ada.id, negative_of(unit(13), number=3))
    assert [kept.id for kept in store.list_negatives(ada.id)] == [first.id, third.id]
    assert (second.person_id, second.source, second.quality, second.spaces) == (bob.id, "photo abc", 0.8, (SPACE,))
    found = store.negatives(SPACE)
    assert found.person_ids == (ada.id, ada.id, bob.id, ada.id)
    np.testing.assert_array_equal(found.matrix, np.stack([unit(seed) for seed in (10, 11, 12, 13)]))
    assert (np.diff(found.ids) > 0).all()
    assert store.count_negatives() == 3
    assert store.list_negatives(NOBODY) == []
    assert len(store.negatives("other.1")) == 0
    assert len(store.templates(SPACE)) == 2, "nobody is named by them"


def test_of_these_sources_they_are_taken_back_and_each_is_logged(store: PersonStore) -> None:
    ada, bob = store.add_person("Ada"), store.add_person("Bob")
    for person in (ada, bob):
        for number in (1, 2):
            store.add_negative(person.id, negative_of(unit(number), number=number, source=f"event {number}"))
    rows = store.negative_rows(ada.id, {"event 1", "event 7"})
    found = store.negatives(SPACE)
    assert [(who, row in rows) for who, row in zip(found.person_ids, found.ids.tolist(), strict=True)] == [
        (ada.id, True), (ada.id, False), (bob.id, False), (bob.id, False)
    ]  # fmt: skip
    assert [store.remove_negatives_of(ada.id, said) for said in ((), {"event 7"}, {"event 1", "event 7"})] == [0, 0, 1]
    assert [one.source for who in (ada, bob) for one in store.list_negatives(who.id)] == [
        "event 2",
        *("event 1", "event 2"),
    ]
    assert [entry.action for entry in store.audit_entries(ada.id)][-1] == "negative_removed"
    assert store.remove_negatives_of(NOBODY, {"event 1"}) == 0


def test_its_picture_is_read_back_as_it_was(store: PersonStore) -> None:
    ada, bob = store.add_person("Ada"), store.add_person("Bob")
    kept = store.add_negative(ada.id, negative_of(unit(1)))
    assert store.negative_chip(ada.id, kept.id) == negative_of(unit(1)).jpeg
    with pytest.raises(NegativeNotFound):
        store.negative_chip(bob.id, kept.id)


def test_the_same_source_is_kept_once_and_gets_what_it_lacks(store: PersonStore) -> None:
    ada = store.add_person("Ada")
    one = store.add_negative(ada.id, negative_of(unit(1)))
    again = negative_of(unit(2))
    again = NewNegative(again.jpeg, again.landmarks, 0.1, again.source, (*again.templates, other_template(3)))
    assert store.add_negative(ada.id, again).id == one.id
    np.testing.assert_array_equal(store.negatives(SPACE).matrix, unit(1)[None])
    np.testing.assert_array_equal(store.negatives("other.1").matrix, unit(3, 32)[None])
    assert [entry.action for entry in store.audit_entries(ada.id)] == ["enrolled", "negative_added"]


def test_taken_back_it_is_gone_and_its_number_is_never_given_again(store: PersonStore) -> None:
    ada, bob = store.add_person("Ada"), store.add_person("Bob")
    kept = store.add_negative(ada.id, negative_of(unit(1)))
    marks = {store.negative_mark(SPACE)}
    for who, number in ((bob.id, kept.id), (ada.id, kept.id + 1), (ada.id, -1)):
        with pytest.raises(NegativeNotFound, match="people show"):
            store.remove_negative(who, number)
    with pytest.raises(PersonNotFound):
        store.remove_negative(NOBODY, kept.id)
    assert store.remove_negative(ada.id, kept.id)
    assert (store.list_negatives(ada.id), len(store.negatives(SPACE)), store.count_negatives()) == ([], 0, 0)
    marks.add(store.negative_mark(SPACE))
    assert store.add_negative(ada.id, negative_of(unit(1))).id == kept.id + 1
    marks.add(store.negative_mark(SPACE))
    assert len(marks) == 3
    assert store.audit_entries(ada.id)[-2].details == {"negative": kept.id}
    assert store.audit_broken() is None


def test_what_can_not_be_kept_leaves_nothing(store: PersonStore) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1), 1)])
    with pytest.raises(PersonNotFound):
        store.add_negative(NOBODY, negative_of(unit(1)))
    with pytest.raises(EmbeddingSpaceMismatch):
        store.add_negative(ada.id, negative_of(unit(1, 32)))
    store.add_negative(ada.id, negative_of(unit(1, 32), space="small.1", number=1))
    with pytest.raises(EmbeddingSpaceMismatch):
        store.add_photos(ada.id, [photo_of(unit(2), 2, "small.1")])
    assert (store.count_negatives(), len(store.negatives(SPACE)), store.find("Ada").photos) == (1, 0, 1)


def test_without_chips_none_is_kept_and_other_models_get_none(tmp_path: Path, keys: KeySource | None) -> None:
    with PersonStore(tmp_path / "gallery.db", keys, keep_chips=False) as store:
        ada = store.add_person("Ada")
        store.add_negative(ada.id, negative_of(unit(1)))
        assert store._rows("SELECT chip FROM negatives") == [(None,)]
        assert store.count_negatives_without_template("other.1") == 0


def test_another_model_gets_its_templates_of_the_chips(store: PersonStore) -> None:
    ada = store.add_person("Ada")
    made = [negative_of(unit(number), number=number) for number in range(3)]
    ids = [store.add_negative(ada.id, negative).id for negative in made]
    assert store.count_negatives_without_template("other.1") == 3
    for seen, negative in zip(store.negatives_without_template("other.1"), made, strict=True):
        assert seen.chip is not None
        np.testing.assert_array_equal(seen.landmarks, negative.landmarks)
        assert store.add_negative_template(seen.id, "other.1", "by", unit(seen.id, 32))
    assert not store.add_negative_template(ids[0], "other.1", "by", unit(0, 32)), "it has one"
    store.remove_negative(ada.id, ids[1])
    assert not store.add_negative_template(ids[1], "third.1", "by", unit(0, 32)), "it is gone"
    np.testing.assert_array_equal(store.negatives("other.1").matrix, np.stack([unit(ids[0], 32), unit(ids[2], 32)]))
    assert store.list_negatives(ada.id)[0].spaces == ("other.1", SPACE)


@pytest.mark.parametrize("to", ["another key", "plain", "and back"])
def test_they_go_with_a_rekey(tmp_path: Path, to: str) -> None:
    keys = KeySource(tmp_path / "keys")
    with PersonStore(tmp_path / "gallery.db", keys) as store:
        ada = store.add_person("Ada", [photo_of(unit(1), 1)])
        store.add_negative(ada.id, negative_of(unit(2), unit(3)))
        if to == "another key":
            keys.file.write_text((master := MasterKey.new()).to_text())
            store.rekey(master)
        else:
            former = keys.find(store.key_id or "")
            store.rekey(None)
            if to == "and back":
                store.rekey(former)
        np.testing.assert_array_equal(store.negatives(SPACE).matrix, np.stack([unit(2), unit(3)]))
        (seen,) = store.negatives_without_template("other.1")
        assert seen.chip is not None
        store.check_people()


def test_nothing_of_them_is_in_clear(tmp_path: Path) -> None:
    negative = negative_of(unit(2), number=7)
    assert negative.jpeg is not None
    with PersonStore(tmp_path / "data" / "gallery.db", KeySource(tmp_path / "keys")) as store:
        ada = store.add_person("Ada", [photo_of(unit(1), 1)])
        store.add_negative(ada.id, negative)
        for secret in (unit(2).tobytes()[:48], negative.jpeg[2000:2048], negative.landmarks.tobytes()):
            assert secret not in all_bytes(tmp_path / "data")


def changed(path: Path, table: str, column: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            f"UPDATE {table} SET {column} = CAST(substr({column}, 1, 20) || x'00ff' || substr({column}, 23) AS BLOB)"
        )
    db.close()


@pytest.mark.parametrize("column", ["embedding", "chip", "landmarks"])
def test_one_whose_bytes_were_changed_is_left_out_and_told_and_no_backup_is_made(tmp_path: Path, column: str) -> None:
    path, keys = tmp_path / "gallery.db", KeySource(tmp_path / "keys")
    with PersonStore(path, keys) as store:
        ada, bob = store.add_person("Ada", [photo_of(unit(1), 1)]), store.add_person("Bob", [photo_of(unit(4), 4)])
        store.add_negative(ada.id, negative_of(unit(2)))
    changed(path, "negative_templates" if column == "embedding" else "negatives", column)
    with PersonStore(path, keys) as store:
        assert len(store.negatives(SPACE)) == (0 if column == "embedding" else 1)
        if column == "embedding":
            assert list(store.unreadable) == [ada.id]
            with pytest.raises(GallerySealBroken, match="template of somebody who is not"):
                store.check_people()
        assert len(store.templates(SPACE)) == 2
        assert store.forget(bob.id, thresholds={SPACE: 0.1})
        with pytest.raises(GallerySealBroken, match=ada.id):
            back_up(store, tmp_path / "backup.db")


def test_a_backup_brings_them_back_under_numbers_that_were_never_given(tmp_path: Path, keys: KeySource | None) -> None:
    path = tmp_path / "data" / "gallery.db"
    with PersonStore(path, keys) as store:
        ada, bob = store.add_person("Ada", [photo_of(unit(1), 1)]), store.add_person("Bob")
        kept = store.add_negative(ada.id, negative_of(unit(2), unit(3)))
        store.add_negative(bob.id, negative_of(unit(5)))
        back_up(store, tmp_path / "backup.db")
        store.remove_negative(ada.id, kept.id)
        store.forget(bob.id)
    with BackupCopy(tmp_path / "backup.db", keys) as copy:
        restore(path, copy, keys, encrypt=keys is not None, actor="me")
    with PersonStore(path, keys) as store:
        (again,) = store.list_negatives(ada.id)
        assert again.id > kept.id
        assert (again.source, again.created_at) == (kept.source, kept.created_at)
        assert store.negatives(SPACE).person_ids == (ada.id, ada.id)
        np.testing.assert_array_equal(store.negatives(SPACE).matrix, np.stack([unit(2), unit(3)]))
        assert store.count_negatives() == 1, "Bob was forgotten, and what is not him with him"


@pytest.mark.parametrize(("cosine", "goes"), [(0.9, True), (0.51, True), (0.49, False), (-0.5, False)])
def test_who_is_forgotten_goes_from_the_negatives_of_others(
    store: PersonStore, tmp_path: Path, cosine: float, goes: bool
) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1), 1)])
    bob = store.add_person("Bob", [photo_of(unit(2), 2), photo_of(unit(3), 3)])
    face = near(unit(3), cosine)
    store.add_negative(ada.id, negative_of(unit(20), face, number=1))
    store.add_negative(ada.id, negative_of(unit(21), number=2))
    store.add_negative(bob.id, negative_of(unit(1), number=3))
    store.forget(bob.id, thresholds={SPACE: 0.5, "unknown.1": 0.1})
    assert [kept.source for kept in store.list_negatives(ada.id)] == [*([] if goes else ["event 1"]), "event 2"]
    assert store.count_negatives() == (1 if goes else 2)
    (entry,) = [one for one in store.audit_entries(bob.id) if one.action == "forgotten"]
    assert entry.details == ({"negatives_of_others": 1} if goes else {})
    assert store.tables_with({bob.id}) == []


def test_a_space_without_a_threshold_says_nothing(store: PersonStore) -> None:
    ada, bob = store.add_person("Ada"), store.add_person("Bob", [photo_of(unit(2), 2)])
    store.add_negative(ada.id, negative_of(unit(2)))
    store.forget(bob.id, thresholds={"other.1": 0.1})
    assert store.count_negatives() == 1


def test_a_photo_that_is_enrolled_after_all_is_no_negative_any_more(store: PersonStore) -> None:
    ada, bob = store.add_person("Ada"), store.add_person("Bob")
    photo = photo_of(unit(1), 1)
    for person in (ada, bob):
        store.add_negative(person.id, negative_of(unit(1), source=f"photo {photo.digest}"))
    store.add_photos(ada.id, [photo])
    assert (store.list_negatives(ada.id), len(store.list_negatives(bob.id))) == ([], 1)


def test_all_of_several_are_kept_or_taken_back_or_none(store: PersonStore) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1), 1)])
    with pytest.raises(EmbeddingSpaceMismatch):
        store.add_negatives(ada.id, [negative_of(unit(2), number=1), negative_of(unit(3, 32), number=2)])
    assert store.count_negatives() == 0
    kept = store.add_negatives(ada.id, [negative_of(unit(n), number=n) for n in (2, 3)])
    assert [one.source for one in kept] == ["event 2", "event 3"]
    with pytest.raises(NegativeNotFound):
        store.remove_negatives(ada.id, [kept[0].id, 99])
    assert store.count_negatives(ada.id) == 2
    assert store.remove_negatives(ada.id, [one.id for one in kept])
    assert store.count_negatives(ada.id) == 0


def test_what_was_seen_in_visits_that_are_erased_goes_whoever_it_is_not(store: PersonStore) -> None:
    ada, bob = store.add_person("Ada"), store.add_person("Bob")
    for person in (ada, bob):
        store.add_negatives(person.id, [negative_of(unit(n), number=n) for n in range(3)])
    assert store.drop_negatives(["event 1", "event 2", "event 77"]) == 4
    assert [kept.source for kept in store.list_negatives(bob.id)] == ["event 0"]
    assert store.audit_entries(ada.id)[-1].details == {"why": "visit erased"}
    assert store.drop_negatives([]) == 0


@pytest.mark.parametrize("whose", ["hers", "his"])
def test_sizes_that_differ_as_in_galleries_of_before_stop_nobody_from_being_forgotten(
    tmp_path: Path, whose: str
) -> None:
    """Two models of one space: a template, or a negative, of 32 numbers among those of 64."""
    path = tmp_path / "gallery.db"
    with PersonStore(path) as store:
        ada = store.add_person("Ada", [photo_of(unit(1), 1)])
        bob = store.add_person("Bob", [photo_of(unit(2), 2), photo_of(unit(3), 3)])
        store.add_negative(ada.id, negative_of(unit(2), number=1))
        store.add_negative(ada.id, negative_of(unit(9), number=2))
    table, number = ("negative_templates", 2) if whose == "hers" else ("templates", 3)
    with closing(sqlite3.connect(path)) as db, db:
        small = b"\0" + unit(3, 32).tobytes()
        db.execute(f"UPDATE {table} SET embedding = ?, dim = 32 WHERE id = ?", (small, number))
    db.close()
    with PersonStore(path) as store:
        assert len(store.negatives(SPACE)) == (1 if whose == "hers" else 2)
        assert list(store.unreadable) == ([ada.id] if whose == "hers" else [])
        store.forget(bob.id, thresholds={SPACE: 0.5})
        assert [kept.source for kept in store.list_negatives(ada.id)] == ["event 2"]
