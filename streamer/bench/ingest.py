"""`bench --ingest`: what it costs to be published to by RTSP, beside the same streams pulled and decoding alone.

A clip goes in, encoded anew at each load's size and bit rate; shares of one core come out. Publishers and the server
that is pulled from are processes of their own, and not counted.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamer.bench.clips import at_rate
from streamer.bench.ingest_process import Measured, camera_name
from streamer.bench.parts import Parts
from streamer.bench.processes import cutting_server
from streamer.bench.publishers import publisher
from streamer.errors import BenchFailed

PULLED_FOR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Load:
    """So many cameras at once."""

    cameras: int
    width: int
    height: int
    bits_per_s: int

    def __str__(self) -> str:
        return f"{self.cameras} of {self.width}x{self.height} at {self.bits_per_s / 1e6:g} Mb/s"


LOADS = (Load(16, 640, 360, 1_000_000), Load(4, 1920, 1080, 4_000_000))


async def run_ingest(clip: Path, scratch: Path, seconds: float, parts: Parts) -> dict[str, Any]:
    """Each load's row: what each way costs, in shares of a core; None: that way failed."""
    rows: dict[str, Any] = {}
    for load in LOADS:
        parts.say(f"{load}: encoding, then decoded, pulled and published for {seconds:g} s each")
        row: dict[str, Any] = dict.fromkeys(("decoded", "pulled", "published", "on_top_of_decode"))
        rows[str(load)] = row
        file = scratch / f"{load.height}.mp4"
        encoding = asyncio.to_thread(at_rate, clip, file, load.width, load.height, load.bits_per_s)
        path = await parts.run(f"{load}, encoding", encoding)
        if path is None:
            continue
        ways = {"decoded": _measured("decoded", load, seconds, str(path)), "pulled": _pulled(load, seconds, path)}
        for way, work in (ways | {"published": _published(load, seconds, path)}).items():
            measured = await parts.run(f"{load}, {way}", work)
            row[way] = measured and asdict(measured)
            parts.say(f"  {way}: {row[way]}")
        if row["decoded"] and row["published"]:
            row["on_top_of_decode"] = round(row["published"]["cpu_share"] - row["decoded"]["cpu_share"], 4)
    return {"ingest": rows}


async def _pulled(load: Load, seconds: float, path: Path) -> Measured:
    async with cutting_server(path, PULLED_FOR_S) as url:
        return await _measured("pulled", load, seconds, url)


async def _measured(way: str, load: Load, seconds: float, where: str) -> Measured:
    async with _process(way, load, seconds, where) as process:
        return Measured(**json.loads(await _line_of(process)))


async def _published(load: Load, seconds: float, clip: Path) -> Measured:
    async with _process("published", load, seconds, "-") as process:
        port = int(await _line_of(process))
        async with AsyncExitStack() as stack:
            for number in range(load.cameras):
                await stack.enter_async_context(publisher(clip, port, camera_name(number)))
            line = await _line_of(process)  # it goes on taking until the publishers are gone: they see no end
        return Measured(**json.loads(line))


@asynccontextmanager
async def _process(way: str, load: Load, seconds: float, where: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """What measures, gone when the context is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamer.bench.ingest_process", way, str(load.cameras), str(seconds), where),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line_of(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise BenchFailed("a process of the ingest benchmark ended without a result; its error is above")
    return line
