"""Bytes of a gallery changed, by chance and on purpose: told in one line with the way out, and nobody gets another
one's name or face.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from gallery.errors import GallerySealBroken, GalleryUnreadable
from gallery.keys.encryption import MasterKey
from gallery.keys.master_key import KeySource
from gallery.people import NewPhoto, OwnThreshold, Profile
from gallery.storage.store import PersonStore
from recognition.errors import CodedError
from tests.gallery.fakes import SPACE, other_template, photo_of, unit

PAGE = 4096
HEAD = 100  # of the file, and about what a page says of itself
SEEDS = {"look_through": 200, "read_all": 150, "write_all": 50}
NAMES = ("Ada Lovelace", "Bob Marley", "Cleo Laine")
CODES = {
    "gallery_unreadable",
    "gallery_seal_broken",
    "gallery_too_new",
    "master_key_wrong",
    "person_not_found",
    "photo_not_found",
    "name_taken",
}
ENCRYPTED, PLAIN = "encrypted", "plain"


def small_photo(seed: int) -> NewPhoto:
    photo = photo_of(unit(seed), seed, others=[other_template(seed)])
    assert photo.chip is not None
    return replace(photo, chip=photo.chip[:48, :48])


class Gallery:
    """One that can be harmed again and again."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.path, self.keys, self.encrypted = folder / "gallery.db", KeySource(folder / "keys"), mode == ENCRYPTED
        with self.open() as store:
            for number, name in enumerate(NAMES):
                who = Profile(name, external_id=f"id-{number}", tags=("staff",), threshold=OwnThreshold(SPACE, 0.5))
                store.add_person(who, [small_photo(10 * number + n) for n in range(2)])
            self.profiles = dict(store.profiles())
            self.faces = self.faces_in(store)
        self.whole = self.path.read_bytes()

    def open(self) -> PersonStore:
        return PersonStore(self.path, self.keys, actor="ada", encrypt=self.encrypted)

    def faces_in(self, store: PersonStore) -> set[tuple[str, bytes]]:
        """Whose template is what, in both spaces."""
        found = [store.templates(space) for space in (SPACE, "other.1")]
        return {(who, row.tobytes()) for one in found for who, row in zip(one.person_ids, one.matrix, strict=True)}

    def put(self, content: bytes) -> None:
        for beside in self.path.parent.glob("gallery.db-*"):
            beside.unlink()
        self.path.write_bytes(content)

    def change(self, *statements: str) -> None:
        """By somebody who knows SQL and has no key."""
        self.put(self.whole)
        with closing(sqlite3.connect(self.path)) as db, db:
            for statement in statements:
                db.execute(statement)


