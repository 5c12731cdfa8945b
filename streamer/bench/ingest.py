"""`bench --ingest`: what it costs to be published to by RTSP, beside the same streams pulled and decoding alone.

A clip goes in, encoded anew at each load's size and bit rate; shares of one core come out. Publishers and the server
that is pulled from are processes of their own, and not counted.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamer.bench.clips import at_rate
from streamer.bench.ingest_process import PASSWORD, USER, Measured, camera_name
from streamer.bench.processes import cutting_server
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
    process = await _start(way, load, seconds, where)
    return await _outcome(process)


async def _published(load: Load, seconds: float, clip: Path) -> Measured:
    process = await _start("published", load, seconds, "-")
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    async with AsyncExitStack() as stack:
        for number in range(load.cameras):
            publisher = await _publish(clip, f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{port}/{camera_name(number)}")
            stack.push_async_callback(_end, publisher)
        return await _outcome(process)


async def _start(way: str, load: Load, seconds: float, where: str) -> asyncio.subprocess.Process:
    arguments = (way, str(load.cameras), str(seconds), where)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamer.bench.ingest_process", *arguments, stdout=asyncio.subprocess.PIPE
    )


async def _outcome(process: asyncio.subprocess.Process) -> Measured:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if await process.wait() or not line:
        raise BenchFailed("a process of the ingest benchmark ended without a result; its error is above")
    return Measured(**json.loads(line))


async def _publish(clip: Path, url: str) -> asyncio.subprocess.Process:
    command = ("ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy")
    try:
        return await asyncio.create_subprocess_exec(
            *command, "-f", "rtsp", "-rtsp_transport", "tcp", url, stderr=asyncio.subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise BenchFailed("ffmpeg is not there, and it is what publishes; install it (Debian: ffmpeg)") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()
