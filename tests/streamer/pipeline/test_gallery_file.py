"""What becomes of the gallery's file while it is served: said, and nobody gets another's name."""

import logging
import shutil
from pathlib import Path

import pytest

from gallery.errors import GalleryError, GalleryMissing, GalleryUnreadable, GalleryUnwritable
from gallery.storage.store import PersonStore
from streamer.pipeline import gallery_file
from streamer.pipeline.gallery_file import GalleryFile
from tests.gallery.fakes import photo_of, unit
from tests.small_disk import fill, small_disk


def gallery(path: Path, *names: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    with PersonStore(path) as store:
        for number, name in enumerate(names):
            store.add_person(name, [photo_of(unit(number))])
    return path


def names(file: GalleryFile) -> list[str]:
    return [person.name for person in file.store.people()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return gallery(tmp_path / "gallery.db", "Ada", "Bob")


def test_a_file_that_nobody_touches_or_that_is_written_is_the_same(path):
    file = GalleryFile(path)
    assert not file.look()
    gallery(path, "Eve")
    file.settle(3)
    assert not file.look()
    assert (file.trouble, names(file)) == (None, ["Ada", "Bob", "Eve"])
    file.close()


def test_deleted(path, tmp_path):
    file = GalleryFile(path)
    kept = shutil.copy(path, tmp_path / "kept.db")
    for other in tmp_path.glob("gallery.db*"):
        other.unlink()
    assert not file.look()
    with pytest.raises(GalleryMissing, match="is gone; put it back"):
        file.readable()
    assert not list(tmp_path.glob("gallery.db*"))
    Path(kept).rename(path)
    assert file.look()
    assert (file.trouble, names(file), file.was_replaced) == (None, ["Ada", "Bob"], True)
    file.close()


def test_an_empty_gallery_that_was_filled_meanwhile_is_not_taken_for_nobody(tmp_path):
    path = gallery(tmp_path / "gallery.db")
    file = GalleryFile(path)
    gallery(path, "Ada")
    file.settle(1)
    path.unlink()
    assert not file.look()
    gallery(path)
    assert not file.look()
    with pytest.raises(GalleryMissing, match="was replaced by an empty one"):
        file.readable()
    file.settle(0)  # nobody was enrolled: an empty one is as good as another
    assert file.look()
    file.close()


def test_moved_away_and_back(path, tmp_path):
    file = GalleryFile(path)
    path.rename(tmp_path / "away.db")
    assert not file.look()
    assert file.trouble is not None
    assert [file.name for file in tmp_path.iterdir()] == ["away.db"]
    (tmp_path / "away.db").rename(path)
    assert file.look()
    assert (file.trouble, names(file)) == (None, ["Ada", "Bob"])
    file.close()


@pytest.mark.parametrize("how", ["moved over it", "copied over it", "deleted before"])
def test_replaced(path, tmp_path, how):
    other = gallery(tmp_path / "other" / "gallery.db", "Eve")
    file = GalleryFile(path)
    file.settle(2)
    if how == "copied over it":
        shutil.copyfile(other, path)
    else:
        if how == "deleted before":
            for old in tmp_path.glob("gallery.db*"):
                old.unlink()
            assert not file.look()
        other.rename(path)
    assert file.look()
    assert (file.trouble, names(file)) == (None, ["Eve"])
    assert file.was_replaced == (how != "copied over it")
    assert not file.look()
    file.close()


@pytest.mark.parametrize("how", ["moved over it", "deleted before"])
def test_what_was_not_carried_over_yet_does_not_get_into_the_next_gallery(path, tmp_path, how):
    """The log lies beside it still; its pages are the old gallery's."""
    other = gallery(tmp_path / "other" / "gallery.db", "Eve")
    file = GalleryFile(path)
    gallery(path, *(f"person {number}" for number in range(50)))
    if how == "deleted before":
        path.unlink()
        assert not file.look()
    other.rename(path)
    assert file.look()
    assert names(file) == ["Eve"]
    gallery(path, "Grace")
    file.close()
    with PersonStore(path) as store:
        store.check()
        assert [person.name for person in store.people()] == ["Eve", "Grace"]


@pytest.mark.parametrize("instead", ["no database", "cut", "nothing", "empty gallery", "folder"])
def test_replaced_by_what_is_no_gallery(path, tmp_path, instead):
    file = GalleryFile(path)
    bad = tmp_path / "bad"
    if instead == "no database":
        bad.write_text("no database " * 1000)
    elif instead == "cut":
        bad.write_bytes(path.read_bytes()[: path.stat().st_size // 2 // 4096 * 4096])
    elif instead == "nothing":
        bad.touch()
    elif instead == "folder":
        path.unlink()
        bad.mkdir()
    else:
        gallery(bad)
    bad.rename(path)
    for _ in range(2):
        assert not file.look()
        assert file.trouble is not None
        assert file.trouble.code == ("gallery_missing" if instead == "empty gallery" else "gallery_unreadable")
        assert "\n" not in str(file.trouble)
        with pytest.raises(GalleryError):
            file.readable()
    if instead == "folder":
        path.rmdir()
    gallery(tmp_path / "other" / "gallery.db", "Eve").rename(path)
    assert file.look()
    assert (file.trouble, names(file)) == (None, ["Eve"])
    file.close()


def test_a_full_disk_at_the_start(caplog):
    with small_disk(1) as disk:
        path = gallery(disk / "gallery.db", "Ada", "Bob")
        hog = fill(disk)
        file = GalleryFile(path)
        assert (file.trouble and file.trouble.code, names(file)) == ("gallery_unwritable", ["Ada", "Bob"])
        (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert line.code == "gallery_unwritable"
        assert "2 people are served from memory" in line.message
        with pytest.raises(GalleryUnwritable, match="it is read-only"):
            file.store.add_person("Eve")
        for _ in range(2):
            file._retry_at_s = 0.0
            assert not file.look()
            assert names(file) == ["Ada", "Bob"]
            assert file.readable() is file.store
        hog.unlink()
        file._retry_at_s = 0.0
        assert file.look()
        assert (file.trouble, file.was_replaced, file.store.in_memory) == (None, False, False)
        file.store.add_person("Eve")
        assert names(file) == ["Ada", "Bob", "Eve"]
        file.close()


def test_a_full_disk_and_no_gallery_yet():
    with small_disk(1) as disk:
        fill(disk)
        file = GalleryFile(disk / "gallery.db")
        assert (file.trouble and file.trouble.code, names(file)) == ("gallery_unwritable", [])
        file.close()


def test_a_damaged_gallery_is_refused_at_the_start(path):
    path.write_text("no database")
    with pytest.raises(GalleryUnreadable):
        GalleryFile(path)


@pytest.mark.parametrize(("large_bytes", "is_carried"), [(0, False), (4096, False), (64 << 20, True)])
def test_a_large_log_is_left_to_who_wrote_it(path, monkeypatch, large_bytes, is_carried):
    """An erasure that writes the file anew empties its log, and does not wait for a service that carries it over."""
    monkeypatch.setattr(gallery_file, "_LARGE_LOG_BYTES", large_bytes)
    file = GalleryFile(path)
    size = path.stat().st_size
    gallery(path, *(f"Person {number}" for number in range(20)))
    file.settle(22)
    assert (path.stat().st_size > size) == is_carried
    assert len(names(file)) == 22
    assert not file.look()
    file.close()
