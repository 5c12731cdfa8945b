"""`bench --ingest`: what it costs to be published to by RTSP, beside the same streams pulled and decoding alone.

A clip goes in, encoded anew at each load's size and bit rate; shares of one core come out. Publishers and the server
that is pulled from are processes of their own, and not counted.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamer.bench.clips import at_rate
from streamer.bench.ingest_process import Measured, camera_name
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


async def run_ingest(clip: Path, scratch: Path, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Each load's row: what each way costs, in shares of a core. Raises BenchFailed."""
    rows: dict[str, Any] = {}
    for load in LOADS:
        say(f"{load}: encoding, then decoded, pulled and published for {seconds:g} s each")
        path = await asyncio.to_thread(
            at_rate, clip, scratch / f"{load.height}.mp4", load.width, load.height, load.bits_per_s
        )
        decoded = await _measured("decoded", load, seconds, str(path))
        async with cutting_server(path, PULLED_FOR_S) as url:
            pulled = await _measured("pulled", load, seconds, url)
        published = await _published(load, seconds, path)
        rows[str(load)] = {
            "decoded": asdict(decoded),
            "pulled": asdict(pulled),
            "published": asdict(published),
            "on_top_of_decode": round(published.cpu_share - decoded.cpu_share, 4),
        }
    return {"ingest": rows}


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
