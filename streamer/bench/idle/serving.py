"""`whosthere serve` of one build, as a process: its own CPU time, memory and metrics, seen from outside.

A build, a configuration and a folder go in; figures come out. On the benchmark's loop.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families

from streamer.bench.gallery.before import PROJECT, before
from streamer.errors import BenchFailed

COMMIT = "5d232286"  # the last one that looked at every frame of every camera
OURS, BEFORE = "ours", "before"
STARTS_WITHIN_S = 90.0
STOPS_WITHIN_S = 30.0

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Build:
    """Files of this project, run by this Python with its libraries."""

    name: str
    tree: Path

    async def command(self, *arguments: str, folder: Path) -> str:
        """A command of it, to its end; what it said on stdout. Raises BenchFailed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", *arguments),
            cwd=folder,
            env=self.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, said = await process.communicate()
        if process.returncode:
            last = (said.decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise BenchFailed(f"`{' '.join(arguments[:4])}` of {self.name} ended with {process.returncode}: {last}")
        return out.decode()

    def environment(self) -> dict[str, str]:
        """Without settings that some shell holds for whosthere."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WHOSTHERE_")}
        return clean | {"PYTHONPATH": str(self.tree)}


def builds(folder: Path, commit: str = COMMIT) -> dict[str, Build]:
    """This one, and the one before out of git, unpacked under `folder`; where there is no such history, this alone."""
    trees = {OURS: PROJECT, BEFORE: before(folder, commit)}
    return {name: Build(name, tree) for name, tree in trees.items() if tree is not None}


@dataclass(slots=True)
class Serving:
    """The running service."""

    process: psutil.Process
    http: str
    log: Path
    _client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=20.0))

    def cpu_s(self) -> float:
        """User and system time of the process so far, and of those that it started and that have ended. Raises
        BenchFailed where it is gone.
        """
        try:
            times = self.process.cpu_times()
        except psutil.NoSuchProcess:
            raise BenchFailed(f"the service ended meanwhile: {last_line(self.log)}") from None
        return float(times.user + times.system + times.children_user + times.children_system)

    def rss_mib(self) -> float:
        """Raises BenchFailed where it is gone."""
        try:
            return float(self.process.memory_info().rss / 2**20)
        except psutil.NoSuchProcess:
            raise BenchFailed(f"the service ended meanwhile: {last_line(self.log)}") from None

    async def metrics(self) -> "Scrape":
        """Raises BenchFailed where it gives none."""
        try:
            answer = await self._client.get(f"{self.http}/metrics")
        except httpx.HTTPError as error:
            raise BenchFailed(f"the service does not answer ({type(error).__name__}): {last_line(self.log)}") from None
        return Scrape(answer.text)

    async def until_up(self, cameras: int, within_s: float = STARTS_WITHIN_S) -> None:
        """Until so many cameras give frames. Raises BenchFailed."""
        found = 0.0
        for _ in range(round(within_s / 0.25)):
            found = (await self.metrics()).total("whosthere_camera_up")
            if found >= cameras:
                return
            await asyncio.sleep(0.25)
        raise BenchFailed(f"{found:.0f} of {cameras} cameras gave frames within {within_s:g} s: {last_line(self.log)}")

    async def close(self) -> None:
        await self._client.aclose()


class Scrape:
    """What /metrics said at one moment."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        return sum(value for found, value in self._samples.get(name, ()) if labels.items() <= found.items())

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Likewise, for each value of a label."""
        sums: dict[str, float] = {}
        for found, value in self._samples.get(name, ()):
            if labels.items() <= found.items() and label in found:
                sums[found[label]] = sums.get(found[label], 0.0) + value
        return sums


@asynccontextmanager
async def serving(build: Build, config: Mapping[str, Any], folder: Path) -> AsyncIterator[Serving]:
    """It runs and answers as long as the context lasts; `folder` is its working folder, in which its log lies.

    Raises BenchFailed where it does not start.
    """
    file, log = folder / "whosthere.yaml", folder / "serve.log"
    file.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "streamer", "serve", "--config", str(file), "--log-format", "json"),
            cwd=folder,
            env=build.environment(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=out,
        )
    try:
        service = Serving(psutil.Process(process.pid), await _address(process, build, log), log)
        try:
            yield service
        finally:
            await service.close()
    finally:
        await _stopped(process)


async def _address(process: asyncio.subprocess.Process, build: Build, log: Path) -> str:
    """Where it listens, as its log tells."""
    for _ in range(round(STARTS_WITHIN_S / 0.1)):
        if process.returncode is not None:
            raise BenchFailed(f"the service of {build.name} ended with {process.returncode}: {last_line(log)}")
        for line in _lines(log):
            if found := line.get("extra", {}).get("http"):
                return str(found)
        await asyncio.sleep(0.1)
    raise BenchFailed(f"the service of {build.name} did not listen within {STARTS_WITHIN_S:g} s: {last_line(log)}")


async def _stopped(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOPS_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _lines(log: Path) -> list[dict[str, Any]]:
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    found = []
    for line in text.splitlines(keepends=True):
        if line.endswith("\n") and line.startswith("{"):
            found.append(json.loads(line))
    return found


def last_line(log: Path) -> str:
    """What a service said last: where it failed, that is why."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    if not lines:
        return "it said nothing"
    try:
        document = json.loads(lines[-1])
    except ValueError:
        return lines[-1]
    return str(document.get("message") or document.get("event") or lines[-1])


def fresh_folder(folder: Path, gallery: Path | None) -> Path:
    """An empty working folder, the enrolled people of another one in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if gallery is not None:
        for name in ("data", "keys"):
            shutil.copytree(gallery / name, folder / name)
    return folder
