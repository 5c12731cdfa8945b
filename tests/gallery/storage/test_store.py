import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gallery.errors import (
    ExternalIdTaken,
    GalleryError,
    NameInvalid,
    NameTaken,
    PersonAmbiguous,
    PersonNotFound,
    PhotoNotFound,
    ThresholdInvalid,
)
from gallery.keys.master_key import KeySource
from gallery.keys.vault import template_place
from gallery.people import Consent, NewPhoto, NewTemplate, OwnThreshold, Profile, Templates
from gallery.storage.store import PersonStore
from gallery.storage.vacuum import empty_log
from recognition.errors import EmbeddingSpaceMismatch
from tests.conftest import PROJECT
from tests.gallery.fakes import DIM, SIGNATURE, SPACE, called, namesakes, other_template, photo_of, unit


def test_people_with_their_photos_and_templates_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "gallery.db"
    with PersonStore(path) as store:
        ada = store.add_person(" Ada ", [photo_of(unit(1), 1), photo_of(unit(2), 2)])
        store.add_person("Bob")
    with PersonStore(path) as store:
        again, bob = store.people()
        templates = store.templates(SPACE)
    assert again == ada
    assert (ada.name, ada.photos, dict(ada.templates)) == ("Ada", 2, {SPACE: 2})
    assert (bob.name, bob.photos, dict(bob.templates)) == ("Bob", 0, {})
    assert templates.person_ids == (ada.id, ada.id)
    np.testing.assert_array_equal(templates.matrix, np.stack([unit(1), unit(2)]))


def test_an_empty_space_has_no_templates(store: PersonStore) -> None:
    store.add_person("Ada", [photo_of(unit(1))])
    assert len(store.templates("another.1")) == 0
    assert store.template_stamps("another.1").ids.tolist() == []


def test_templates_after_an_id(store: PersonStore) -> None:
    store.add_person("Ada", [photo_of(unit(1), 1), photo_of(unit(2), 2), photo_of(unit(3), 3)])
    first, *rest = store.template_stamps(SPACE).ids.tolist()
    assert store.templates(SPACE, after_id=first).ids.tolist() == rest


def test_template_ids_are_never_given_again(store: PersonStore) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1))])
    gone = store.template_stamps(SPACE).ids.tolist()
    store.forget(ada.id)
    store.add_person("Bob", [photo_of(unit(2))])
    assert set(gone).isdisjoint(store.template_stamps(SPACE).ids.tolist())


def test_a_photo_given_twice_is_kept_once(store: PersonStore) -> None:
    photo = photo_of(unit(1))
    ada = store.add_person("Ada", [photo, photo])
    ada = store.add_photos(ada.id, [photo, photo_of(unit(2), 2)])
    assert (ada.photos, dict(ada.templates)) == (2, {SPACE: 2})
    assert store.digests(ada.id, SPACE) == {photo.digest, photo_of(unit(2), 2).digest}
    other = store.add_person("Bob", [photo])
    assert other.photos == 1


def test_a_photo_given_again_for_another_space_gets_its_template(store: PersonStore) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1), 1)])
    again = photo_of(unit(1), 1, space="other.1")
    ada = store.add_photos(ada.id, [again])
    assert (ada.photos, dict(ada.templates)) == (1, {SPACE: 1, "other.1": 1})


def test_a_photo_comes_with_templates_of_several_spaces(store: PersonStore) -> None:
    photos = [
        photo_of(unit(n), n, others=[other_template(10 + n, "other.1"), other_template(20, "third.1")]) for n in (1, 2)
    ]
    ada = store.add_person("Ada", photos)
    assert (ada.photos, dict(ada.templates)) == (2, {SPACE: 2, "other.1": 2, "third.1": 2})
    np.testing.assert_array_equal(store.templates(SPACE).matrix, np.stack([unit(1), unit(2)]))
    np.testing.assert_array_equal(store.templates("other.1").matrix, np.stack([unit(11, 32), unit(12, 32)]))
    assert _signatures(store) == {
        (photo, space): signature
        for photo in (1, 2)
        for space, signature in ((SPACE, SIGNATURE), ("other.1", "by-other.1"), ("third.1", "by-third.1"))
    }


