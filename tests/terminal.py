"""A command at a terminal, as a user sits before it: what it shows comes out, what is typed goes in.

Blocks until what is waited for is shown, 60 s at most.
"""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.conftest import PROJECT

LIMIT_S = 60.0


class AtTerminal:
    """`python -m streamer ...` with a pseudo-terminal for all three of its streams."""

    def __init__(self, *arguments: object, cwd: Path, environ: Mapping[str, str] | None = None) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WHOSTHERE_")}
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streamer", *map(str, arguments)],
            cwd=cwd,
            env=clean | {"PYTHONPATH": str(PROJECT), "TERM": "dumb", "COLUMNS": "200"} | dict(environ or {}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""
        self._read_up_to = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def expect(self, text: str) -> None:
        """Wait until it is shown, after what was waited for before."""
        give_up_s = time.monotonic() + LIMIT_S
        while (at := self.shown.find(text, self._read_up_to)) < 0:
            assert self._more(give_up_s), f"{text!r} is not shown, but: {self.shown[self._read_up_to :]}"
        self._read_up_to = at + len(text)

    def answer(self, question: str, line: str = "") -> None:
        """Wait for a question, and type a line."""
        self.expect(question)
        os.write(self._ours, f"{line}\n".encode())

    def answer_unseen(self, question: str, line: str) -> None:
        """The same of what is not shown: what is typed before the terminal hides it is thrown away."""
        self.expect(question)
        give_up_s = time.monotonic() + LIMIT_S
        while termios.tcgetattr(self._ours)[3] & termios.ECHO:
            assert time.monotonic() < give_up_s, "what is typed is shown"
            time.sleep(0.01)
        os.write(self._ours, f"{line}\n".encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        give_up_s = time.monotonic() + LIMIT_S
        while self._more(give_up_s):
            pass
        return self._process.wait(timeout=max(0.1, give_up_s - time.monotonic()))

    def _more(self, give_up_s: float) -> bool:
        """Whether it showed more; False where it has ended, or time is over."""
        if not select.select([self._ours], [], [], max(0.0, give_up_s - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._ours, 65_536)
        except OSError:  # Linux: the other side is closed
            return False
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
