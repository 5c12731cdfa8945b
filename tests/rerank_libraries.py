"""Re-ranking libraries of users: the docs' example, and sources of a test's own, compiled."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT

COMPILER = shutil.which("gcc") or shutil.which("cc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler here: apt-get install gcc libc6-dev")
_WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror")


def example() -> str:
    """The library in the docs: their second block of C."""
    blocks = re.findall(r"```c\n(.*?)```", (PROJECT / "docs" / "rerank.md").read_text(), re.DOTALL)
    return str(blocks[1])


def compiled(folder: Path, source: str) -> Path:
    """A shared library in the folder, of C that gives no warning."""
    assert COMPILER is not None
    (folder / "kernel.c").write_text(source)
    command = [COMPILER, "-O2", "-shared", "-fPIC", *_WARNINGS, "-o", folder / "kernel.so", folder / "kernel.c", "-lm"]
    subprocess.run(command, check=True)
    return folder / "kernel.so"
