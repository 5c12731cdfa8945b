"""The limits on glibc's heaps; the gallery as commands and the service open it, and its key."""

import ctypes
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gallery.errors import GalleryInUse, MasterKeyMissing
from gallery.keys.encryption import MasterKey
from recognition.runtimes import onnx_session
from streamer import process
from streamer.process import key_source, only_one, open_gallery, readable_store_of, service_runs, store_of, this_user
from streamer.settings import Settings
from tests.conftest import PROJECT
from tests.gallery.fakes import photo_of, unit
from tests.gallery.storage.former_galleries import gallery_of_version
from tests.small_disk import fill, small_disk

PROGRAM = """
import ctypes, sys, threading
from streamer.process import limit_heaps
limited = limit_heaps() if sys.argv[1] == "limited" else False
def hold():
    ctypes.CDLL(None).malloc(100_000)
    ready.wait()
ready = threading.Barrier(9)
for _ in range(8):
    threading.Thread(target=hold).start()
ready.wait()
ctypes.CDLL(None).malloc_stats()
print(limited)
"""


def arenas(how: str) -> tuple[bool, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip() == "True", done.stderr.count("Arena ")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_threads_share_two_heaps():
    _, free = arenas("free")
    limited, few = arenas("limited")
    assert limited
    assert few <= 2 < free


def no_libc(name: None) -> object:
    raise OSError("dynamic loading not supported")


@pytest.mark.parametrize("opened", [lambda name: SimpleNamespace(), no_libc], ids=["musl", "static"])
def test_without_glibc_nothing_is_set_and_nothing_fails(monkeypatch, opened):
    monkeypatch.setattr(process.ctypes, "CDLL", opened)
    monkeypatch.setattr(onnx_session.ARENA, "let_go", lambda: True)
    assert not process.limit_heaps()
    process.let_go()


LARGE = """
import ctypes, sys
import numpy as np
from streamer.process import limit_heaps
limit_heaps()
class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
del (large := [np.ones(24 << 20, np.uint8)])[:]  # by which glibc learns to keep such pieces on its heaps
heap, apart = libc.mallinfo2().arena, libc.mallinfo2().hblkhd
planes = [np.ones(1920 * 1088 // 4, np.uint8) for _ in range(20)]
print(libc.mallinfo2().hblkhd - apart >= sum(map(len, planes)), libc.mallinfo2().arena - heap < len(planes[0]))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library is no glibc of 2.33 or later")
def test_planes_of_pictures_lie_apart_from_the_heap_unless_the_environment_says_otherwise():
    def told(**more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", LARGE],
            cwd=PROJECT,
            env=os.environ | more,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert told() == "True True"
    assert told(MALLOC_MMAP_THRESHOLD_=str(32 << 20)) == "False False"
    assert told(GLIBC_TUNABLES=f"glibc.malloc.mmap_threshold={32 << 20}") == "False False"


@pytest.mark.parametrize(("prefix", "count"), [([], 3), (["nohup"], 2)])
def test_a_hangup_stops_a_command_unless_it_is_to_be_ignored(prefix, count):
    program = "from streamer.process import stop_signals; print(len(stop_signals()))"
    done = subprocess.run(
        [*prefix, sys.executable, "-c", program],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert done.stdout == f"{count}\n"


@pytest.mark.parametrize("place", ["file", "variable", "variable's file", "command", "none"])
def test_the_key_comes_from_where_the_settings_say(tmp_path, monkeypatch, place):
    key, file = MasterKey.new(), tmp_path / "my.key"
    file.write_text(key.to_text() + "\n")
    written = {
        "file": {"file": file},
        "variable": {"variable": "GALLERY_KEY"},
        "variable's file": {"variable": "GALLERY_KEY"},
        "command": {"command": ("cat", str(file))},
        "none": None,
    }[place]
    if place == "variable":
        monkeypatch.setenv("GALLERY_KEY", key.to_text())
    elif place == "variable's file":
        monkeypatch.setenv("GALLERY_KEY_FILE", str(file))
    settings = Settings.model_validate({"paths": {"data": tmp_path / "var"}, "gallery": {"master_key": written}})
    found = key_source(settings).for_new_store(tmp_path)
    assert (found == key) == (place != "none")
    assert (tmp_path / "var-keys" / "master.key").exists() == (place == "none")


def test_a_variable_that_is_not_set_is_a_missing_key(tmp_path, monkeypatch):
    monkeypatch.delenv("GALLERY_KEY", raising=False)
    settings = Settings.model_validate(
        {"paths": {"data": tmp_path / "var"}, "gallery": {"master_key": {"variable": "GALLERY_KEY"}}}
    )
    with pytest.raises(MasterKeyMissing, match="variable GALLERY_KEY is not set"):
        key_source(settings).for_new_store(tmp_path)
    assert not (tmp_path / "var-keys").exists()


def of_before(folder: Path) -> Settings:
    """A gallery of the version before, and a service that holds the folder's lock."""
    (folder / "var").mkdir()
    gallery_of_version(2, folder / "var" / "gallery.db")
    return Settings.model_validate({"paths": {"data": folder / "var"}})


def test_a_command_leaves_a_gallery_of_before_to_the_service_that_has_it_open(tmp_path):
    settings = of_before(tmp_path)
    before = settings.gallery_path.read_bytes()
    with only_one(settings.paths.data), pytest.raises(GalleryInUse, match="stop the service"):
        open_gallery(settings)
    assert settings.gallery_path.read_bytes() == before
    with open_gallery(settings) as store:
        assert store.count() == 3
    with only_one(settings.paths.data), open_gallery(settings) as store:
        assert store.count() == 3


def test_commands_are_told_by_their_user(tmp_path, monkeypatch):
    settings = of_before(tmp_path)
    monkeypatch.delenv("SUDO_USER", raising=False)
    me = pwd.getpwuid(os.getuid()).pw_name
    assert this_user() == me
    with open_gallery(settings) as store:
        assert {entry.actor for entry in store.audit_entries()} == {me}
    monkeypatch.setenv("SUDO_USER", "ada")
    assert this_user() == f"ada as {me}"
    with store_of(settings) as store:
        assert store.actor == "service"


@pytest.mark.parametrize(("keep", "encrypted"), [(True, True), (False, True), (True, False)])
def test_a_store_is_as_the_settings_say(tmp_path, keep, encrypted):
    gallery = {"keep_chips": keep, "encryption": encrypted}
    settings = Settings.model_validate({"paths": {"data": tmp_path / "var"}, "gallery": gallery})
    with store_of(settings) as store:
        ada = store.add_person("Ada", [photo_of(unit(1))])
        assert (store.key_id is None) == (not encrypted)
        assert [photo.chip is not None for photo in store.photos_without_template("other.1")] == (
            [True] if keep else []
        )
        assert store.count_without_template("other.1") == int(keep)
        assert (len(store.photos(ada.id)), store.uncovered("other.1")) == (1, 1)
    with readable_store_of(settings) as store:
        assert (store.in_memory, store.count()) == (False, 1)


def test_a_key_that_is_made_is_told_of_once(tmp_path, caplog):
    settings = Settings.model_validate({"paths": {"data": tmp_path / "var"}})
    for _ in range(2):
        store_of(settings).close()
    (line,) = caplog.records
    assert f"{tmp_path / 'var-keys' / 'master.key'}: keep a copy of that" in line.message
    caplog.clear()
    key = tmp_path / "own.key"
    key.write_text(MasterKey.new().to_text())
    for data, gallery in (("own", {"master_key": {"file": key}}), ("plain", {"encryption": False})):
        store_of(Settings.model_validate({"paths": {"data": tmp_path / data}, "gallery": gallery})).close()
    assert caplog.records == []


def test_where_the_disk_is_full_it_is_read_from_memory():
    with small_disk(1) as disk:
        settings = Settings.model_validate({"paths": {"data": disk / "var", "keys": disk / "keys"}})
        with store_of(settings) as store:
            store.add_person("Ada")
        fill(disk)
        with readable_store_of(settings) as store:
            assert (store.in_memory, [person.name for person in store.people()]) == (True, ["Ada"])


@pytest.mark.parametrize("before", [None, 0o600, 0o644, 0o666])
def test_the_lock_is_this_users_alone(tmp_path, before):
    lock = tmp_path / "lock"
    if before is not None:
        lock.touch()
        lock.chmod(before)
    with only_one(tmp_path):
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        assert service_runs(tmp_path)
    assert not service_runs(tmp_path)
