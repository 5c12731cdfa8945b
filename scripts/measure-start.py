#!/usr/bin/env python3
"""What commands cost before they answer, and the service until it is ready: CPU seconds, tables in Markdown on stdout.

    python scripts/measure-start.py [--rounds 7] [--against FOLDER]

Real commands, each in a process of its own, on a gallery of 51 people; the service beside a mosquitto of its own, with
no camera, until /readyz says 200. --against: another checkout, measured by turns with this one, in this environment.
Bytecode is kept, as in an installed package. User and system time together; beside other work look at the least.
"""

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import yaml

from tests.conftest import PROJECT
from tests.galleries import open_store
from tests.gallery.fakes import photo_of, unit
from tests.live.mosquitto import Mosquitto

COMMANDS = (
    *("--help", "--version", "people --help", "people list", "people show Person7", "people rename Person7 Person7"),
    *("people forget Nobody --yes", "gallery audit", "gallery purge --dry-run", "gallery backup nowhere/monday.db"),
    *(
        "cameras list",
        "tokens list",
        "events --since 8h",
        "events --set mqtt.port=1",
        "people look-alikes",
        "models list",
        "doctor",
    ),
)
READY_WITHIN_S = 60
Measure = Callable[[Path], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--against", type=Path, help="another checkout")
    options = parser.parse_args()
    builds = [*([options.against.absolute()] if options.against else []), PROJECT]
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        with Mosquitto(home) as broker:
            furnish(home, broker.port)
            names = " | ".join("before" if build != PROJECT else "this" for build in builds)
            told(f"| CPU s, least and median | {names} |\n|---|" + "---|" * len(builds))
            for line in COMMANDS:
                show(f"`{line}`", builds, options.rounds, lambda build, line=line: command_s(line.split(), build, home))
            show("`serve` until it is ready", builds, options.rounds, lambda build: ready_s(build, home))


def furnish(home: Path, port: int) -> None:
    config = {"mqtt": {"port": port}, "http": {"port": 0}, "cameras": {"hall": {"url": "hall.mp4", "enabled": False}}}
    (home / "whosthere.yaml").write_text(yaml.safe_dump(config))
    with open_store(home / "var" / "gallery.db") as store:
        for number in range(51):
            store.add_person(f"Person {number}", [photo_of(unit(number), 3 * number + photo) for photo in range(3)])


def show(what: str, builds: Sequence[Path], rounds: int, measure: Measure) -> None:
    taken: dict[Path, list[float]] = {build: [] for build in builds}
    for build in builds:
        measure(build)  # its bytecode is written
    for _ in range(rounds):
        for build in builds:
            taken[build].append(measure(build))
    cells = [f"{min(those):.2f}, {statistics.median(those):.2f}" for those in taken.values()]
    told(f"| {what} | {' | '.join(cells)} |")


def told(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def environment(build: Path, home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WHOSTHERE_", "PYTHONDONTWRITE"))}
    return kept | {"PYTHONPATH": str(build), "PYTHONPYCACHEPREFIX": str(home / "bytecode")}


def started(words: Sequence[str], build: Path, home: Path) -> "subprocess.Popen[bytes]":
    nothing = subprocess.DEVNULL
    command = [sys.executable, "-m", "streamer", *words]
    return subprocess.Popen(
        command, cwd=home, env=environment(build, home), stdin=nothing, stdout=nothing, stderr=nothing
    )


def command_s(words: Sequence[str], build: Path, home: Path) -> float:
    before = children_s()
    process = started(words, build, home)
    process.wait()
    return children_s() - before


def children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ready_s(build: Path, home: Path) -> float:
    """Of the service's own, until /readyz says 200."""
    port = free_port()
    process = started(["serve", "--set", f"http.port={port}"], build, home)
    try:
        until = time.monotonic() + READY_WITHIN_S
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{build}: the service does not get ready")
            time.sleep(0.02)
        user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    finally:
        process.terminate()
        process.wait()


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    main()