def _signatures(store: PersonStore) -> dict[tuple[int, str], str]:
    """By photo and space."""
    return {
        (photo, space): made for photo, space, made in store._rows("SELECT photo_id, space, signature FROM templates")
    }


def test_a_photo_given_again_keeps_the_templates_that_it_has(store: PersonStore) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1))])
    again = photo_of(unit(1), others=[other_template(2)])
    object.__setattr__(again.templates[0], "embedding", unit(3))
    ada = store.add_photos(ada.id, [again])
    assert (ada.photos, dict(ada.templates)) == (1, {SPACE: 1, "other.1": 1})
    np.testing.assert_array_equal(store.templates(SPACE).matrix, unit(1)[None])


def test_an_embedding_of_another_size_leaves_no_trace(store: PersonStore) -> None:
    """One such row would make the whole space unreadable."""
    ada = store.add_person("Ada", [photo_of(unit(1), 1, others=[other_template(1)])])
    wrong = photo_of(unit(2), 2, others=[NewTemplate("other.1", SIGNATURE, unit(2, DIM))])
    for change in (
        lambda: store.add_photos(ada.id, [wrong]),
        lambda: store.add_person("Bob", [wrong]),
        lambda: store.add_template(1, "other.1", SIGNATURE, unit(2, DIM), 0.5),
    ):
        with pytest.raises(EmbeddingSpaceMismatch, match=r"other\.1 have 32 numbers, this model gives 64"):
            change()
    assert store.people() == [ada]
    np.testing.assert_array_equal(store.templates("other.1").matrix, unit(1, 32)[None])


def test_who_is_covered_has_a_template_of_one_photo_at_least(store: PersonStore) -> None:
    assert store.uncovered(SPACE) == 0
    store.add_person("without photos")
    store.add_person("Ada", [photo_of(unit(1), 1), photo_of(unit(1), 2)])
    bob = store.add_person("Bob", [photo_of(unit(2), 3, others=[other_template(2)])])
    assert (store.uncovered(SPACE), store.count_without_template(SPACE)) == (0, 0)
    assert (store.uncovered("other.1"), store.count_without_template("other.1")) == (1, 2)
    assert (store.uncovered("third.1"), store.count_without_template("third.1")) == (2, 3)
    first, _ = (photo.id for photo in store.photos_without_template("other.1"))
    store.add_template(first, "other.1", SIGNATURE, unit(1, 32), 0.5)
    assert (store.uncovered("other.1"), store.count_without_template("other.1")) == (0, 1)
    store.forget(bob.id)
    assert store.uncovered("third.1") == 1


def test_find_by_id_and_by_name(store: PersonStore) -> None:
    ada = store.add_person("Jos\u00e9")
    assert store.find(ada.id) == store.find("Jose\u0301 ") == ada
    assert store.name_of(ada.id) == "Jos\u00e9"
    assert store.name_of("p000000000000") is None


def test_somebody_unknown_gets_the_nearest_name_named(store: PersonStore) -> None:
    with pytest.raises(PersonNotFound, match="nobody is yet"):
        store.find("Ada")
    store.add_person("Ada Lovelace")
    store.add_person("Grace Hopper")
    for near in ("ada lovelase", "Ada", "LOVELACE"):
        with pytest.raises(PersonNotFound, match="did you mean 'Ada Lovelace'"):
            store.find(near)
    with pytest.raises(PersonNotFound, match="see whosthere people list"):
        store.find("Bob")


@pytest.mark.parametrize("typed", ["ada lovelace", " ADA   Lovelace", "AdaLovelace"])
def test_a_name_is_found_though_capitals_and_blanks_differ(store: PersonStore, typed: str) -> None:
    ada = store.add_person("Ada Lovelace")
    store.add_person("Grace Hopper")
    assert store.find(typed) == ada
    assert store.find(f" {ada.id.upper()} ") == ada


