"""ffmpeg as a publisher by RTSP, a process of its own. On the benchmark's loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from streamer.errors import BenchFailed
from streamer.telemetry.logs import redacted_text

USER, PASSWORD = "bench", "bench"
MOST_SAID = 4096  # bytes of ffmpeg's last words that are kept


@asynccontextmanager
async def publisher(clip: Path, port: int, camera: str) -> AsyncIterator[None]:
    """The clip, round and round, until the context is left; then it is killed.

    Raises BenchFailed without ffmpeg, and, in place of what the context does, once it has ended by itself, with the
    last line that it said.
    """
    read = ("ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-an", "-c", "copy")
    url = f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{port}/{camera}"
    try:
        process = await asyncio.create_subprocess_exec(
            *read, "-f", "rtsp", "-rtsp_transport", "tcp", url, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise BenchFailed("ffmpeg is not there, and it is what publishes; install it (Debian: ffmpeg)") from None
    try:
        with failing_plainly():
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(_never_ends(process, camera), name=f"ffmpeg of {camera}")
                yield
                watching.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()  # its pipe is read to the end, and so closed


@contextmanager
def failing_plainly() -> Iterator[None]:
    """A BenchFailed out of task groups comes as it is; with others beside it, it is the one that is told."""
    try:
        yield
    except BaseExceptionGroup as group:
        failed: BaseException | None = group.subgroup(BenchFailed)
        while isinstance(failed, BaseExceptionGroup):
            failed = failed.exceptions[0]
        if failed is None:
            raise
        raise failed from None


async def _never_ends(process: asyncio.subprocess.Process, camera: str) -> None:
    said = await _last_line(process)
    code = await process.wait()
    raise BenchFailed(
        f"the publisher (ffmpeg) of {camera} ended by itself with {code}"
        + (f" and said: {said}" if said else "")
        + "; is the clip one that it can send as it is?"
    )


async def _last_line(process: asyncio.subprocess.Process) -> str:
    """Of what it says on stderr until it closes that, without logins; read all along, or it would wait for a reader."""
    assert process.stderr is not None
    tail = b""
    while piece := await process.stderr.read(MOST_SAID):
        tail = (tail + piece)[-MOST_SAID:]
    lines = tail.decode(errors="replace").split("\n")
    return redacted_text(next((line.strip() for line in reversed(lines) if line.strip()), ""))
