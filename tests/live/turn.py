"""A real coturn on 127.0.0.1 with one user; started and ended by its pid."""

import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.live.servers import unused_port
from tests.live.service import until


class TurnServer:
    """Relays UDP between anybody on this machine; its log lies in `folder`/turn.log."""

    USER, PASSWORD = "relayed", 'p%w"d'

    def __init__(self, folder: Path) -> None:
        self.port = unused_port()
        self.log = folder / "turn.log"
        self._command = [
            "turnserver",
            "-n",  # no configuration file
            "--listening-ip=127.0.0.1",
            f"--listening-port={self.port}",
            "--relay-ip=127.0.0.1",
            "--lt-cred-mech",
            f"--user={self.USER}:{self.PASSWORD}",
            "--realm=test",
            "--allow-loopback-peers",
            "--no-tls",
            "--no-dtls",
            "--no-cli",
            f"--userdb={folder / 'turn.db'}",
            f"--pidfile={folder / 'turn.pid'}",
            f"--log-file={self.log}",
            "--simple-log",
            "--verbose",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await until(self._listens, 20)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "turnserver has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
