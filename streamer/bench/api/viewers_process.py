"""Viewers of live events, as Server-Sent Events over connections of their own: how late each heard of each event.

Run as a program (python -m streamer.bench.api.viewers_process): a Watch comes in as the first line of stdin; it prints
a line once all are let in. How many messages they are to hear of, all together, is the second line: once they have, or
waited too long for it, it prints a Heard as JSON.
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

WITHIN_S = 10.0  # of the last event's being due
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


class _Ears:
    """What was heard so far, and when it is enough."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self._wanted = -1
        self._enough = asyncio.Event()

    def hear(self, lines: list[bytes]) -> None:
        """Lines of a stream; what is no data counts for nothing. Raises ConnectionError where it is told to go."""
        now = time.time()
        for line in lines:
            if line.startswith(b"data:"):
                told = orjson.loads(line[5:])
                if "captured_at" not in told:
                    raise ConnectionError(f"a viewer was sent away: {told}")
                self.late_ms.append(1e3 * (now - told["captured_at"]))
        if 0 <= self._wanted <= len(self.late_ms):
            self._enough.set()

    async def have_heard(self, messages: int) -> None:
        """Until there were so many, or they are long overdue."""
        self._wanted = messages
        if len(self.late_ms) < messages:
            with suppress(TimeoutError):
                async with asyncio.timeout(WITHIN_S):
                    await self._enough.wait()


async def watch(watch: Watch, reader: StreamReader) -> None:
    """Until all is heard that the reader's next line says. Raises ExceptionGroup where one is refused or sent away."""
    ears = _Ears()
    viewers: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as tasks:
        while len(viewers) < watch["viewers"]:  # one by one: of many that wait for an answer some are sent away
            let_in = asyncio.Event()
            viewers.append(tasks.create_task(_viewer(watch, let_in, ears), name="viewer"))
            await let_in.wait()
        _say({"viewers": len(viewers)})
        await ears.have_heard(int(await reader.readline()))
        for viewer in viewers:
            viewer.cancel()
    p50, p95 = np.percentile(ears.late_ms, [50, 95]) if ears.late_ms else (0.0, 0.0)
    _say(asdict(Heard(len(ears.late_ms), float(p50), float(p95), max(ears.late_ms, default=0.0))))


async def _viewer(watch: Watch, let_in: asyncio.Event, ears: _Ears) -> None:
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
                    ears.hear(lines)
                case event:
                    raise ConnectionError(f"{watch['path']}: a viewer was sent away: {event}")
    finally:
        writer.close()


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _run() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    job: Watch = json.loads(await reader.readline())
    await watch(job, reader)


def main() -> None:
    """The process itself."""
    try:
        uvloop.run(_run())
    except* (OSError, h11.RemoteProtocolError) as group:
        failed: BaseException = group
        while isinstance(failed, BaseExceptionGroup):
            failed = failed.exceptions[0]
        sys.exit(f"viewers of events: {failed}")


if __name__ == "__main__":
    main()
