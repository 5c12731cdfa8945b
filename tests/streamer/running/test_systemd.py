"""What systemd hears of a service, at a socket as systemd has one; and the units as systemd's own tools take them."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.running.systemd import told_systemd
from tests.conftest import PROJECT

UNITS = ("whosthere.service", "whosthere-api@.service")
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs Debian's systemd")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


async def heard(systemd: socket.socket) -> str:
    return (await asyncio.wait_for(asyncio.get_running_loop().sock_recv(systemd, 4096), 10)).decode()


async def test_ready_alive_and_stopping(systemd: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "20000"}
    async with told_systemd("running, 2 cameras", environ):
        assert await heard(systemd) == "READY=1\nSTATUS=running, 2 cameras"
        assert [await heard(systemd) for _ in range(3)] == ["WATCHDOG=1"] * 3
    while (last := await heard(systemd)) == "WATCHDOG=1":
        pass
    assert last == "STOPPING=1\nSTATUS=stopping"


async def test_without_a_watchdog(systemd: socket.socket) -> None:
    async with told_systemd("running", {"NOTIFY_SOCKET": systemd.getsockname()}):
        assert await heard(systemd) == "READY=1\nSTATUS=running"
    assert await heard(systemd) == "STOPPING=1\nSTATUS=stopping"


async def test_a_socket_without_a_name_in_the_file_system() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")  # the kernel finds it a name
        listener.setblocking(False)
        async with told_systemd("running", {"NOTIFY_SOCKET": "@" + listener.getsockname()[1:].decode()}):
            assert await heard(listener) == "READY=1\nSTATUS=running"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/to/be/found"}])
async def test_nobody_hears(environ: dict[str, str]) -> None:
    async with told_systemd("running", environ):
        pass


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_the_units_are_valid_and_closed(tmp_path: Path, unit: str) -> None:
    """The exposure is told in docs/operations.md."""
    text = (PROJECT / "configs" / unit).read_text()
    file = tmp_path / unit.replace("@", "@1")
    file.write_text(text.replace("/opt/whosthere/bin/whosthere", "/bin/true"))
    verified = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
    ours = [line for line in verified.stderr.splitlines() if "whosthere" in line]
    assert (verified.returncode, ours) == (0, []), verified.stderr
    security = ["systemd-analyze", "security", "--offline=yes", "--threshold=14", str(file)]
    rated = subprocess.run(security, capture_output=True, text=True)
    assert rated.returncode == 0, rated.stdout
