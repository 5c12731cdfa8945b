"""ffmpeg as a publisher by RTSP, a process of its own. On the benchmark's loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from streamer.errors import BenchFailed

USER, PASSWORD = "bench", "bench"


@asynccontextmanager
async def publisher(clip: Path, port: int, camera: str) -> AsyncIterator[None]:
    """The clip, round and round, until the context is left; then it is killed. Raises BenchFailed without ffmpeg."""
    read = ("ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-an", "-c", "copy")
    url = f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{port}/{camera}"
    try:
        process = await asyncio.create_subprocess_exec(
            *read, "-f", "rtsp", "-rtsp_transport", "tcp", url, stderr=asyncio.subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise BenchFailed("ffmpeg is not there, and it is what publishes; install it (Debian: ffmpeg)") from None
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
