"""The limit on glibc's heaps holds in a process that asks for it."""

import ctypes
import subprocess
import sys

import pytest

from gallery.errors import MasterKeyMissing
from gallery.storage.encryption import MasterKey
from streamer.process import key_source
from streamer.settings import Settings
from tests.conftest import PROJECT

PROGRAM = """
import ctypes, sys, threading
from streamer.process import limit_arenas
limited = limit_arenas() if sys.argv[1] == "limited" else False
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
