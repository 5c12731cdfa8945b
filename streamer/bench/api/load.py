"""Clients of an HTTP server, in a process of their own so that they are not measured with it: what they are to ask, and
what they were answered. On the benchmark's loop; load_process.py is the process.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from streamer.bench.api.load_process import Answered, Job
from streamer.errors import BenchFailed

CLIENTS = 8


@dataclass(frozen=True, slots=True)
class Body:
    """One request's body as it lies in a file."""

    file: Path
    kind: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where clients post to. token None: nobody asks for one there."""

    port: int
    path: str
    token: str | None = None


async def ask_all(place: Place, bodies: Sequence[Body], requests: int, clients: int = CLIENTS) -> Answered:
    """So many requests in all, each client with its next one as soon as it has an answer. Raises BenchFailed."""
    async with _process(place, bodies, requests, clients) as process:
        return await _answered(process)


@asynccontextmanager
async def full_load(place: Place, bodies: Sequence[Body], told: list[Answered]) -> AsyncIterator[None]:
    """CLIENTS that ask and ask until the context is left; then it is told what they got. Raises BenchFailed."""
    async with _process(place, bodies, None, CLIENTS) as process:
        assert process.stdin is not None
        yield
        process.stdin.close()
        told.append(await _answered(process))


@asynccontextmanager
async def _process(
    place: Place, bodies: Sequence[Body], requests: int | None, clients: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    job: Job = {
        "port": place.port,
        "path": place.path,
        "token": place.token,
        "bodies": [(str(body.file), body.kind) for body in bodies],
        "clients": clients,
        "requests": requests,
    }
    async with child("streamer.bench.api.load_process", job) as process:
        yield process


@asynccontextmanager
async def child(module: str, job: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """A module as a program that has its job, tokens too, from the first line of stdin; gone when the context is."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: asyncio.subprocess.Process) -> bytes:
    """The next thing that it says. Raises BenchFailed where it has ended."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise BenchFailed("the clients of the HTTP benchmark ended without a result; why is said above")
    return line


async def _answered(process: asyncio.subprocess.Process) -> Answered:
    told = json.loads(await line_of(process))
    if "failed" in told:
        raise BenchFailed(told["failed"])
    return Answered(**told)
