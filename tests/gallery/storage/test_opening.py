import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gallery.errors import GalleryError, GalleryTooNew, GalleryUnreadable, GalleryUnwritable
from gallery.storage.schema import SCHEMA_VERSION
from gallery.storage.store import PersonStore
from tests.gallery.fakes import SPACE, photo_of, unit
from tests.gallery.storage.former_galleries import gallery_of_version, shape_of
from tests.small_disk import fill, small_disk


def _gallery(path: Path, people: int = 3) -> Path:
    with PersonStore(path) as store:
        for seed in range(people):
            store.add_person(f"person {seed}", [photo_of(unit(seed), seed)])
    return path


def test_only_the_owner_may_read_any_of_its_files(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        with PersonStore(tmp_path / "gallery.db") as store:
            store.add_person("Ada", [photo_of(unit(1))])
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    finally:
        os.umask(old_mask)
    assert modes == {"gallery.db": 0o600, "gallery.db-wal": 0o600, "gallery.db-shm": 0o600}


def test_a_loose_mode_is_tightened(tmp_path: Path) -> None:
    path = _gallery(tmp_path / "gallery.db")
    path.chmod(0o644)
    PersonStore(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_newer_gallery_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = _gallery(tmp_path / "gallery.db")
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(GalleryTooNew, match="schema 99"):
        PersonStore(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"x", b"these are no people at all\n" * 200, b"SQLite format 3\x00", b"\x00" * 8192]
)
def test_what_is_no_gallery_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gallery.db"
    path.write_bytes(content)
    with pytest.raises(GalleryUnreadable):
        PersonStore(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_a_gallery_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    path = _gallery(tmp_path / "gallery.db")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(GalleryUnreadable):
        PersonStore(path)


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE people (id TEXT)")
    db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(GalleryUnreadable, match="some other SQLite file"):
        PersonStore(path)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryUnreadable):
        PersonStore(tmp_path)


def test_a_folder_that_can_not_be_made_is_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GalleryUnwritable):
        PersonStore(tmp_path / "file" / "gallery.db")


def test_check_finds_damage_in_the_middle(tmp_path: Path) -> None:
    path = _gallery(tmp_path / "gallery.db", people=10)
    with PersonStore(path) as store:
        store.check()
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 8] = b"\xff" * (4096 * 6)
    path.write_bytes(content)
    with pytest.raises(GalleryUnreadable), PersonStore(path) as store:
        store.check()


def test_a_gallery_that_somebody_writes_for_too_long(tmp_path: Path) -> None:
    path = _gallery(tmp_path / "gallery.db")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with PersonStore(path) as store:
        store._db.execute("PRAGMA busy_timeout = 20")
        with pytest.raises(GalleryUnwritable, match="another process"):
            store.add_person("Ada")
        writer.close()
        store.add_person("Ada")


