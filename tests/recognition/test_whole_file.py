"""A file is replaced whole or not at all, and nothing is left beside it."""

import os

import pytest

from recognition.whole_file import replacing


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
