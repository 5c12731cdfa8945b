#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1): an H.264 stream that says by its display orientation message how its pictures are turned, with
# the repetition period 1 (ITU-T H.264, D.2.24: it holds until the next such message or the end of the sequence), and
# says it at its keyframe, as encoders do, gives frames of which the keyframe alone has a rotation. Who turns each frame by
# its own `rotation` shows the keyframe upright and all that follow it on their side.
# Seen: rotations 90 0 0 0 0 0 0 0 0 0 of ten frames that begin with a keyframe.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

with av.open("plain.h264", "w", format="h264") as target:
    stream = target.add_stream("libx264", rate=25, options={"tune": "zerolatency", "g": "50", "threads": "1"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(10):
        picture = np.full((48, 64, 3), 20 * number, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts = number
        target.mux(stream.encode(frame))
    target.mux(stream.encode(None))

with av.open("plain.h264") as source, open("turned.h264", "wb") as turned:
    video = source.streams.video[0]
    told = BitStreamFilterContext("h264_metadata=display_orientation=insert:rotate=90", video)
    for packet in source.demux(video):
        for filtered in told.filter(packet if packet.size else None):
            turned.write(bytes(filtered))

with av.open("turned.h264") as source:
    frames = [(int(frame.key_frame), frame.rotation % 360) for frame in source.decode(video=0)]
print(f"PyAV {av.__version__}: rotations", *(rotation for _, rotation in frames))
if len(frames) != 10 or [rotation != 0 for _, rotation in frames] != [key == 1 for key, _ in frames]:
    sys.exit("this has changed")
PYTHON
