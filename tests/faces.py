"""The pictures of model/faces as tests need them: people in one picture or in a clip of their own, on plain grey.

One person is real, the strangers are nobody (model/faces/PROVENANCE.md); each has a place in the picture that is
told by a number, three in a row, two rows. Blocks.
"""

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from recognition.checks.portraits import Portrait, read_portraits

KNOWN, *STRANGERS = read_portraits()
NAME = KNOWN.name
EVERYBODY: tuple[Portrait, ...] = (KNOWN, *STRANGERS)

CELL_PX, HEAD_PX = 320, 256
WIDTH, HEIGHT, FPS = 3 * CELL_PX, 2 * CELL_PX, 10
SWAY_PX = 6
ENCODING = {"preset": "ultrafast", "crf": "18"}

# Who stands at place 0, 1, 2, ...; None leaves it free.
Cast = Sequence[Portrait | None]


def place_of(box: Sequence[float]) -> int:
    """The number of the place in which the middle of a box (xyxy px) is."""
    column, row = (int((box[side] + box[side + 2]) / 2 // CELL_PX) for side in (0, 1))
    return 3 * row + column


def head(portrait: Portrait) -> np.ndarray:
    """Head and shoulders alone: (256, 256, 3) BGR."""
    pixels = portrait.image().bgr()
    x, y = ((portrait.box[:2] + portrait.box[2:]) / 2).round().astype(int)
    side = min(round(1.45 * float(portrait.box[3] - portrait.box[1])), *pixels.shape[:2])
    left, top = (
        int(np.clip(middle - side // 2, 0, room - side))
        for middle, room in ((x, pixels.shape[1]), (y, pixels.shape[0]))
    )
    return cv2.resize(pixels[top : top + side, left : left + side], (HEAD_PX, HEAD_PX), interpolation=cv2.INTER_AREA)


def picture_of(cast: Cast, sway: float = 0.0) -> np.ndarray:
    """These people side by side: (640, 960, 3) BGR; `sway` from -1 to 1 moves them all to a side."""
    picture = np.full((HEIGHT, WIDTH, 3), 96, np.uint8)
    border = (CELL_PX - HEAD_PX) // 2
    for place, portrait in enumerate(cast):
        if portrait is not None:
            left = place % 3 * CELL_PX + border + round(SWAY_PX * sway)
            top = place // 3 * CELL_PX + border
            picture[top : top + HEAD_PX, left : left + HEAD_PX] = head(portrait)
    return picture


def write_photo(path: Path, *cast: Portrait | None) -> Path:
    cv2.imwrite(str(path), picture_of(cast))
    return path


def write_film(path: Path, *shots: tuple[Cast, float]) -> Path:
    """One shot after the other, (who is there, for how many whole seconds); swaying, so that it can be looped."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=ENCODING)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", FPS
        for cast, seconds in shots:
            second = [picture_of(cast, np.sin(2 * np.pi * number / FPS)) for number in range(FPS)]
            for number in range(round(seconds * FPS)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(second[number % FPS], format="bgr24")))
        container.mux(stream.encode(None))
    return path
