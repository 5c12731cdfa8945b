"""The limit on glibc's heaps holds in a process that asks for it."""

import ctypes
import stat
import subprocess
import sys

import pytest

from streamer.process import only_one, service_runs
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