def test_many_may_open_a_gallery_that_is_not_there_yet(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    failures: list[BaseException] = []

    def open_and_add(number: int) -> None:
        start.wait()
        try:
            with PersonStore(tmp_path / "gallery.db") as store:
                store.add_person(f"person {number}")
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=open_and_add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with PersonStore(tmp_path / "gallery.db") as store:
        assert len(store.people()) == 8
    assert [file.name for file in tmp_path.iterdir()] == ["gallery.db"]


@pytest.mark.parametrize("people", [1, 3, 20])
def test_the_log_of_a_gallery_that_is_gone_is_not_laid_over_a_new_one(tmp_path: Path, people: int) -> None:
    path = tmp_path / "gallery.db"
    with PersonStore(path) as store:
        for number in range(people):
            store.add_person(f"Late {number}", [photo_of(unit(number), number)])
        left = {each: each.read_bytes() for each in tmp_path.iterdir() if each != path}
    path.unlink()
    for each, data in left.items():
        each.write_bytes(data)
    with PersonStore(path) as store:
        store.check()
        assert store.people() == []
        store.add_person("Ada", [photo_of(unit(1))])
    with PersonStore(path) as store:
        assert [person.name for person in store.people()] == ["Ada"]


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk(1) as folder:
        yield folder


def _enrol_until_refused(store: PersonStore) -> tuple[int, GalleryError]:
    for seed in range(100):
        try:
            store.add_person(f"person {seed}", [photo_of(unit(seed), seed), photo_of(unit(seed), seed + 1000)])
        except GalleryError as error:
            return seed, error
    pytest.fail("the disk never filled")


def _assert_whole(store: PersonStore, people: int) -> None:
    store.check()
    assert [person.photos for person in store.people()] == [2] * people
    assert len(store.templates(SPACE)) == 2 * people


def test_a_full_disk_leaves_nothing_half_written(disk: Path) -> None:
    path = disk / "gallery.db"
    filler = disk / "filler"
    filler.write_bytes(b"x" * 200_000)
    with PersonStore(path) as store:
        enrolled, error = _enrol_until_refused(store)
        assert enrolled > 0
        assert (error.code, error.retryable) == ("gallery_unwritable", True)
        assert "\n" not in str(error)
        _assert_whole(store, enrolled)
        filler.unlink()
        store.add_person("with room again", [photo_of(unit(500), 1), photo_of(unit(501), 2)])
        _assert_whole(store, enrolled + 1)
    with PersonStore(path) as store:
        _assert_whole(store, enrolled + 1)


def test_a_disk_that_is_full_from_the_start(disk: Path) -> None:
    filler = fill(disk)
    with pytest.raises(GalleryUnwritable):
        PersonStore(disk / "gallery.db")
    assert [file.name for file in disk.iterdir()] == [filler.name]
    filler.unlink()
    with PersonStore(disk / "gallery.db") as store:
        store.add_person("Ada")


def test_a_disk_that_turned_read_only(disk: Path) -> None:
    path = _gallery(disk / "gallery.db", people=2)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        with pytest.raises(GalleryUnwritable), PersonStore(path) as store:
            store.add_person("Ada")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    with PersonStore(path) as store:
        assert len(store.people()) == 2


def test_a_gallery_that_may_not_grow(tmp_path: Path) -> None:
    with PersonStore(tmp_path / "gallery.db") as store:
        store._db.execute("PRAGMA max_page_count = 200")
        enrolled, error = _enrol_until_refused(store)
        assert enrolled > 0
        assert error.code == "gallery_unwritable"
        _assert_whole(store, enrolled)


def test_a_gallery_of_version_1_on_a_full_disk_stays_as_it_is(disk: Path) -> None:
    path = gallery_of_version(1, disk / "gallery.db")
    before = shape_of(path)
    reader = sqlite3.connect(path, isolation_level=None)  # SQLite's own files are there: what fails is the change
    reader.execute("UPDATE people SET created_at = 2.0")
    hog = fill(disk)
    with pytest.raises(GalleryUnwritable, match="full"):
        PersonStore(path)
    reader.close()
    hog.unlink()
    assert shape_of(path) == before
    with PersonStore(path) as store:
        assert [person.created_at for person in store.people()] == [2.0] * 3
    assert shape_of(path)[0] == SCHEMA_VERSION


def test_a_gallery_of_version_1_on_a_read_only_disk_stays_as_it_is(disk: Path) -> None:
    path = gallery_of_version(1, disk / "gallery.db")
    before = shape_of(path)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        with pytest.raises(GalleryUnwritable):
            PersonStore(path)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert shape_of(path) == before
    PersonStore(path).close()
    assert shape_of(path)[0] == SCHEMA_VERSION


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_what_a_killed_process_has_left_of_a_gallery_goes_after_an_hour(tmp_path: Path, end: str) -> None:
    path = _gallery(tmp_path / "gallery.db")
    left, other = path.with_name(f"gallery.db.0123abcd.new{end}"), path.with_name("gallery.db.monday.new")
    for file in (left, other):
        file.write_text("somebody's face")
    PersonStore(path).close()
    assert left.exists(), "somebody may be making it"
    for file in (left, other):
        os.utime(file, (0, 0))
    PersonStore(path).close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["gallery.db", other.name]