def test_a_name_that_several_have_but_for_capitals(store: PersonStore) -> None:
    """As a gallery of an earlier version may hold them."""
    ada, other = namesakes(store, "Ada")
    called(store, other.id, "ADA")
    assert (store.find("Ada").id, store.find("ADA").id) == (ada.id, other.id)
    with pytest.raises(PersonAmbiguous, match=rf"2 people are called 'ada'; .*{other.id} \(ADA\), {ada.id} \(Ada\)"):
        store.find("ada")


def test_a_shared_name_asks_for_the_id(store: PersonStore) -> None:
    one, two = namesakes(store, "Ada")
    with pytest.raises(PersonAmbiguous) as caught:
        store.find("Ada")
    assert one.id in str(caught.value)
    assert two.id in str(caught.value)
    assert store.find(two.id) == two


def test_rename_keeps_the_id(store: PersonStore) -> None:
    ada = store.add_person("Ada Byron", [photo_of(unit(1))])
    renamed = store.rename(ada.id, "Ada Lovelace")
    assert (renamed.id, renamed.name, renamed.photos) == (ada.id, "Ada Lovelace", 1)
    assert store.rename(ada.id, "ADA lovelace").name == "ADA lovelace"
    assert store.rename(ada.id, "Ada Lovelace").name == "Ada Lovelace"
    with pytest.raises(NameInvalid):
        store.rename(ada.id, "")
    assert store.name_of(ada.id) == "Ada Lovelace"


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("Ada Lovelace", "ada lovelace"),
        ("Ada Lovelace", " Ada  Love lace"),
        ("Jos\u00e9", "JOSE\u0301"),
        ("Stra\u00dfer", "STRASSER"),
    ],
)
def test_a_name_that_is_taken_is_nobody_else_s(store: PersonStore, taken: str, wanted: str) -> None:
    ada, bob = store.add_person(taken), store.add_person("Bob")
    for change in (
        lambda: store.add_person(wanted),
        lambda: store.rename(bob.id, wanted),
        lambda: store.check_free(wanted),
    ):
        with pytest.raises(NameTaken, match=ada.id):
            change()
    assert {person.name for person in store.people()} == {taken, "Bob"}
    store.check_free("Ada Byron")


def test_photos_one_by_one(store: PersonStore) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1), 1, others=[other_template(1)]), photo_of(unit(2), 2, quality=0.5)])
    bob = store.add_person("Bob", [photo_of(unit(3), 3)])
    first, second = store.photos(ada.id)
    assert (first.quality, second.quality, first.spaces, second.spaces) == (0.9, 0.5, ("other.1", SPACE), (SPACE,))
    assert first.digest == photo_of(unit(1), 1).digest
    assert first.added_at == pytest.approx(ada.created_at)
    version = store.data_version()
    for person_id, photo_id, error in (
        (bob.id, first.id, PhotoNotFound),
        (ada.id, 999, PhotoNotFound),
        ("p000000000000", first.id, PersonNotFound),
    ):
        with pytest.raises(error):
            store.remove_photo(person_id, photo_id)
    assert store.data_version() == version
    assert store.remove_photo(ada.id, first.id)
    assert store.photos(ada.id) == [second]
    assert store.find("Ada").templates == {SPACE: 1}
    store.remove_photo(ada.id, second.id)
    assert (store.photos(ada.id), store.find("Ada").photos) == ([], 0)
    assert len(store.photos(bob.id)) == 1
    assert store.photos("p000000000000") == []


def test_a_removed_photo_leaves_no_trace_on_the_disk(tmp_path: Path) -> None:
    kept, gone = photo_of(unit(1), 1), photo_of(unit(2), 2)
    with PersonStore(tmp_path / "gallery.db") as store:
        ada = store.add_person("Ada", [kept, gone])
        traces = [gone.templates[0].embedding.tobytes(), gone.digest.encode(), gone.landmarks.tobytes()]
        files = lambda: b"".join(file.read_bytes() for file in tmp_path.iterdir())  # noqa: E731 used twice
        assert all(trace in files() for trace in traces)
        assert store.remove_photo(ada.id, store.photos(ada.id)[1].id)
        assert not any(trace in files() for trace in traces)
        assert kept.digest.encode() in files()


