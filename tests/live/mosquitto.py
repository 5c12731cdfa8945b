"""A real mosquitto on 127.0.0.1 that a test starts, stops, kills and starts again on the same port, by its pid.

Blocks for the milliseconds that starting takes. Sessions and retained messages outlive a stop and a kill.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.certificates import Files

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
STARTS_WITHIN_S = 10.0


class Mosquitto:
    """`users` (name -> password) makes the login compulsory; `acl`: the rules, see allow(); `more`: lines of its
    configuration; `tls`: its certificate, clients then come by TLS; `clients`: who signs theirs, which are compulsory.
    Files go to `folder`."""

    def __init__(
        self,
        folder: Path,
        users: dict[str, str] | None = None,
        acl: str | None = None,
        more: Sequence[str] = (),
        *,
        tls: Files | None = None,
        clients: Path | None = None,
    ) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            "autosave_on_changes true",
            "autosave_interval 1",
            f"persistence_location {folder}/",
            f"allow_anonymous {'false' if users else 'true'}",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # or it would give up the right to read its own files
        if tls is not None:
            lines += [f"certfile {tls.cert}", f"keyfile {tls.key}"]
        if clients is not None:
            lines += [f"cafile {clients}", "require_certificate true"]
        if users:
            lines.append(f"password_file {self._passwords(users)}")
        if acl is not None:
            lines.append(f"acl_file {folder}/acl")
            self._write_acl(acl)
        self._lines = lines
        self.configure(more)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Returns once it takes connections."""
        mosquitto = program("mosquitto")
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [mosquitto, "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        give_up_s = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
            except ConnectionRefusedError:
                if self._process.poll() is not None or time.monotonic() > give_up_s:
                    log_text = (self._folder / "mosquitto.log").read_text(errors="replace")
                    raise RuntimeError(f"mosquitto does not start: {log_text}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """As a system does: SIGTERM."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def configure(self, more: Sequence[str]) -> None:
        """Have these lines in its configuration from the next start on, in place of those of before."""
        (self._folder / "mosquitto.conf").write_text("\n".join([*self._lines, *more]) + "\n")

    def allow(self, acl: str) -> None:
        """Other rules from now on ("topic write a/#" a line); it says so in its log when it has read them."""
        assert self._process is not None
        log, reread = self._folder / "mosquitto.log", b"Reloading config"
        before = log.read_bytes().count(reread)
        self._write_acl(acl)
        self._process.send_signal(signal.SIGHUP)
        give_up_s = time.monotonic() + STARTS_WITHIN_S
        while log.read_bytes().count(reread) == before:
            assert time.monotonic() < give_up_s, "mosquitto does not read its rules again"
            time.sleep(0.02)

    def set_users(self, users: dict[str, str]) -> None:
        """Other logins from now on."""
        assert self._process is not None
        self._passwords(users)
        self._process.send_signal(signal.SIGHUP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def freeze(self) -> None:
        """It takes what is sent, as far as the system buffers it, and answers nobody; kill() is what helps."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def lose_everything(self) -> None:
        """While it is down: as after a new installation, nothing is retained and nobody has a session."""
        (self._folder / "mosquitto.db").unlink(missing_ok=True)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def _write_acl(self, acl: str) -> None:
        file = self._folder / "acl"
        file.write_text(acl)
        file.chmod(0o600)

    def _passwords(self, users: dict[str, str]) -> Path:
        file = self._folder / "passwords"
        file.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
        file.chmod(0o600)
        subprocess.run([program("mosquitto_passwd"), "-U", str(file)], check=True, capture_output=True)
        return file


def program(name: str) -> str:
    """The path of one of mosquitto's programs. Skips where it is missing; in CI it must be there."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing, and in CI it must be there")
        pytest.skip(f"needs {name} (Debian: apt-get install mosquitto)")
    return found
