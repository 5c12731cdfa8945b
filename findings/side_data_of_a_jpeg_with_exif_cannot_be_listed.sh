#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1): a frame decoded from a JPEG that has EXIF (every phone's and many cameras' snapshots) carries
# side data of a kind that PyAV's enumeration does not know. Asking each item of `frame.side_data` for its `type`, as one
# does to find the display matrix, raises ValueError; `frame.rotation` is right.
# Seen: "31 is not a valid Type", rotation as the EXIF orientation says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 pillow==11.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import av
from PIL import Image

exif = Image.Exif()
exif[0x0112] = 6  # to be turned by 90 degrees
Image.new("RGB", (64, 48), "red").save("phone.jpg", exif=exif)
with av.open("phone.jpg") as source:
    frame = next(source.decode(video=0))
try:
    kinds = [item.type for item in frame.side_data]
except ValueError as error:
    print(f"PyAV {av.__version__}: side_data raises ValueError: {error}; rotation {frame.rotation}")
    if abs(frame.rotation) % 180 != 90:
        sys.exit("the rotation has changed")
else:
    sys.exit(f"it lists {kinds}: this has changed")
PYTHON
