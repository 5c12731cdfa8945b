#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg's libraries): the same JPEG from the same HTTP server is opened by another demuxer according to how its
# URL ends, where it is larger than the few kB that are looked at first, as every camera's is. Without a suffix it is jpeg_pipe: frames
# as they come, no length. With .jpg it is image2, the one for numbered files on a disk: a length of 40 ms (one frame of 25 a
# second), though the answer says image/jpeg in both cases. Who tells a still camera, which is to be asked again, from a
# clip that is over by the container's name or its duration takes /snapshot.jpg for a clip.
# Seen: "/snapshot jpeg_pipe None" and "/snapshot.jpg image2 40000".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/still.jpg" <<'PY'
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import av
import numpy as np

with av.open(sys.argv[1], "w", format="mjpeg") as file:
    stream = file.add_stream("mjpeg", rate=25)
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
    picture = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)  # larger than what is looked at first
    for packet in (*stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")), *stream.encode(None)):
        file.mux(packet)
jpeg = open(sys.argv[1], "rb").read()


class Camera(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(jpeg)))
        self.end_headers()
        self.wfile.write(jpeg)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Camera)
threading.Thread(target=server.serve_forever, daemon=True).start()
found = {}
for path in ("/snapshot", "/snapshot.jpg"):
    with av.open(f"http://127.0.0.1:{server.server_port}{path}") as container:
        found[path] = (container.format.name, container.duration)
        print(path, *found[path])
sys.exit(0 if found == {"/snapshot": ("jpeg_pipe", None), "/snapshot.jpg": ("image2", 40000)} else 1)
PY
