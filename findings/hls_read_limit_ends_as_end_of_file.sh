#!/usr/bin/env bash
# PyAV 18.1.0 (its wheel's FFmpeg): a live HLS playlist that gets no further, opened with a read limit of 2 s. The limit
# strikes inside the HLS demuxer, and demux() ends without an exception, as at the end of a file. A plain HTTP stream that
# goes silent raises under the same limit. Whoever takes a normal end for "the camera closed the stream" misses the stall.
# Seen: 75 packets, then a normal end about 2 s later; from the plain stream ExitError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
mkdir served
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import threading
import time
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np

served = Path("served")


def write(path, **options):
    """Three seconds of grey, a keyframe each second."""
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "25", "preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((96, 160, 3), number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


write(served / "live.m3u8", format="hls", options={"hls_time": "1", "hls_list_size": "0"})
write(served / "live.ts", format="mpegts")
playlist = served / "live.m3u8"
playlist.write_text(playlist.read_text().replace("#EXT-X-ENDLIST\n", ""))  # it says that it goes on
over = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        file = served / self.path.strip("/")
        data = file.read_bytes()
        self.send_response(200)
        if self.path != "/live.ts":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        if self.path == "/live.ts":
            over.wait(30)  # silent, and still connected

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()


def ending(name):
    count, began = 0, time.monotonic()
    try:
        with av.open(f"http://127.0.0.1:{server.server_port}/{name}", timeout=(10, 2)) as container:
            for packet in container.demux(video=0):
                count += bool(packet.size)
    except av.FFmpegError as error:
        return count, type(error).__name__, time.monotonic() - began
    return count, None, time.monotonic() - began


hls, plain = ending("live.m3u8"), ending("live.ts")
over.set()
print(f"PyAV {av.__version__}: HLS: {hls[0]} packets, then {hls[1] or 'a normal end'} after {hls[2]:.1f} s")
print(f"a plain stream: {plain[0]} packets, then {plain[1] or 'a normal end'} after {plain[2]:.1f} s")
if hls[1] is not None or plain[1] is None:
    sys.exit("this has changed")
PYTHON
