"""`make stack`: real servers on free ports, a service that both see, `doctor` of it, and nothing left at its end."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from tests.conftest import PROJECT
from tests.faces import KNOWN, write_film
from tests.live.service import until

SCRIPT = PROJECT / "scripts" / "run-stack.py"
FREE = ("--mqtt-port", "0", "--http-port", "0", "--prometheus-port", "0", "--grafana-port", "0")
# What a machine that tests run on may be told of, whatever is installed on it.
OF_THE_MACHINE = {"overloaded", "frames_skipped", "disk_low", "clock_unsynchronised", "open_files_low"}
needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's prometheus")


class Stack:
    """The script in a folder of its own, its group of processes as a terminal has it."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self._out = (home / "out").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *options],
            cwd=home,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def out(self) -> str:
        return (self.home / "out").read_text()

    def address(self, name: str) -> str:
        """Without a path."""
        shown = next(line.split()[1] for line in self.out.splitlines() if line.startswith(name))
        return "/".join(shown.split("/")[:3])

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Its exit code, and what it said on stderr."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        _, err = self.process.communicate(timeout=60)
        self._out.close()
        return self.process.returncode, err.decode()


def of_folder(home: Path) -> list[str]:
    """Processes whose command names it."""
    found = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [command for command in found if str(home) in command]


@pytest.fixture
def in_use() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.mark.live
@pytest.mark.timeout(400)
@needs_prometheus
@pytest.mark.parametrize(
    "own", [True, pytest.param(False, marks=pytest.mark.thorough)], ids=["own camera", "sample cameras"]
)
async def test_it_is_seen_by_all_of_them_and_nothing_is_left(tmp_path: Path, own: bool) -> None:
    if own:
        write_film(tmp_path / "hall.mp4", ([KNOWN], 2), ([], 4))
        config = {"cameras": {"hall": {"url": "hall.mp4", "loop": True, "fps": 5}}, "paths": {"data": "data"}}
        (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump(config))
    stack = Stack(tmp_path, *FREE)
    try:
        await until(lambda: "Ctrl-C ends all of it" in stack.out or stack.process.poll() is not None)
        assert stack.process.poll() is None, stack.end()
        async with httpx.AsyncClient(base_url=stack.address("Prometheus"), timeout=10) as prometheus:

            async def asked(query: str) -> list[dict[str, Any]]:
                answer = await prometheus.get("/api/v1/query", params={"query": query})
                return list(answer.json()["data"]["result"])

            async def events() -> bool:
                found = await asked('sum(whosthere_events_total{type="new"})')
                return bool(found) and float(found[0]["value"][1]) > 0

            await until(events)
            assert [row["value"][1] for row in await asked('up{job="whosthere"}')] == ["1"]
            rules = (await prometheus.get("/api/v1/rules")).json()["data"]["groups"]
            assert sum(len(group["rules"]) for group in rules) > 10
        for address in re.findall(r"http://\S+", stack.out):
            assert httpx.get(address, timeout=10).status_code == 200, address
        listen = next(line for line in stack.out.splitlines() if "mosquitto_sub" in line)
        heard = subprocess.run(["bash", "-c", f"{listen} -C 5 -W 30"], capture_output=True, text=True)
        assert "whosthere/cameras/" in heard.stdout, heard
        assert_operations_run(tmp_path, stack, tmp_path / ("" if own else "var-stack") / "whosthere.yaml")
    finally:
        code, err = stack.end()
    assert (code, err.splitlines()[-1]) == (0, "ended")
    assert of_folder(tmp_path) == []


def assert_operations_run(home: Path, stack: Stack, config: Path) -> None:
    """What docs/operations.md has under Watch and Back up, as it is typed there, but for the function that it gives.

    Before it what `doctor` would tell to do.
    """
    page = (PROJECT / "docs" / "operations.md").read_text()
    sections = [page.split(f"## {name}\n")[1].split("\n## ")[0] for name in ("Watch", "Back up")]
    blocks = [block for section in sections for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]
    variables = next((line for line in stack.out.splitlines() if "set -a" in line), "")
    function = (
        f'whosthere() {{ {sys.executable} -m streamer "$@" --config {config}; }}; export HOME={home}; cd {PROJECT}'
    )
    first = f"whosthere tokens make me --role admin >/dev/null; whosthere gallery backup {home}/first.db"
    typed = "".join(blocks).replace("http://127.0.0.1:8080", stack.address("service"))
    assert typed.count("\n") >= 6
    script = f"{variables}\n{function}\n{first}\n{typed}"
    done = subprocess.run(["bash", "-euxo", "pipefail", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    warned = {line.split("[")[-1].rstrip("]") for line in done.stdout.splitlines() if line.startswith("warning")}
    assert warned <= OF_THE_MACHINE, done.stdout
    assert ("\nnothing is wrong\n" in done.stdout) is not bool(warned)
    assert "service: running, version " in done.stdout
    assert "the log is whole" in done.stdout
    assert len(list(home.glob("gallery-*.db"))) == 1


@needs_prometheus
def test_a_port_that_is_in_use(tmp_path: Path, in_use: int) -> None:
    code, err = Stack(tmp_path, *FREE, "--prometheus-port", str(in_use)).end(0)
    assert code == 1
    assert err.startswith(f"stack: port {in_use}, for prometheus, can't be had (Address already in use); end what ")
    assert err.endswith(f'or choose another: make stack ARGS="--prometheus-port {in_use + 1}"\n')
    assert err.count("\n") == 1
    assert not (tmp_path / "var-stack").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, err = Stack(tmp_path, *FREE, "--folder", "file/below").end(0)
    assert code == 1
    assert err.startswith(f"stack: {tmp_path / 'file' / 'below'} can't be written (Not a directory); choose another: ")
    assert err.count("\n") == 1


@pytest.mark.thorough
@pytest.mark.live
@needs_prometheus
async def test_a_service_that_ends_ends_all_of_it(tmp_path: Path) -> None:
    """By a configuration whose broker and HTTP are elsewhere, and none: the stack's count."""
    elsewhere = {"mqtt": {"host": "192.0.2.1"}, "http": {"enabled": False}}
    (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump(elsewhere))
    stack = Stack(tmp_path, *FREE)
    try:
        await until(lambda: "Ctrl-C ends all of it" in stack.out or stack.process.poll() is not None)
        ready = httpx.get(f"{stack.address('service')}/readyz").json()
        assert ready["parts"]["broker"]["ok"], json.dumps(ready)
        assert not (tmp_path / "var-stack" / "scene.mp4").exists()
        (service,) = (
            one for one in psutil.process_iter() if {"serve", str(tmp_path / "whosthere.yaml")} <= {*one.cmdline()}
        )
        service.kill()
        await asyncio.to_thread(stack.process.wait, 60)
    finally:
        code, err = stack.end()
    assert code == 1
    assert "stack: service has ended with -9" in err
    assert of_folder(tmp_path) == []


def test_a_broker_with_tls_is_none_of_the_stacks(tmp_path: Path) -> None:
    (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump({"mqtt": {"host": "broker.example", "tls": {}}}))
    code, err = Stack(tmp_path, *FREE).end(0)
    assert code == 1
    assert err.splitlines()[-1].endswith(
        "has mqtt.tls, and the stack's broker speaks none; try it with a copy without that"
    )
    assert of_folder(tmp_path) == []
