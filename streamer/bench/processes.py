"""What the benchmark needs beside the service, each in a process of its own so that it is not measured with it.

A broker (amqtt), and a server that plays a clip as a live MPEG-TS stream over HTTP and hangs up every so often.
Run as a program (python -m streamer.bench.processes ...) this module is that process: it prints its port.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av

from streamer.mqtt.embedded_broker import embedded_broker


@asynccontextmanager
async def broker_process() -> AsyncIterator[int]:
    """A broker on loopback while the context lasts; yields its port."""
    async with _process("broker") as port:
        yield port


@asynccontextmanager
async def cutting_server(clip: Path, cut_after_s: float) -> AsyncIterator[str]:
    """A server whose live stream of the clip ends every `cut_after_s` seconds; yields its URL."""
    async with _process("server", str(clip), str(cut_after_s)) as port:
        yield f"http://127.0.0.1:{port}/live.ts"


@asynccontextmanager
async def _process(*arguments: str) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


class _Live(BaseHTTPRequestHandler):
    """GET: the clip in real time, round and round, until the time is up; then the connection is closed."""

    clip = ""
    cut_after_s = 10.0

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        try:
            self._play(time.monotonic() + self.cut_after_s)
        except (OSError, av.FFmpegError):
            return  # the reader has gone

    def _play(self, ends_s: float) -> None:
        with av.open(self.wfile, "w", format="mpegts") as out:
            stream = None
            started_s, offset_s = time.monotonic(), 0.0
            for _ in itertools.count():
                with av.open(self.clip) as source:
                    video = source.streams.video[0]
                    stream = stream or out.add_stream_from_template(video)
                    for packet in source.demux(video):
                        if packet.dts is None or packet.time_base is None:
                            continue
                        due_s = float(packet.dts * packet.time_base) + offset_s
                        while (now_s := time.monotonic() - started_s) < due_s:
                            time.sleep(min(due_s - now_s, 0.05))
                        if time.monotonic() >= ends_s:
                            return
                        shift = int(offset_s / packet.time_base)
                        packet.dts += shift
                        packet.pts = None if packet.pts is None else packet.pts + shift
                        packet.stream = stream
                        out.mux(packet)
                    offset_s += float(video.duration * video.time_base) if video.duration and video.time_base else 1.0

    def log_message(self, *_: object) -> None:
        pass


async def _broker() -> None:
    async with embedded_broker() as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """The process itself: `broker`, or `server CLIP SECONDS`."""
    if sys.argv[1] == "broker":
        asyncio.run(_broker())
        return
    _Live.clip, _Live.cut_after_s = sys.argv[2], float(sys.argv[3])
    with ThreadingHTTPServer(("127.0.0.1", 0), _Live) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
