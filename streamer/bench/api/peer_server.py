"""The peer's endpoint (peer_app.py) as a process, while a context lasts. On the benchmark's loop."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from streamer.bench.api.load import Place
from streamer.bench.peer.peer import lay_weights, peer_python
from streamer.errors import BenchFailed


@dataclass(frozen=True, slots=True)
class PeerServer:
    """Where its endpoint is, and that in threads (peer_app.py), and its process."""

    place: Place
    in_threads: Place
    pid: int

    def cpu_s(self) -> float:
        """What it has used so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


@asynccontextmanager
async def peer_server(folder: Path, weights: list[Path], say: Callable[[str], None]) -> AsyncIterator[PeerServer]:
    """`folder` is .bench/; its environment is made first if it isn't there. Raises BenchFailed."""
    python = await asyncio.to_thread(peer_python, folder, say)
    root = await asyncio.to_thread(lay_weights, folder, weights)
    program = str(Path(__file__).with_name("peer_app.py"))
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-P", "-W", "ignore", program, str(root)),
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        port = await _port_of(process)
        yield PeerServer(Place(port, "/embeddings"), Place(port, "/embeddings-in-threads"), process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _port_of(process: asyncio.subprocess.Process) -> int:
    """The first line that is a number: insightface may say something before."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if line.strip().isdigit():
            return int(line)
    raise BenchFailed(f"the peer's endpoint ended by itself with {await process.wait()}; why is said above")
