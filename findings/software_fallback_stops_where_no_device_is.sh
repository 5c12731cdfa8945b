#!/usr/bin/env bash
# PyAV 18.1.0: HWAccel(..., allow_software_fallback=True) falls back for a stream that has no such decoder, and not where the device
# itself can't be had: av.open() and CodecContext.create() raise PermissionError "[Errno 1] Operation not permitted" there, which is
# what a file that may not be read would be. Of a kind that its FFmpeg was built without (vaapi, in its wheels) nothing is said at all: the
# stream is decoded in software. Who gives a camera hwaccel="cuda" with the fallback allowed loses it on a machine without a GPU.
# Seen: "cuda PermissionError", "vaapi yuv420p".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
export CUDA_VISIBLE_DEVICES=""  # no GPU, wherever this is run
"$folder/venv/bin/python" - "$folder/clip.mp4" <<'PY'
import sys

import av
import numpy as np
from av.codec.hwaccel import HWAccel, hwdevices_available

with av.open(sys.argv[1], "w") as file:
    stream = file.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    for _ in range(5):
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((360, 320), np.uint8), format="yuv420p")))
    file.mux(stream.encode(None))
print("built in:", *hwdevices_available())
seen = []
for kind in ("cuda", "vaapi"):
    try:
        with av.open(sys.argv[1], hwaccel=HWAccel(kind, allow_software_fallback=True)) as file:
            seen.append(next(file.decode(video=0)).format.name)
    except Exception as error:
        seen.append(type(error).__name__)
    print(kind, seen[-1])
sys.exit(seen != ["PermissionError", "yuv420p"])
PY
