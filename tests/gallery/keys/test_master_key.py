"""Where the key comes from; one is made for what has none yet alone, and none is ever written over."""

import os
import sys
import threading
from pathlib import Path

import pytest

from gallery.errors import GalleryUnwritable, MasterKeyError, MasterKeyMissing, MasterKeyWrong
from gallery.keys import master_key
from gallery.keys.encryption import MasterKey
from gallery.keys.master_key import GivenKey, KeySource, from_command, in_file


@pytest.fixture
def source(tmp_path):
    return KeySource(tmp_path / "keys")


def given_of(key: MasterKey) -> GivenKey:
    return GivenKey("the test's", key.to_text)


def test_a_key_is_made_once_for_its_owner_alone(source, tmp_path):
    key = source.for_new_store(tmp_path)
    assert source.for_new_store(tmp_path) == source.find(key.id) == key
    assert source.file.stat().st_mode & 0o777 == 0o600
    assert source.folder.stat().st_mode & 0o777 == 0o700
    assert source.file.read_text() == key.to_text() + "\n"
    assert [file.name for file in source.folder.iterdir()] == ["master.key"]


def test_many_who_need_a_key_at_once_get_the_same(source, tmp_path):
    start, found = threading.Barrier(8), []

    def need() -> None:
        start.wait()
        found.append(source.for_new_store(tmp_path))

    threads = [threading.Thread(target=need) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [file.name for file in source.folder.iterdir()] == ["master.key"]


def test_where_links_can_t_be_made_nobody_is_written_over(source, tmp_path, monkeypatch):
    def no_links(self, target):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    key = source.for_new_store(tmp_path)
    assert source.find(key.id) == key
    assert source.file.stat().st_mode & 0o777 == 0o600


def test_finding_makes_nothing(source):
    with pytest.raises(MasterKeyMissing, match=r"master\.key is not there.*0123456789abcdef"):
        source.find("0123456789abcdef")
    assert not source.folder.exists()


def test_another_key_is_wrong_and_stays(source, tmp_path):
    other = source.for_new_store(tmp_path)
    before = source.file.read_bytes()
    with pytest.raises(MasterKeyWrong, match=f"holds master key {other.id}, .* under 0123456789abcdef"):
        source.find("0123456789abcdef")
    assert source.file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no key\n", b"QUJD\n", b"\xff" * 64, b"A" * 5000])
def test_a_file_that_holds_no_key_is_wrong_and_stays(source, tmp_path, content):
    source.folder.mkdir()
    source.file.write_bytes(content)
    for ask in (lambda: source.find("0123456789abcdef"), lambda: source.for_new_store(tmp_path)):
        with pytest.raises(MasterKeyWrong, match="holds none; want base64 of 32 bytes") as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert "QUJD" not in str(caught.value)
    assert source.file.read_bytes() == content


@pytest.mark.parametrize("obstacle", ["folder in its place", "file in the folder's place", "dangling link"])
def test_a_key_that_can_t_be_read_or_made_is_missing(source, tmp_path, obstacle):
    if obstacle == "folder in its place":
        source.file.mkdir(parents=True)
    elif obstacle == "dangling link":
        source.folder.mkdir()
        source.file.symlink_to(tmp_path / "away")
    else:
        source.folder.write_text("")
    making = GalleryUnwritable if source.folder.is_file() else MasterKeyMissing
    for error, ask in (
        (MasterKeyMissing, lambda: source.find("0123456789abcdef")),
        (making, lambda: source.for_new_store(tmp_path)),
    ):
        with pytest.raises(error) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_a_configured_key_is_used_and_none_is_made(source, tmp_path):
    key = MasterKey.new()
    configured = KeySource(source.folder, given_of(key))
    assert configured.for_new_store(tmp_path) == configured.find(key.id) == key
    assert not source.folder.exists()
    with pytest.raises(MasterKeyWrong, match="the test's holds master key"):
        configured.find("0123456789abcdef")


def test_a_file_and_its_lack(tmp_path):
    key, path = MasterKey.new(), tmp_path / "my.key"
    with pytest.raises(MasterKeyMissing, match=r"my\.key can't be read \(No such file"):
        in_file(path).key()
    path.write_text(key.to_text())
    assert in_file(path).key() == key


def test_a_command_prints_the_key():
    key = MasterKey.new()
    assert from_command([sys.executable, "-c", f"print('{key.to_text()}')"]).key() == key


@pytest.mark.parametrize(
    ("program", "error", "why"),
    [
        ("import sys; print('QUJD', file=sys.stderr); sys.exit(3)", MasterKeyMissing, "it ended with 3"),
        ("import time; time.sleep(60)", MasterKeyMissing, "it took more than 0.5 s"),
        ("print('QUJD')", MasterKeyWrong, "want base64 of 32 bytes"),
        ("pass", MasterKeyWrong, "want base64 of 32 bytes"),
    ],
)
def test_a_command_that_gives_none(program, error, why):
    with pytest.raises(error, match=why) as caught:
        from_command([sys.executable, "-c", program], limit_s=0.5).key()
    assert "QUJD" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_command_that_is_not_there():
    with pytest.raises(MasterKeyMissing, match="can't be run"):
        from_command(["/no/such/program"]).key()


def test_a_rotation_keeps_both_until_it_is_over(source, tmp_path):
    old = source.for_new_store(tmp_path)
    new = source.begin_rotation(tmp_path)
    assert new != old
    assert source.begin_rotation(tmp_path) == new, "cut off and begun again: the same"
    assert (source.find(old.id), source.find(new.id)) == (old, new)
    assert source.next_file.stat().st_mode & 0o777 == 0o600
    source.end_rotation(new)
    assert source.find(new.id) == new
    with pytest.raises(MasterKeyError):
        source.find(old.id)
    source.end_rotation(new)  # again, where it was cut off just after
    assert [file.name for file in source.folder.iterdir()] == ["master.key"]


def test_a_coming_key_and_one_in_the_folder_are_found_beside_the_configured_one(source, tmp_path):
    own, configured, coming = source.for_new_store(tmp_path), MasterKey.new(), MasterKey.new()
    every = KeySource(source.folder, given_of(configured), given_of(coming))
    assert [every.find(key.id) for key in (own, configured, coming)] == [own, configured, coming]
    assert every.begin_rotation(tmp_path) == coming
    assert not source.next_file.exists()


def test_what_comes_new_while_a_rotation_is_under_way_has_the_key_that_stays(source, tmp_path):
    source.for_new_store(tmp_path)
    coming = source.begin_rotation(tmp_path)
    assert source.for_new_store(tmp_path) == coming
    source.end_rotation(coming)
    assert source.for_new_store(tmp_path) == source.find(coming.id) == coming


@pytest.mark.parametrize("over", ["the former", "one of before", "none of ours"])
def test_a_rotation_that_another_has_begun_is_not_ended_by_the_one_before(source, tmp_path, over):
    former = source.for_new_store(tmp_path)
    first = source.begin_rotation(tmp_path)
    source.end_rotation(first)
    second = source.begin_rotation(tmp_path)
    source.end_rotation({"the former": former, "one of before": first, "none of ours": MasterKey.new()}[over])
    assert [source.find(key.id) for key in (first, second)] == [first, second]
    source.end_rotation(second)
    assert source.find(second.id) == second


@pytest.mark.parametrize("asks", ["find", "locate", "for_new_store"])
def test_a_rotation_that_ends_while_the_key_is_looked_for(source, tmp_path, monkeypatch, asks):
    source.for_new_store(tmp_path)
    coming = source.begin_rotation(tmp_path)
    read = master_key._read

    def ends_first(path: Path) -> str:
        monkeypatch.setattr(master_key, "_read", read)
        source.end_rotation(coming)
        return read(path)

    monkeypatch.setattr(master_key, "_read", ends_first)
    found = getattr(source, asks)(tmp_path if asks == "for_new_store" else coming.id)
    assert (found[1] if asks == "locate" else found) == coming


@pytest.mark.parametrize("name", ["master.key.0123abcd.draft", "master.key.new.0123abcd.draft"])
def test_what_a_killed_process_has_left_of_a_key_goes_after_an_hour(source, tmp_path, name):
    source.for_new_store(tmp_path)
    (source.folder / name).write_text("a key")
    source.remove_left_over()
    assert sorted(file.name for file in source.folder.iterdir()) == ["master.key", name]
    os.utime(source.folder / name, (0, 0))
    source.remove_left_over()
    assert [file.name for file in source.folder.iterdir()] == ["master.key"]
    KeySource(tmp_path / "nowhere").remove_left_over()
