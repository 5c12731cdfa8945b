"""`python -m streamer ...` as a user types it: a process of its own; its exit code, stdout and stderr come back.

Blocks until the command ends. The environment is this process's, without settings meant for whosthere. The process is
forked from one that has everything imported (tests/forking.py), unless its environment must be there from the start.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import forking
from tests.conftest import PROJECT

LIMIT_S = 60


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as the one JSON document that it must be."""
        return json.loads(self.out)

    @property
    def complaints(self) -> list[str]:
        """The lines on stderr that are for the user; log lines are JSON in a pipe."""
        return [line for line in self.err.splitlines() if not line.startswith("{")]

    @property
    def everything(self) -> str:
        return self.out + self.err


def whosthere(
    *arguments: object,
    cwd: Path,
    environ: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
    is_forked: bool = True,
) -> Ended:
    """Runs one command in `cwd`, where a whosthere.yaml is found by itself.

    is_forked: False where `cwd` has packages of its own, which a process that has ours imported would not see.
    """
    return run_python(["-m", "streamer", *map(str, arguments)], cwd, environ, limit_s, is_forked=is_forked)


def patched(patch: str, *arguments: object, cwd: Path) -> Ended:
    """The same after a few lines of Python, for what no file and no server can bring about."""
    program = f"{patch}\nfrom streamer.commands import main\nmain()\n"
    return run_python(["-c", program, *map(str, arguments)], cwd)


def run_python(
    arguments: Sequence[str],
    cwd: Path,
    environ: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
    *,
    is_forked: bool = True,
) -> Ended:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WHOSTHERE_")}
    env = clean | {"PYTHONPATH": str(PROJECT)} | dict(environ or {})
    if is_forked and list(arguments[:2]) == ["-m", "streamer"] and forking.is_forked_alike(env):
        forked = forking.run(arguments[2:], cwd, env, limit_s)
        return Ended(forked.returncode, forked.stdout, forked.stderr)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit_s,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def assert_refused(ended: Ended, code: str, exit_code: int = 1) -> str:
    """One line for the user, with its code, and no traceback; returns the line."""
    assert ended.code == exit_code, ended
    assert "Traceback" not in ended.err
    assert len(ended.complaints) == 1, ended.err
    (line,) = ended.complaints
    assert line.startswith("whosthere: ")
    assert line.endswith(f" [{code}]"), line
    return line
