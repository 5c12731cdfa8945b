"""The real `whosthere serve`, as a user runs it: a process with a config file, looked at from outside alone.

A config goes in; HTTP, metrics and log lines come out. It is started, stopped and killed by its pid, as often as
a test likes, on the same data folder.
"""

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests import forking
from tests.conftest import PROJECT

SHOWN_LINES = 60


class ServiceProcess:
    """`whosthere` on a config of its own in `folder`; its data lies in `folder`/data, its log in serve.log.

    serve_with: options of `serve`. is_forked: from a process that has everything imported (tests/forking.py).
    """

    is_forked = True

    def __init__(self, folder: Path, config: dict[str, Any], *serve_with: str) -> None:
        self.data = folder / "data"
        self.log_file = folder / "serve.log"
        self._folder = folder
        self._config = folder / "whosthere-under-test.yaml"
        self._config.write_text(yaml.safe_dump({"paths": {}, "http": {"port": 0}} | config))
        self._serve_with = serve_with
        self._process: subprocess.Popen[bytes] | forking.Forked | None = None
        self._started_at_line = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill()
        if error is not None:
            sys.stderr.write("\n".join(self.log_file.read_text().splitlines()[-SHOWN_LINES:]) + "\n")

    def start(self) -> None:
        """Returns at once; see until_ready()."""
        self._started_at_line = len(self.log())
        command = [*self.command("serve", *self._serve_with), "--log-format", "json"]
        folder, env = self._folder, _environment()
        with self.log_file.open("ab") as log, open(os.devnull, "r+b") as nothing:
            if self.is_forked:
                files = nothing.fileno(), nothing.fileno(), log.fileno()
                self._process = forking.Forked(command[3:], folder, env, *files)
            else:
                self._process = subprocess.Popen(command, cwd=folder, env=env, stdout=nothing, stderr=log)

    def kill(self) -> None:
        """SIGKILL: nothing is said, nothing is tidied up."""
        self._end(signal.SIGKILL)

    def end(self, number: int) -> int:
        """Another signal; its exit code."""
        return self._end(number)

    def stop(self) -> int:
        """SIGTERM, as a system stops a service; returns its exit code."""
        return self._end(signal.SIGTERM)

    def run(self, *arguments: str | Path) -> str:
        """Another command on the same config, e.g. run("people", "list"); its stdout. It must succeed."""
        done = forking.run(self.command(*map(str, arguments))[3:], self._folder, _environment(), 120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def pid(self) -> int:
        assert self._process is not None, "start() it first"
        return self._process.pid

    def log(self) -> list[dict[str, Any]]:
        """Every whole line of every start so far; each must be JSON."""
        text = self.log_file.read_text() if self.log_file.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    async def until_ready(self, *parts: str, within_s: float = 90.0) -> None:
        """Until /readyz calls these parts ok, e.g. "broker", "camera door"; all parts where none is given."""

        async def ready() -> bool:
            found = await self.readiness()
            return bool(found) and all(found[part] for part in parts or found)

        await until(ready, within_s)

    async def until_people(self, count: int) -> None:
        """Until it knows of so many: a command that enrolled them is followed within a second, not at once."""

        async def known() -> bool:
            return self.http is not None and await self.metric("whosthere_gallery_people") == count

        await until(known)

    async def readiness(self) -> dict[str, bool]:
        """Each part of /readyz; empty while the service does not listen yet."""
        return {name: part["ok"] for name, part in (await self.parts()).items()}

    async def parts(self) -> dict[str, dict[str, Any]]:
        """The same with each part's reason: {"ok": ..., "reason": ...}."""
        return json.loads(await self.text("/readyz") or '{"parts": {}}')["parts"]

    async def text(self, path: str) -> str:
        """What a path answers; empty while the service does not listen yet."""
        answer = await self._get(path)
        return "" if answer is None else answer.text

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        answer = await self._get("/metrics")
        assert answer is not None, "the service does not listen"
        return sum(
            sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def until_metric(self, name: str, holds: Callable[[float], bool], **labels: str) -> None:
        """Until the sum of a metric's samples with these labels is right: what is heard or shown may come before."""

        async def right() -> bool:
            return holds(await self.metric(name, **labels))

        await until(right)

    @property
    def http(self) -> str | None:
        """Where it listens, as `http://127.0.0.1:PORT`; None while it does not."""
        told = [
            line["extra"]["http"] for line in self.log()[self._started_at_line :] if "http" in line.get("extra", {})
        ]
        return str(told[-1]) if told else None

    async def _get(self, path: str) -> httpx.Response | None:
        assert self._process is not None, "start() it first"
        assert self._process.poll() is None, f"the service ended with {self._process.returncode}"
        if self.http is None:
            return None
        async with httpx.AsyncClient(timeout=10) as client:
            return await client.get(self.http + path)

    def command(self, *arguments: str) -> list[str]:
        """How to start a command on the same config."""
        command, *rest = arguments
        group = [command, rest.pop(0)] if command in ("people", "models", "cameras", "gallery", "tokens") else [command]
        return [sys.executable, "-m", "streamer", *group, "--config", str(self._config), *rest]

    def _end(self, number: int) -> int:
        assert self._process is not None, "start() it first"
        process, self._process = self._process, None
        process.send_signal(number)
        return process.wait(60)


def _environment() -> dict[str, str]:
    """This process's, without settings that some shell holds for whosthere; it runs the code beside the tests."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WHOSTHERE_")}
    return clean | {"PYTHONPATH": str(PROJECT)}


async def until(condition: Callable[[], object | Awaitable[object]], within_s: float = 90.0) -> None:
    """Waits until a condition, plain or a coroutine function, holds."""
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            if (await found) if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.05)
