"""Before anything is imported: packages that this processor can't run end in one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of modules that can be imported: one works, one can't run here."""
    (tmp_path / "works.py").write_text("")
    (tmp_path / "needs_avx.py").write_text(f"import os\nos.kill(os.getpid(), {int(signal.SIGILL)})\n")
    return tmp_path


def run(program: str, packages: Path | None = None) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which has no threads that a child would have half of."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, filter(None, (PROJECT, packages))))}
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("tried", "found"),
    [(["works", "missing", "needs_avx", "works"], "needs_avx"), (["works", "missing"], None), ([], None)],
)
def test_the_first_package_that_can_not_run_is_named(packages, tried, found):
    ended = run(f"from streamer.entry import first_broken; print(first_broken({tried}))", packages)
    assert ended.stdout == f"{found}\n", ended.stderr


def test_what_we_need_runs_here():
    ended = run("from streamer.entry import NATIVE, first_broken; print(first_broken(NATIVE))")
    assert ended.stdout == "None\n", ended.stderr


@pytest.mark.parametrize("kernels", ["", "Haswell"])
def test_a_user_reads_one_line(packages, monkeypatch, kernels):
    if kernels:
        monkeypatch.setenv("OPENBLAS_CORETYPE", kernels)
    else:
        monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    program = (
        "from streamer import entry\n"
        "entry.has_avx = lambda: False\n"
        "entry.NATIVE = ('works', 'needs_avx')\n"
        "entry.main()\n"
    )
    ended = run(program, packages)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("whosthere: the installed needs_avx needs instructions that this processor lacks")
    assert ended.stderr.endswith("[unsupported_runtime]\n")
    assert ("OPENBLAS_CORETYPE is set" in ended.stderr) == bool(kernels)
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(("told", "set_to"), [(None, "4"), ("26", "26"), ("10", "10")])
def test_threads_of_openblas_do_not_spin_unless_told(monkeypatch, told, set_to):
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    if told is not None:
        monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", told)
    program = (
        "import os, sys\n"
        "from streamer import entry\n"
        "assert 'numpy' not in sys.modules\n"
        "sys.argv = ['whosthere', '--version']\n"
        "try:\n"
        "    entry.main()\n"
        "finally:\n"
        "    print(os.environ['OPENBLAS_THREAD_TIMEOUT'])\n"
    )
    ended = run(program)
    assert ended.stdout.splitlines()[-1] == set_to, ended.stderr


@pytest.mark.parametrize(
    ("arguments", "told", "set_to"),
    [("serve --help", None, "1"), ("--help serve", "2", "2"), ("people --help", None, "None"), ("--version", "2", "2")],
)
def test_a_service_shares_no_product_among_threads_of_openblas_unless_told(monkeypatch, arguments, told, set_to):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", told)
    program = (
        "import os, sys\n"
        "from streamer import entry\n"
        f"sys.argv = ['whosthere', *{arguments.split()}]\n"
        "try:\n"
        "    entry.main()\n"
        "finally:\n"
        "    print(os.environ.get('OPENBLAS_NUM_THREADS'))\n"
    )
    ended = run(program)
    assert ended.stdout.splitlines()[-1] == set_to, ended.stderr


LOADING = """
import builtins, sys
from streamer import entry
real = builtins.__import__
def interrupted(name, *rest, **options):
    if name == "streamer.commands":
        raise KeyboardInterrupt
    return real(name, *rest, **options)
builtins.__import__ = interrupted
entry.main()
"""


def test_ctrl_c_while_it_loads_ends_it_without_a_word():
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
