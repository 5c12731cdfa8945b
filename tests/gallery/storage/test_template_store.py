"""What is kept of photos, as it is shown: pictures, and templates without their numbers."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from gallery.errors import GallerySealBroken, PhotoNotFound
from gallery.storage.rows import jpeg
from gallery.storage.store import PersonStore
from tests.gallery.fakes import DIM, SIGNATURE, SPACE, other_template, photo_of, unit


def test_the_picture_of_a_photo_is_the_one_that_was_kept(store: PersonStore) -> None:
    photos = [photo_of(unit(number), number) for number in range(3)]
    ada = store.add_person("Ada", [*photos, replace(photo_of(unit(3), 3), chip=None)])
    *numbers, last = (photo.id for photo in store.photos(ada.id))
    for number, photo in zip(numbers, photos, strict=True):
        assert photo.chip is not None
        assert store.chip(ada.id, number) == jpeg(photo.chip)
    assert store.chip(ada.id, last) is None


@pytest.mark.parametrize(("who", "photo"), [("ada", 99), ("ada", -1), ("bob", 1), ("nobody", 1)])
def test_a_photo_that_is_not_the_persons(store: PersonStore, who: str, photo: int) -> None:
    ids = {"ada": store.add_person("Ada", [photo_of(unit(1))]).id, "bob": store.add_person("Bob").id}
    with pytest.raises(PhotoNotFound):
        store.chip(ids.get(who, "p000000000000"), photo)


def test_a_picture_whose_bytes_were_changed_is_told_of(store: PersonStore) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1))])
    (photo,) = store.photos(ada.id)
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute("UPDATE photos SET chip = zeroblob(length(chip))")
    if store.key_id is None:
        assert set(store.chip(ada.id, photo.id) or b"") == {0}  # no seal tells damage in a plain gallery
    else:
        with pytest.raises(GallerySealBroken):
            store.chip(ada.id, photo.id)


def test_what_is_known_of_templates(store: PersonStore) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1), 1), photo_of(unit(2), 2, others=[other_template(1)])])
    store.add_person("Bob", [photo_of(unit(3), 3)])
    first, second = store.photos(ada.id)
    store.add_template(first.id, "later.1", "made later", unit(4, 16), 0.5)
    kept = store.kept_templates(ada.id)
    assert [(one.photo_id, one.space, one.dim, one.signature, one.quality, one.source) for one in kept] == [
        (first.id, "later.1", 16, "made later", 0.5, "chip"),
        (first.id, SPACE, DIM, SIGNATURE, 0.9, "photo"),
        (second.id, "other.1", 32, "by-other.1", 0.9, "photo"),
        (second.id, SPACE, DIM, SIGNATURE, 0.9, "photo"),
    ]
    assert kept[1].created_at == first.added_at
    assert store.kept_templates("p000000000000") == []


@pytest.mark.parametrize("column", ["dim", "quality", "created_at"])
def test_a_row_of_rubbish_is_told_of(store: PersonStore, column: str) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1))])
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute(f"UPDATE templates SET {column} = x'ff'")
    with pytest.raises(GallerySealBroken):
        store.kept_templates(ada.id)
