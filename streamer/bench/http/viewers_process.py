"""Viewers of live events, as Server-Sent Events over connections of their own: how late each heard of each event.

Run as a program (python -m streamer.bench.http.viewers_process): a Watch comes in as the first line of stdin; it prints
a line once all are let in, takes what comes until stdin ends, and prints an Heard as JSON.
"""

import asyncio
import json
import sys
import time
from asyncio import StreamReader
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TypedDict

import h11
import numpy as np
import orjson
import uvloop

_READ = 65536


class Watch(TypedDict):
    """How many look on, and where."""

    port: int
    path: str
    token: str
    viewers: int


@dataclass(frozen=True, slots=True)
class Heard:
    """Messages of all viewers together, and ms from an event's captured_at to its being read there."""

    messages: int
    p50_ms: float
    p95_ms: float
    most_ms: float


async def watch(watch: Watch, reader: StreamReader) -> None:
    """Until `reader` ends. Raises ExceptionGroup where one is refused or sent away."""
    late_ms: list[float] = []
    let_in = [asyncio.Event() for _ in range(watch["viewers"])]
    async with asyncio.TaskGroup() as tasks:
        viewers = [tasks.create_task(_viewer(watch, one, late_ms), name="viewer") for one in let_in]
        for one in let_in:
            await one.wait()
        _say({"viewers": len(let_in)})
        await reader.read()
        for viewer in viewers:
            viewer.cancel()
    p50, p95 = np.percentile(late_ms, [50, 95]) if late_ms else (0.0, 0.0)
    _say(asdict(Heard(len(late_ms), float(p50), float(p95), max(late_ms, default=0.0))))


async def _viewer(watch: Watch, let_in: asyncio.Event, late_ms: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", watch["port"])
    try:
        wire = h11.Connection(our_role=h11.CLIENT)
        headers = {"Host": "127.0.0.1", "Accept": "text/event-stream", "Authorization": f"Bearer {watch['token']}"}
        writer.write(wire.send(h11.Request(method="GET", target=watch["path"], headers=list(headers.items()))) or b"")
        writer.write(wire.send(h11.EndOfMessage()) or b"")
        text = b""
        while True:
            match wire.next_event():
                case h11.NEED_DATA:
                    wire.receive_data(await reader.read(_READ))
                case h11.Response() as answer if answer.status_code == 200:
                    let_in.set()
                case h11.Data() as data:
                    *lines, text = (text + data.data).split(b"\n")
                    _note(lines, late_ms)
                case event:
                    raise ConnectionError(f"{watch['path']}: a viewer was sent away: {event}")
    finally:
        writer.close()


def _note(lines: list[bytes], late_ms: list[float]) -> None:
    now = time.time()
    for line in lines:
        if line.startswith(b"data:"):
            late_ms.append(1e3 * (now - orjson.loads(line[5:])["captured_at"]))


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _run() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    job: Watch = json.loads(await reader.readline())
    with suppress(asyncio.CancelledError):
        await watch(job, reader)


def main() -> None:
    """The process itself."""
    try:
        uvloop.run(_run())
    except* OSError as group:
        sys.exit(str(group.exceptions[0]))


if __name__ == "__main__":
    main()
