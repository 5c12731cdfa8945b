"""Starts the RTSP server of rtsp_server.py as a subprocess and ends it by its pid.

For tests: clips by mount in, URLs out. start() and stop() block until the server listens or is gone.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import pytest

# Debian's own: the GStreamer bindings belong to no other Python.
PYTHON = "/usr/bin/python3"
PROGRAM = Path(__file__).with_name("rtsp_server.py")
_NEEDS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def need_rtsp_server() -> None:
    """Skips where the server's bindings are missing; in CI they must be there."""
    if shutil.which(PYTHON) and subprocess.run([PYTHON, "-c", _NEEDS], capture_output=True).returncode == 0:
        return
    missing = "needs Debian's gir1.2-gst-rtsp-server-1.0 and python3-gi"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def unused_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtspServer:
    """One server on 127.0.0.1, which serves clips in real time and for ever, to every client from the start.

    clips: mount -> MP4 with H.264 or H.265. stalling: mount -> (MP4, s of it after which nothing more is
    sent, while the connection stays open). audio: mounts without video. login: (user, password) for all.
    certificate: a PEM file with its key; then it is rtsps.
    """

    def __init__(
        self,
        port: int,
        clips: Mapping[str, Path] | None = None,
        *,
        stalling: Mapping[str, tuple[Path, float]] | None = None,
        audio: Sequence[str] = (),
        login: tuple[str, str] | None = None,
        certificate: Path | None = None,
    ) -> None:
        self.port = port
        self.login = login
        self._mounts = [f"--clip={mount}={clip}" for mount, clip in (clips or {}).items()]
        self._mounts += [f"--stalling={m}={clip}@{s}" for m, (clip, s) in (stalling or {}).items()]
        self._mounts += [f"--audio={mount}" for mount in audio]
        self._mounts += [f"--certificate={certificate}"] if certificate else []
        self._scheme = "rtsps" if certificate else "rtsp"
        self._process: subprocess.Popen[str] | None = None

    def url(self, mount: str, login: tuple[str, str] | None = None) -> str:
        """The mount's URL, with the server's login in it, or another."""
        login = login or self.login
        user = f"{quote(login[0], safe='')}:{quote(login[1], safe='')}@" if login else ""
        return f"{self._scheme}://{user}127.0.0.1:{self.port}/{mount}"

    def start(self) -> None:
        need_rtsp_server()
        environ = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}
        if self.login:
            environ["RTSP_SERVER_LOGIN"] = ":".join(self.login)
        self._process = subprocess.Popen(
            [PYTHON, str(PROGRAM), f"--port={self.port}", *self._mounts], env=environ, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "READY":
            self.stop()
            pytest.fail(f"the RTSP server did not start: {' '.join(self._mounts)}")

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "it is not started"
        return self._process

    def sessions(self) -> int:
        """How many it holds. Blocks for its answer."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGUSR1)
        return int(self.process.stdout.readline())

    @property
    def pid(self) -> int:
        assert self._process is not None, "start() it first"
        return self._process.pid

    def stop(self) -> None:
        """SIGTERM."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """SIGKILL: its clients see the connection close, and no goodbye."""
        self._end(subprocess.Popen.kill)

    def _end(self, send) -> None:
        process, self._process = self._process, None
        if process is not None:
            send(process)
            process.wait(timeout=10)
            if process.stdout:
                process.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
