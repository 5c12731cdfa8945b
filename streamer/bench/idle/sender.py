"""Cameras by RTSP, a process of its own: clips go in, each on paths of its own, from where in the clip each one starts.

Run as a program (python -m streamer.bench.idle.sender CAMERAS.json): it prints its port, then a JSON line for each
camera that somebody plays: when which second of the clip was sent, from which on it goes round and round in real time.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop

from streamer.bench.idle.rtp_packets import CLOCK_HZ, PacketClip, framed, packet_clip
from streamer.errors import BenchFailed, StreamerError

MOST_WAITING_BYTES = 8 << 20  # of one who does not read: then it is cut off, as cameras do


@dataclass(frozen=True, slots=True)
class SentCamera:
    """What one camera sends: a clip, from the last keyframe before so many seconds of it."""

    clip: Path
    from_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """At `began_at` (time.time()) the picture of second `from_s` was sent; a lap takes `lap_s`."""

    camera: str
    began_at: float
    from_s: float
    lap_s: float


class Sender:
    """The running process. `played`: each camera's beginnings, one for each time that it was opened."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.played: dict[str, list[Played]] = {}

    def url(self, camera: str) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{camera}"


@asynccontextmanager
async def sending(cameras: Mapping[str, SentCamera], folder: Path) -> AsyncIterator[Sender]:
    """Send them as long as the context lasts. Raises BenchFailed where the process does not start."""
    table = folder / "sent-cameras.json"
    table.write_text(json.dumps({name: [str(one.clip), one.from_s] for name, one in cameras.items()}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(table)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    reading = None
    try:
        line = await process.stdout.readline()
        if not line:
            raise BenchFailed("the process that sends the cameras ended by itself; why is said above")
        sender = Sender(int(line))
        reading = asyncio.create_task(_read(process.stdout, sender), name="what is played")
        yield sender
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _read(lines: asyncio.StreamReader, sender: Sender) -> None:
    while line := await lines.readline():
        played = Played(**json.loads(line))
        sender.played.setdefault(played.camera, []).append(played)


class _Server:
    """RTSP 1.0 as little of it as players ask for: packets on the connection itself."""

    def __init__(self, cameras: Mapping[str, tuple[PacketClip, float]], tell: Callable[[Played], None]) -> None:
        self._cameras = cameras
        self._tell = tell

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        playing: asyncio.Task[None] | None = None
        try:
            while request := await _request(reader):
                method, url, headers = request
                name = url.split("?")[0].split("/")[3] if url.count("/") >= 3 else ""
                status, more, body = self._answer(method, url, name, headers)
                writer.write(_response(status, headers.get("cseq", "0"), more, body))
                await writer.drain()
                if status != "200 OK":
                    continue
                if method == "PLAY" and playing is None:
                    playing = asyncio.create_task(self._play(name, writer), name=f"play {name}")
                if method == "TEARDOWN":
                    return
        except (OSError, asyncio.IncompleteReadError, ValueError):
            return  # the player has gone, or is none
        finally:
            if playing is not None:
                playing.cancel()
                await asyncio.wait([playing])
            writer.close()

    def _answer(self, method: str, url: str, name: str, headers: dict[str, str]) -> tuple[str, dict[str, str], str]:
        if method == "OPTIONS":
            return "200 OK", {"Public": "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"}, ""
        if name not in self._cameras:
            return "404 Not Found", {}, ""
        if method == "DESCRIBE":
            return "200 OK", {"Content-Type": "application/sdp", "Content-Base": f"{url}/"}, self._cameras[name][0].sdp
        if method == "SETUP" and "interleaved" not in headers.get("transport", ""):
            return "461 Unsupported Transport", {}, ""
        if method == "SETUP":
            return "200 OK", {"Session": "1;timeout=60", "Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}, ""
        return "200 OK", {"Session": "1"}, ""

    async def _play(self, name: str, writer: asyncio.StreamWriter) -> None:
        clip, from_s = self._cameras[name]
        first = clip.keyframe_before(from_s)
        begins_s = clip.pictures[first].at_s
        began_s, sequence = time.monotonic(), 0
        self._tell(Played(name, time.time(), begins_s, clip.seconds))
        with suppress(OSError):
            for number in itertools.count(first):
                lap, place = divmod(number, len(clip.pictures))
                picture, lap_s = clip.pictures[place], lap * clip.seconds
                await asyncio.sleep(max(0.0, began_s + lap_s + picture.at_s - begins_s - time.monotonic()))
                writer.write(framed(picture.payloads, sequence, picture.pts + round(lap_s * CLOCK_HZ)))
                sequence += len(picture.payloads)
                if writer.transport.get_write_buffer_size() > MOST_WAITING_BYTES:
                    writer.transport.abort()
                    return


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]] | None:
    """The next one; what the player tells of packets (RTCP) is read over. None: it has gone."""
    while start := await reader.read(1):
        if start == b"$":
            _, high, low = await reader.readexactly(3)
            await reader.readexactly(high << 8 | low)
            continue
        head = start + await reader.readuntil(b"\r\n\r\n")
        first, *rest = head.decode().strip().split("\r\n")
        method, url, _ = first.split(" ", 2)
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in rest)}
        await reader.readexactly(int(headers.get("content-length", 0)))
        return method, url, headers
    return None


def _response(status: str, sequence: str, headers: Mapping[str, str], body: str) -> bytes:
    lines = [f"RTSP/1.0 {status}", f"CSeq: {sequence}", *(f"{key}: {value}" for key, value in headers.items())]
    if body:
        lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


async def _run(table: Mapping[str, tuple[str, float]]) -> None:
    clips = {path: packet_clip(Path(path)) for path in {path for path, _ in table.values()}}
    cameras = {name: (clips[path], from_s) for name, (path, from_s) in table.items()}
    server = await asyncio.start_server(_Server(cameras, _say_played).serve, "127.0.0.1", 0)
    _say(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


def _say_played(played: Played) -> None:
    _say(json.dumps({key: getattr(played, key) for key in Played.__slots__}))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """The process itself."""
    try:
        uvloop.run(_run(json.loads(Path(sys.argv[1]).read_text())))
    except StreamerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
