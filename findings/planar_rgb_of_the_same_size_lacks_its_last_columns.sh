#!/usr/bin/env bash
# PyAV 18.1.0 (libswscale 9.5.102): a 4:2:0 or 4:2:2 picture of 8 bits converted to planar RGB (gbrp) of its own size,
# where its width is 1 to 8 past a multiple of 16, comes out without its last columns: what the memory held before stands
# there. Packed RGB (rgb24) of the same picture is whole, and so is gbrp of another size.
# Seen: of a grey picture 328 wide 8 columns are not grey in gbrp, none in rgb24, none in gbrp 320 wide.
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
from av.video.reformatter import VideoReformatter

GREY = 200


def columns_not_grey(form: str, width: int, wide: int) -> int:
    rgb = np.full((180, width, 3), GREY, np.uint8)
    picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
    wrong = np.zeros(wide, bool)
    for _ in range(5):  # memory that is unwritten may be grey by chance
        memory = [np.full(180 * wide, 7, np.uint8) for _ in range(20)]
        del memory
        converted = VideoReformatter().reformat(picture, wide, 180, form)
        pixels = converted.to_ndarray(channel_last=True)
        wrong |= (np.abs(pixels.astype(int) - GREY) > 3).any(axis=(0, 2))
    return int(wrong.sum())


print(f"PyAV {av.__version__}, libswscale {'.'.join(map(str, av.library_versions['libswscale']))}")
planar = {width: columns_not_grey("gbrp", width, width) for width in (320, 322, 324, 328, 648, 640)}
packed, scaled = columns_not_grey("rgb24", 328, 328), columns_not_grey("gbrp", 328, 320)
print(f"columns that are not grey, by width: gbrp {planar}; rgb24 of 328: {packed}; gbrp, 328 to 320: {scaled}")
if planar != {320: 0, 322: 2, 324: 4, 328: 8, 648: 8, 640: 0} or packed or scaled:
    sys.exit("this has changed")
PYTHON