def test_nobody_can_be_changed_who_is_not_there(store: PersonStore) -> None:
    missing = "p000000000000"
    for change in (
        lambda: store.rename(missing, "Ada"),
        lambda: store.forget(missing),
        lambda: store.add_photos(missing, [photo_of(unit(1))]),
    ):
        with pytest.raises(PersonNotFound):
            change()
    assert len(store.templates(SPACE)) == 0


def test_photos_are_all_or_nothing(store: PersonStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = store.add_person("Ada")
    broken = photo_of(unit(2), 2)
    object.__setattr__(broken, "quality", None)
    with pytest.raises(sqlite3.IntegrityError):
        store.add_photos(ada.id, [photo_of(unit(1), 1), broken])
    with pytest.raises(sqlite3.IntegrityError):
        store.add_person("Bob", [photo_of(unit(1), 1), broken])
    assert store.people() == [ada]


def test_forget_leaves_nothing_in_any_file(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    name = "Somebody Quite Unmistakable"
    photos = [photo_of(unit(seed), seed, others=[other_template(300 + seed)]) for seed in range(8)]
    with PersonStore(path) as service, PersonStore(path) as store:
        store.add_person("Ada", [photo_of(unit(100), 100)])
        person = store.add_person(name, photos)
        store.add_person("Bob", [photo_of(unit(101), 101)])
        store.add_template(1, "other.1", SIGNATURE, unit(200, 32), 0.5)
        chips = [row[0] for row in store._rows("SELECT chip FROM photos WHERE person_id = ?", person.id)]
        assert len(service.people()) == 3
        secrets = [name.encode(), b"somebodyquiteunmistakable"]
        for photo, chip in zip(photos, chips, strict=True):
            secrets += [
                photo.digest.encode(),
                *(
                    piece
                    for t in photo.templates
                    for piece in (t.embedding.tobytes()[:48], t.embedding.tobytes()[-48:])
                ),
            ]
            secrets += [chip[at : at + 64] for at in range(1024, len(chip) - 64, 4096)]
        before = _all_bytes(tmp_path)
        assert all(secret in before for secret in secrets)
        assert store.forget(person.id)
        left = _all_bytes(tmp_path)
        assert not [secret for secret in secrets if secret in left]
        assert [person.name for person in service.people()] == ["Ada", "Bob"]
        assert len(service.templates(SPACE)) == 2


def test_forget_says_when_a_reader_holds_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gallery.storage.database.empty_log", lambda db, *_: empty_log(db, within_s=0.05))
    path = tmp_path / "gallery.db"
    with PersonStore(path) as store:
        ada = store.add_person("Ada", [photo_of(unit(1))])
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM people").fetchall()
        assert not store.forget(ada.id)
        reader.close()
    assert b"Ada" not in _all_bytes(tmp_path)


def _all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def test_commits_of_this_store_change_the_data_version(store: PersonStore) -> None:
    seen = [store.data_version()]
    ada = store.add_person("Ada", [photo_of(unit(1))])
    seen.append(store.data_version())
    store.rename(ada.id, "Ada L")
    seen.append(store.data_version())
    store.forget(ada.id)
    seen.append(store.data_version())
    assert len(set(seen)) == 4
    store.people()
    assert store.data_version() == seen[-1]


def test_another_process_shows_in_the_data_version(store: PersonStore, tmp_path: Path) -> None:
    store.add_person("Ada")
    before = store.data_version()
    assert store.data_version() == before
    code = "import sys; from pathlib import Path; from gallery.storage.store import PersonStore\n"
    code += "from gallery.keys.master_key import KeySource\n"
    code += "keys = KeySource(Path(sys.argv[2])) if Path(sys.argv[2]).exists() else None\n"
    code += "with PersonStore(Path(sys.argv[1]), keys) as store: store.add_person('Bob')"
    subprocess.run(
        [sys.executable, "-c", code, str(store.path), str(tmp_path / "keys")], check=True, cwd=PROJECT, timeout=60
    )
    assert store.data_version() != before
    assert [person.name for person in store.people()] == ["Ada", "Bob"]


def test_threads_take_turns(store: PersonStore) -> None:
    failures: list[BaseException] = []

    def enrol(seed: int) -> None:
        try:
            for number in range(5):
                store.add_person(f"{seed}-{number}", [photo_of(unit(seed), number)])
                store.people()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=enrol, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(store.people()) == len(store.templates(SPACE)) == 20


def test_another_model_gets_its_templates_from_the_chips(store: PersonStore) -> None:
    photos = [photo_of(unit(seed), seed) for seed in range(40)]
    ada = store.add_person("Ada", photos[:35])
    store.add_person("Bob", photos[35:])
    seen = []
    for kept in store.photos_without_template("other.1"):
        original = photos[len(seen)]
        assert kept.chip is not None
        assert kept.chip.shape == original.chip.shape
        np.testing.assert_array_equal(kept.landmarks, original.landmarks)
        seen.append(kept.id)
        if kept.person_id == ada.id:
            assert store.add_template(kept.id, "other.1", SIGNATURE, unit(kept.id, 32), kept.quality)
    assert len(set(seen)) == 40
    assert len(list(store.photos_without_template("other.1"))) == 5
    assert list(store.photos_without_template(SPACE)) == []
    assert store.find("Ada").templates == {SPACE: 35, "other.1": 35}
    assert store.templates("other.1").matrix.shape == (35, 32)
    assert not store.add_template(10_000, "other.1", SIGNATURE, unit(1, 32), 0.5)


def test_a_new_template_of_a_photo_takes_a_new_id(store: PersonStore) -> None:
    store.add_person("Ada", [photo_of(unit(1))])
    (photo_id,) = (kept.id for kept in store.photos_without_template("none.1"))
    old = store.template_stamps(SPACE).ids.tolist()
    assert store.add_template(photo_id, SPACE, "another", unit(2), 0.5)
    assert store.template_stamps(SPACE).ids.tolist() != old
    np.testing.assert_array_equal(store.templates(SPACE).matrix, unit(2)[None])
    assert _signatures(store) == {(photo_id, SPACE): "another"}


def test_chips_survive_as_pictures(store: PersonStore) -> None:
    photo = photo_of(unit(1))
    photo.chip[:] = np.linspace(0, 255, 256, dtype=np.uint8)[:, None, None]
    store.add_person("Ada", [photo])
    (kept,) = store.photos_without_template("other.1")
    assert kept.chip is not None
    assert np.abs(kept.chip.astype(int) - photo.chip).max() <= 4


def test_templates_of_different_sizes_in_one_space_are_refused(store: PersonStore) -> None:
    ada = store.add_person("Ada", [photo_of(unit(1), 1), photo_of(unit(2), 2)])
    ((wrapped,),) = store._rows("SELECT template_key FROM people")
    short = store._vault.template_cipher(ada.id, wrapped).seal(b"\0\0\x80?", template_place(ada.id, SPACE))
    store._db.execute("UPDATE templates SET embedding = ? WHERE id = 1", (short,))
    with pytest.raises(EmbeddingSpaceMismatch):
        store.templates(SPACE)


def test_a_damaged_chip_is_none(store: PersonStore) -> None:
    store.add_person("Ada", [photo_of(unit(1), 1), photo_of(unit(2), 2)])
    store._db.execute("UPDATE photos SET chip = x'00' WHERE id = 1")
    damaged, sound = store.photos_without_template("other.1")
    assert (damaged.id, damaged.chip) == (1, None)
    assert sound.chip is not None


def test_all_that_is_said_of_a_person_is_kept(store: PersonStore) -> None:
    consent = Consent("Ada herself", 1.0, "the door", 2.0)
    ada = store.add_person(Profile(" Ada ", " E-1", (" staff ", "night", "staff"), OwnThreshold(SPACE, 0.5), consent))
    assert ada.profile == Profile("Ada", "E-1", ("night", "staff"), OwnThreshold(SPACE, 0.5), consent)
    assert store.find("E-1") == store.find("ada") == store.find(ada.id) == ada
    changed = store.change(ada.id, lambda who: replace(who, external_id=None, tags=(), consent=None))
    assert changed.profile == Profile("Ada", threshold=OwnThreshold(SPACE, 0.5))
    assert store.profiles() == {ada.id: changed.profile}
    with pytest.raises(PersonNotFound):
        store.find("E-1")
    bob = store.add_person(Profile("Bob", "E-1"))
    assert store.find("E-1") == bob


@pytest.mark.parametrize(
    ("profile", "error", "why"),
    [
        (Profile("Eve", "E-1"), ExternalIdTaken, "external id 'E-1' is that of Ada"),
        (Profile("ADA", "E-2"), NameTaken, "'Ada' is enrolled already"),
        (Profile("Eve", " "), NameInvalid, "external id is empty"),
        (Profile("Eve", "E\n2"), NameInvalid, "unprintable"),
        (Profile("Eve", tags=("x" * 101,)), NameInvalid, "the tag has 101 characters"),
        (Profile("Eve", threshold=OwnThreshold(SPACE, 1.5)), ThresholdInvalid, "from -1 to 1"),
        (Profile("Eve", threshold=OwnThreshold(SPACE, float("nan"))), ThresholdInvalid, "from -1 to 1"),
    ],
)
def test_what_can_not_be_said_of_a_person_changes_nothing(
    store: PersonStore, profile: Profile, error: type[GalleryError], why: str
) -> None:
    ada, bob = store.add_person(Profile("Ada", "E-1")), store.add_person("Bob")
    for refused in (lambda: store.add_person(profile), lambda: store.change(bob.id, lambda _: profile)):
        with pytest.raises(error, match=why):
            refused()
    assert store.people() == [ada, bob]


def test_a_photo_without_its_chip_has_its_template_all_the_same(store: PersonStore) -> None:
    photo = photo_of(unit(1))
    store.add_person("Ada", [NewPhoto(None, photo.landmarks, photo.digest, photo.templates, photo.quality)])
    assert store.find("Ada").templates == {SPACE: 1}
    assert (store.count_without_template("other.1"), list(store.photos_without_template("other.1"))) == (0, [])
    assert store.uncovered("other.1") == 1


def test_all_templates_are_opened_once(store: PersonStore, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = PersonStore.templates

    def templates(self: PersonStore, space: str, after_id: int = 0, most: int = -1) -> Templates:
        found = real(self, space, after_id, most)
        opened.append(len(found))
        return found

    monkeypatch.setattr(PersonStore, "templates", templates)

    def holds(*faces: int) -> bool:
        found = store.all_templates(SPACE)
        return np.array_equal(found.matrix.reshape(-1, DIM), np.reshape([unit(n) for n in faces], (-1, DIM)))

    assert holds()
    ada = store.add_person("Ada", [photo_of(unit(1), 1), photo_of(unit(2), 2)])
    assert holds(1, 2)
    assert holds(1, 2)
    bob = store.add_person("Bob", [photo_of(unit(3), 3)])
    assert holds(1, 2, 3)
    assert store.all_templates(SPACE).person_ids == (ada.id, ada.id, bob.id)
    assert opened == [0, 2, 1]
    store.forget(ada.id)
    assert holds(3)
    eve = store.add_person("Eve", [photo_of(unit(4), 4)])
    store.forget(bob.id)
    assert holds(4)
    assert store.all_templates(SPACE).person_ids == (eve.id,)
    assert len(store.all_templates("another.1")) == 0


def test_all_templates_follow_another_process(store: PersonStore, keys: KeySource | None) -> None:
    store.add_person("Ada", [photo_of(unit(1), 1)])
    assert len(store.all_templates(SPACE)) == 1
    with PersonStore(store.path, keys) as other:
        bob = other.add_person("Bob", [photo_of(unit(2), 2)])
        assert store.all_templates(SPACE).person_ids[1:] == (bob.id,)
        other.forget(bob.id)
        (ada,) = other.people()
        assert store.all_templates(SPACE).person_ids == (ada.id,)


def test_a_name_that_is_somebody_elses_external_id_names_neither(store: PersonStore) -> None:
    ada, bob = store.add_person(Profile("Ada", "77")), store.add_person("77")
    with pytest.raises(PersonAmbiguous, match="2 people are called '77'") as told:
        store.find("77")
    assert ada.id in str(told.value)
    assert store.find(bob.id) == bob
    assert store.rename(bob.id, "Bob").name == "Bob"
    assert store.find("77").id == ada.id
