"""A file is replaced whole or not at all, and nothing is left beside it."""

import errno
import os

import pytest

from recognition.whole_file import HeldByAnother, creating, creating_unseen, held_alone, replacing


def test_it_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("old, and longer")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old, and longer", "until it is whole"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [OSError("no room"), KeyboardInterrupt()])
def test_what_failed_half_way_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def fail_half_way() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_others_may_read_it_where_that_is_meant(tmp_path):
    with replacing(tmp_path / "file", mode=0o666) as file:
        file.write(b"for all")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("links", [True, False])
def test_what_lies_where_it_is_written_is_left_alone(tmp_path, links):
    """A link that somebody put there is not followed: root may be the one who writes."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (f".file.{os.getpid()}.part", "file.lock"):
        (folder / name).symlink_to(precious) if links else (folder / name).write_text("left over")
    with replacing(folder / "file") as file:
        file.write(b"new")
    assert precious.read_text() == "precious"
    assert (folder / "file").read_bytes() == b"new"
    if links:
        with pytest.raises(OSError, match="symbolic links"), held_alone(folder / "file"):
            pass
    assert precious.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_what_root_writes_is_the_folders_owners(tmp_path, mode):
    os.chown(tmp_path, 12345, 54321)
    with held_alone(tmp_path / "file"), replacing(tmp_path / "file", mode=mode) as file:
        file.write(b"new")
    assert {(found.stat().st_uid, found.stat().st_gid) for found in tmp_path.iterdir()} == {(12345, 54321)}


def test_one_at_a_time(tmp_path):
    path = tmp_path / "file"
    with held_alone(path):
        with pytest.raises(HeldByAnother), held_alone(path, within_s=0.0):
            pass
        with held_alone(tmp_path / "other", within_s=0.0):
            pass
    with held_alone(path, within_s=0.0):
        pass
    with pytest.raises(FileNotFoundError), held_alone(tmp_path / "gone" / "file"):
        pass


@pytest.mark.parametrize("how", [creating, creating_unseen])
def test_a_new_file_is_there_whole_or_not_at_all(tmp_path, how):
    path = tmp_path / "file"
    with how(path) as draft:
        draft.write_bytes(b"whole")
        assert not path.exists(), "until it is whole"
        assert len(os.listdir(tmp_path)) == (how is creating), "a link needs the same file system"
    assert path.read_bytes() == b"whole"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("how", [creating, creating_unseen])
@pytest.mark.parametrize("error", [OSError("no room"), KeyboardInterrupt()])
def test_a_new_file_that_failed_half_way_leaves_nothing(tmp_path, how, error):
    def fail_half_way() -> None:
        with how(tmp_path / "file") as draft:
            draft.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        fail_half_way()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("how", [creating, creating_unseen])
@pytest.mark.parametrize("kind", ["file", "folder", "link to nowhere", "comes meanwhile"])
def test_a_new_file_takes_nobodys_place(tmp_path, how, kind):
    path = tmp_path / "file"
    if kind == "folder":
        path.mkdir()
    elif kind == "link to nowhere":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "file":
        path.write_text("theirs")

    def create() -> None:
        with how(path) as draft:
            draft.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(FileExistsError):
        create()
    assert os.listdir(tmp_path) == ["file"]
    if path.is_file():
        assert path.read_text() == "theirs"


def test_where_every_file_has_a_name_a_new_one_has_one_meanwhile(tmp_path, monkeypatch):
    opened = os.open

    def as_there(path, flags, mode=0o777, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return opened(path, flags, mode, **options)

    monkeypatch.setattr(os, "open", as_there)
    with creating_unseen(tmp_path / "file") as draft:
        draft.write_bytes(b"whole")
        assert os.listdir(tmp_path) == [draft.name]
    assert (tmp_path / "file").read_bytes() == b"whole"
    with pytest.raises(FileNotFoundError), creating_unseen(tmp_path / "gone" / "file"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_new_file_of_roots_is_the_folders_owners(tmp_path):
    os.chown(tmp_path, 12345, 54321)
    for number, how in enumerate((creating, creating_unseen)):
        with how(tmp_path / f"{number}"):
            pass
    assert {(found.stat().st_uid, found.stat().st_gid) for found in tmp_path.iterdir()} == {(12345, 54321)}


def test_what_a_killed_process_has_left_of_a_new_file_goes_after_an_hour(tmp_path):
    old, fresh, other = (tmp_path / name for name in (".file.00.new", ".file.01.new", ".file2.02.new"))
    for left in (old, fresh, other):
        left.write_text("somebody's face")
    for left in (old, other):
        os.utime(left, (0, 0))
    with creating(tmp_path / "file"):
        pass
    assert sorted(os.listdir(tmp_path)) == [".file.01.new", ".file2.02.new", "file"]
