"""One clip as cameras send it by each protocol, from real senders on loopback: ffmpeg, GStreamer, an HTTP server.

For tests and measurements: an H.264 clip goes in, the URL to open comes out while its sender runs. Blocks until the
sender listens. ffmpeg's own servers serve one client, from the clip's start on, and end with it.
"""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.source import PublishedSource
from streamer.settings import CameraSettings
from tests.http_servers import Quiet, http_servers
from tests.live.publish_server import PASSWORD, served
from tests.live.publishers import Transport, by_ffmpeg
from tests.live.servers import RtspServer, unused_port

COPY = ("-c", "copy", "-an")
_LISTENING = "0A"  # of /proc/net/tcp
_WITHIN_S = 20.0


@contextmanager
def sender(clip: Path, *output: str) -> Iterator[subprocess.Popen[bytes]]:
    """An ffmpeg that sends the clip in real time, round and round; killed at the end, also where it is stopped."""
    command = ["ffmpeg", "-v", "quiet", "-re", "-stream_loop", "-1", "-i", str(clip), *output]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def _await(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + _WITHIN_S
    while not ready():
        if process.poll() is not None or time.monotonic() > until_s:
            raise RuntimeError(f"the sender is not there: {process.args}")
        time.sleep(0.02)


def _listens(port: int, family: str = "tcp") -> bool:
    """Without a connection: these servers have one client."""
    for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        if int(local.rpartition(":")[2], 16) == port and (family == "udp" or state == _LISTENING):
            return True
    return False


@contextmanager
def listening(clip: Path, url: str, form: str, *codec: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """ffmpeg as a server for one client. `url`: with {port} in it."""
    url = url.format(port=(port := unused_port()))
    with sender(clip, *(codec or COPY), "-f", form, "-listen", "1", url) as process:
        _await(lambda: _listens(port), process)
        yield url, process


@contextmanager
def _by_listening(url: str, form: str, *codec: str, clip: Path, folder: Path) -> Iterator[str]:
    del folder
    with listening(clip, url, form, *codec) as (opened, _):
        yield opened


@contextmanager
def _by_rtsp(clip: Path, folder: Path) -> Iterator[str]:
    del folder
    with RtspServer(unused_port(), {"door": clip}) as server:
        yield server.url("door")


@contextmanager
def hls(clip: Path, folder: Path, seconds: int = 1) -> Iterator[str]:
    """A live playlist of pieces of so many seconds; its URL when it has two of them. `folder` is made."""
    folder.mkdir()
    pieces = ["-f", "hls", "-hls_time", str(seconds), "-hls_list_size", "4", "-hls_flags", "delete_segments"]
    playlist = folder / "live.m3u8"
    handler = partial(type("Files", (Quiet, SimpleHTTPRequestHandler), {}), directory=str(folder))
    with http_servers() as start, sender(clip, *COPY, *pieces, str(playlist)) as process:
        _await(lambda: playlist.is_file() and playlist.read_text().count("#EXTINF") >= 2, process)
        yield f"{start(handler)}/live.m3u8"


@contextmanager
def srt(clip: Path, *, passphrase: str = "") -> Iterator[str]:
    """An SRT listener of ffmpeg's; its URL."""
    port = unused_port()
    secret = f"&passphrase={passphrase}&pbkeylen=16" if passphrase else ""
    with sender(clip, *COPY, "-f", "mpegts", f"srt://127.0.0.1:{port}?mode=listener{secret}") as process:
        _await(lambda: _listens(port, "udp"), process)
        yield f"srt://127.0.0.1:{port}" + (f"?{secret[1:]}" if secret else "")


@contextmanager
def srt_handed_on(clip: Path, folder: Path, *, passphrase: str = "") -> Iterator[str]:
    """What docs/cameras.md says of SRT: another ffmpeg hands it on, here as a transport stream over HTTP."""
    del folder
    port = unused_port()
    with srt(clip, passphrase=passphrase) as source:
        quickly = ["-analyzeduration", "500000", "-probesize", "500000"]
        output = ["-c", "copy", "-f", "mpegts", "-listen", "1", f"http://127.0.0.1:{port}/door.ts"]
        with subprocess.Popen(
            ["ffmpeg", "-v", "quiet", *quickly, "-i", source, *output], stdin=subprocess.DEVNULL
        ) as process:
            try:
                _await(lambda: _listens(port), process)
                yield output[-1]
            finally:
                process.kill()


@contextmanager
def _as_file(clip: Path, folder: Path) -> Iterator[str]:
    copied = folder / f"copy{clip.suffix}"
    folder.mkdir()
    shutil.copy(clip, copied)
    yield str(copied)


Way = Callable[..., AbstractContextManager[str]]

# Each is called with clip= and folder=, a path that is not there yet.
WAYS: Mapping[str, Way] = {
    "rtsp": _by_rtsp,
    "rtmp": partial(_by_listening, "rtmp://127.0.0.1:{port}/live/key", "flv"),
    "flv over http": partial(_by_listening, "http://127.0.0.1:{port}/live.flv", "flv"),
    "ts over http": partial(_by_listening, "http://127.0.0.1:{port}/live.ts", "mpegts"),
    "srt, handed on": srt_handed_on,
    "hls": hls,
    "mjpeg": partial(_by_listening, "http://127.0.0.1:{port}/video", "mpjpeg", "-c:v", "mjpeg", "-q:v", "2"),
    "file": _as_file,
}

# Nothing is opened: the sender comes to us.
PUBLISHED: Mapping[str, Transport] = {"published tcp": "tcp", "published udp": "udp"}


@asynccontextmanager
async def published(way: str, clip: Path, folder: Path) -> AsyncIterator[PublishedSource]:
    """What a camera has of ffmpeg that pushes the clip, round and round. `folder` is made."""
    folder.mkdir()
    camera = CameraSettings.model_validate({"url": "publish://", "password": PASSWORD, "fps": 25})
    point = PublishPoint("door", camera)
    async with served(point) as port:
        url = f"rtsp://door:{PASSWORD}@127.0.0.1:{port}/door"
        with by_ffmpeg(clip, url, folder / "publisher.log", transport=PUBLISHED[way]):
            async with PublishedSource(point, camera) as source:
                yield source


@contextmanager
def stopped(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> Iterator[None]:
    """It sends nothing meanwhile, and closes nothing."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
