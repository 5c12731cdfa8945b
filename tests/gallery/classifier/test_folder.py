import os
from contextlib import suppress

import pytest

from gallery.classifier import folder as files_of
from gallery.classifier.errors import ClassifierDamaged, ClassifierMissing, ClassifierStale
from gallery.classifier.folder import FILES, STALE, make_stale, people_of, read, stamp, write
from gallery.errors import TargetUnwritable


def run(number: int) -> dict[str, bytes]:
    return {name: f'{{"0": "p{number}"}}'.encode() for name in FILES}


class Killed(Exception):
    pass


def test_a_new_run_takes_the_place_of_the_one_before(tmp_path):
    out = tmp_path / "a" / "b"
    for number in range(3):
        write(out, run(number))
        assert read(out) == run(number)
        assert sorted(os.listdir(out)) == sorted(FILES)
    assert {(out / name).stat().st_mode & 0o777 for name in FILES} == {0o600}


def test_other_files_of_the_folder_stay(tmp_path):
    (tmp_path / "specs").mkdir()
    (tmp_path / "README.md").write_text("mine")
    write(tmp_path, run(1))

    assert (tmp_path / "README.md").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == sorted([*FILES, "README.md", "specs"])


@pytest.mark.parametrize("call", ["fsync", "replace", "rename"])
def test_killed_anywhere_all_is_of_one_run(tmp_path, monkeypatch, call):
    """At each call that writes, one after the other, until one run has no more of them."""
    real, died = getattr(os, call), True
    at = 0
    while died:
        out = tmp_path / f"{call}-{at}"
        write(out, run(1))
        left, died = at, False

        def dies(*given: object, **named: object) -> object:
            nonlocal left, died
            left -= 1
            if left < 0:
                died = True
                raise Killed
            return real(*given, **named)

        monkeypatch.setattr(os, call, dies)
        with suppress(Killed):
            write(out, run(2))
        monkeypatch.setattr(os, call, real)
        assert read(out) in (run(1), run(2)), at
        write(out, run(3))
        assert read(out) == run(3)
        at += 1
    assert at > 1


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path, name):
    write(tmp_path, run(1))
    (tmp_path / name).unlink()
    with pytest.raises(ClassifierMissing, match=name):
        read(tmp_path)


def test_a_folder_that_can_not_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(TargetUnwritable, match="can't be written"):
        write(tmp_path / "file", run(1))
    with pytest.raises(TargetUnwritable):
        write(tmp_path / "file" / "below", run(1))
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path, run(1))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TargetUnwritable, match="No space left"):
        write(tmp_path, run(2))
    monkeypatch.undo()
    assert read(tmp_path) == run(1)
    assert sorted(os.listdir(tmp_path)) == sorted(FILES)


def test_a_stale_one_is_refused_and_its_faces_are_gone_until_trained_anew(tmp_path):
    write(tmp_path, run(1))
    before = stamp(tmp_path)
    make_stale(tmp_path)

    assert sorted(os.listdir(tmp_path)) == sorted({*FILES, STALE} - {"classifier.pkl", "person_id_mapping.json"})
    assert stamp(tmp_path) != before
    for look in (read, people_of):
        with pytest.raises(ClassifierStale, match="whosthere train"):
            look(tmp_path)
    write(tmp_path, run(2))
    assert read(tmp_path) == run(2)
    assert people_of(tmp_path) == {"p2"}


def test_a_run_that_waits_for_its_place_goes_stale_too(tmp_path, monkeypatch):
    write(tmp_path, run(1))
    monkeypatch.setattr(files_of, "_settle", lambda folder: None)
    write(tmp_path, run(2))
    monkeypatch.undo()
    assert read(tmp_path) == run(2)
    make_stale(tmp_path)
    with pytest.raises(ClassifierStale):
        read(tmp_path)


def test_what_a_killed_training_has_left_goes_with_who_is_forgotten(tmp_path):
    write(tmp_path, run(1))
    left = [tmp_path / ".classifier-0a.new", tmp_path / ".classifier-0b.old"]
    for draft in left:
        draft.mkdir()
        (draft / "classifier.pkl").write_bytes(b"faces")
    write(tmp_path, run(2))
    assert all(draft.exists() for draft in left), "it may be another's that trains just now"
    make_stale(tmp_path)
    assert not any(draft.exists() for draft in left)


def test_people_who_can_not_be_read_are_told(tmp_path):
    for content in (b"[]", b"rubbish", b""):
        write(tmp_path, run(1) | {"person_id_mapping.json": content})
        with pytest.raises(ClassifierDamaged):
            people_of(tmp_path)