@pytest.fixture(scope="module", params=[ENCRYPTED, PLAIN])
def gallery(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return Gallery(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return Gallery(tmp_path_factory.mktemp(ENCRYPTED), ENCRYPTED)


def harmed(whole: bytes, chance: random.Random) -> bytes:
    """Bits turned, a page emptied, two pages changed for one another, or the end cut off."""
    content = bytearray(whole)
    pages = len(content) // PAGE
    one, other = (chance.randrange(pages) * PAGE for _ in range(2))
    match chance.choice(("bits", "bits", "bits", "empty", "swap", "cut")):
        case "empty":
            content[one : one + PAGE] = bytes(PAGE)
        case "swap":
            content[one : one + PAGE] = whole[other : other + PAGE]
            content[other : other + PAGE] = whole[one : one + PAGE]
        case "cut":
            del content[chance.randrange(len(content)) :]
        case _:
            for _ in range(chance.choice((1, 1, 2, 8, 64))):
                content[one + chance.randrange(chance.choice((HEAD, PAGE)))] ^= 1 << chance.randrange(8)
    return bytes(content)


def read_all(gallery: Gallery) -> None:
    with gallery.open() as store:
        for person in store.people():
            if gallery.encrypted:
                assert person.profile == gallery.profiles[person.id], "somebody got other words than their own"
            store.photos(person.id)
            store.find(person.id)
        if gallery.encrypted:
            assert gallery.faces_in(store) <= gallery.faces, "somebody got another face than their own"
        else:
            for space in (SPACE, "other.1"):
                np.testing.assert_allclose(np.linalg.norm(store.templates(space).matrix, axis=1), 1, atol=0.01)
        for photo in store.photos_without_template("third.1"):
            assert photo.person_id in gallery.profiles or not gallery.encrypted
        store.forgotten()
        store.audit_entries()
        store.audit_broken()


def write_all(gallery: Gallery) -> None:
    with gallery.open() as store:
        store.add_person("Dora Maar", [small_photo(90)])
        store.rename(store.find("Ada Lovelace").id, "Ada Byron")
        store.add_photos(store.find("Cleo Laine").id, [small_photo(91)])
        for photo in store.photos(store.find("Cleo Laine").id)[:1]:
            store.remove_photo(store.find("Cleo Laine").id, photo.id)
        store.forget(store.find("Bob Marley").id)
        store.vacuum()


def look_through(gallery: Gallery) -> None:
    with gallery.open() as store:
        store.check()


def refusal(gallery: Gallery, do: Callable[[Gallery], None], seed: int) -> CodedError | None:
    try:
        do(gallery)
    except CodedError as error:
        return error
    except Exception as error:
        raise AssertionError(f"seed {seed}") from error
    return None


@pytest.mark.parametrize("do", [look_through, read_all, write_all], ids=lambda do: do.__name__)
def test_whatever_was_changed_is_told_in_one_line(gallery: Gallery, do: Callable[[Gallery], None]) -> None:
    told: Counter[str] = Counter()
    seeds = SEEDS[do.__name__]
    for seed in range(seeds):
        gallery.put(harmed(gallery.whole, random.Random(seed)))
        error = refusal(gallery, do, seed)
        if error is None:
            continue
        told[error.code] += 1
        assert "\n" not in str(error), seed
        if error.code in ("gallery_unreadable", "gallery_seal_broken"):
            assert "restore" in str(error), seed
            assert not any(name in str(error) for name in NAMES), seed
    assert set(told) <= CODES
    assert told["gallery_unreadable"] > seeds / 10


def exchange(table: str, column: str, one: str, other: str) -> list[str]:
    """SQL by which two rows, told by a condition each, exchange what a column holds."""
    return [
        f"CREATE TABLE spare AS SELECT {column} AS held FROM {table} WHERE {one}",
        f"UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE {other}) WHERE {one}",
        f"UPDATE {table} SET {column} = (SELECT held FROM spare) WHERE {other}",
        "DROP TABLE spare",
    ]


ADA, BOB = "rowid = 1", "rowid = 2"
PROFILE_KEYS = exchange("people", "profile_key", ADA, BOB)
TEMPLATE_KEYS = exchange("people", "template_key", ADA, BOB)
MOVED = {
    "profiles": exchange("people", "profile", ADA, BOB),
    "profiles with their keys": [*exchange("people", "profile", ADA, BOB), *PROFILE_KEYS],
    "keys": PROFILE_KEYS,
    "one person's two keys": [
        "UPDATE people SET profile_key = template_key, template_key = profile_key WHERE rowid = 1"
    ],
    "no keys": ["UPDATE people SET profile_key = NULL, template_key = NULL WHERE rowid = 1"],
    "a profile in clear": [
        "UPDATE people SET profile = x'00' || CAST('{\"name\":\"Eve\"}' AS BLOB), profile_key = NULL WHERE rowid = 1"
    ],
}
MOVED_FACES = {
    "templates": exchange("templates", "embedding", "id = 1", "id = 5"),
    "templates with their keys": [*exchange("templates", "embedding", "id = 1", "id = 5"), *TEMPLATE_KEYS],
    "a template's owner": ["UPDATE templates SET person_id = (SELECT id FROM people WHERE rowid = 2) WHERE id = 1"],
    "a template's space": ["DELETE FROM templates WHERE id = 2", "UPDATE templates SET space = 'other.1' WHERE id = 1"],
    "a template in clear": [f"UPDATE templates SET embedding = x'00{unit(77).tobytes().hex()}' WHERE id = 1"],
    "a template that is a number": ["UPDATE templates SET embedding = 7 WHERE id = 1"],
}


@pytest.mark.parametrize("moved", MOVED)
def test_a_profile_that_was_moved_or_put_in_is_nobody_s(encrypted: Gallery, moved: str) -> None:
    encrypted.change(*MOVED[moved])
    with encrypted.open() as store:
        told = {person.id: person.profile for person in store.people()}
        assert len(told) < len(encrypted.profiles)
        assert told == {who: profile for who, profile in encrypted.profiles.items() if who in told}
        assert store.unreadable.keys() == encrypted.profiles.keys() - told.keys()
        with pytest.raises(GallerySealBroken, match=r"restore a backup .* or forget the person by this id"):
            store.rename(next(iter(encrypted.profiles)), "Eve")


@pytest.mark.parametrize("moved", MOVED_FACES)
def test_a_template_that_was_moved_or_put_in_is_nobody_s(encrypted: Gallery, moved: str) -> None:
    encrypted.change(*MOVED_FACES[moved])
    with encrypted.open() as store:
        assert encrypted.faces_in(store) < encrypted.faces
        with pytest.raises(GallerySealBroken, match="template"):
            store.check_people()


@pytest.mark.parametrize("column", ["chip", "landmarks"])
def test_a_photo_that_was_moved_is_no_picture_any_more(encrypted: Gallery, column: str) -> None:
    encrypted.change(*exchange("photos", column, "id = 1", "id = 3"))
    with encrypted.open() as store:
        damaged = [photo.id for photo in store.photos_without_template("third.1") if photo.chip is None]
    assert damaged == [1, 3]


@pytest.mark.parametrize("encrypt", [True, False])
def test_a_gallery_that_says_it_is_plain_and_is_not_is_left_as_it_is(encrypted: Gallery, encrypt: bool) -> None:
    encrypted.change("DELETE FROM meta WHERE key = 'key_id'")
    before = encrypted.path.read_bytes()
    with (
        pytest.raises(GallerySealBroken, match="restore a backup"),
        PersonStore(encrypted.path, encrypted.keys, encrypt=encrypt) as store,
    ):
        store.people()
    assert encrypted.path.read_bytes() == before


def test_a_gallery_that_names_another_key_is_left_as_it_is(encrypted: Gallery) -> None:
    other = MasterKey.new().id
    encrypted.change(f"UPDATE meta SET value = '{other}' WHERE key = 'key_id'")
    before = encrypted.path.read_bytes()
    with pytest.raises(CodedError, match=other) as caught:
        encrypted.open()
    assert caught.value.code == "master_key_wrong"
    assert encrypted.path.read_bytes() == before
    assert [file.name for file in encrypted.keys.folder.iterdir()] == ["master.key"]


def profile_with(threshold: object, until: object) -> bytes:
    consent = {"by": "Eve", "at": 1e9, "purpose": "the door", "expires_at": until}
    return orjson.dumps({"name": "Eve", "external_id": None, "tags": [], "threshold": threshold, "consent": consent})


@pytest.mark.parametrize(
    "harm",
    [
        b"x",
        b"{}",
        b'{"name": 7}',
        b'{"name": "Eve", "tags": 5}',
        b"\xff\xfe",
        profile_with("0.5", 2e9),
        profile_with(0.5, "never"),
        profile_with(0.5, [2e9]),
    ],
)
def test_a_profile_in_clear_that_is_none(tmp_path: Path, harm: bytes) -> None:
    gallery = Gallery(tmp_path, PLAIN)
    gallery.change(f"UPDATE people SET profile = x'00{harm.hex()}' WHERE rowid = 2")
    with gallery.open() as store:
        (bob,) = gallery.profiles.keys() - store.profiles().keys()
        assert store.unreadable == {bob: f"profile of {bob}"}
        assert len(store.people()) == 2


@pytest.mark.parametrize("harm", [b"", b"\x00" * 5, b"\x00" * 256, b"\xff" * 256, b"\x00\x00\xc0\x7f" * 64])
def test_a_template_in_clear_that_is_none(tmp_path: Path, harm: bytes) -> None:
    gallery = Gallery(tmp_path, PLAIN)
    gallery.change(f"UPDATE templates SET embedding = x'00{harm.hex()}' WHERE id = 1")
    with gallery.open() as store:
        assert store.templates(SPACE).ids.tolist() == [3, 5, 7, 9, 11]
        assert list(store.unreadable.values()) == [f"template of {min(store.unreadable)} in {SPACE}"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'eve' WHERE id = 2",
        "UPDATE audit SET details = x'ff' WHERE id = 2",
        "UPDATE audit SET details = 'no JSON' WHERE id = 2",
        "UPDATE audit SET at = 'then' WHERE id = 2",
        "DELETE FROM audit WHERE id = 2",
    ],
)
def test_an_audit_log_that_was_changed_is_read_and_told(encrypted: Gallery, statement: str) -> None:
    encrypted.change("DROP TRIGGER audit_is_not_changed", "DROP TRIGGER audit_is_not_cut", statement)
    with encrypted.open() as store:
        assert store.audit_broken() == 2
        assert len(store.audit_entries()) >= 3


@pytest.mark.parametrize("table", ["people", "photos", "templates", "audit", "meta", "forgotten"])
def test_a_gallery_without_one_of_its_tables(encrypted: Gallery, table: str) -> None:
    encrypted.change(f"ALTER TABLE {table} RENAME TO something")
    with pytest.raises(GalleryUnreadable, match=r"no such table\); restore"):
        write_all(encrypted)
