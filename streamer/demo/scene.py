"""The sample scene: portraits in, a short clip of a camera that looks at them, and stills to enrol, out.

The camera pans, zooms, blurs and changes its light over pictures on a wall, hers and those of strangers whom
nobody can know, and looks away in between, so that visits begin and end; who_is_at() tells whom it shows where.
Drawing blocks for as long as it takes; call it off the event loop.
"""

import math
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from recognition.arrays import U8
from recognition.checks.portraits import Portrait, read_portraits
from streamer.errors import DemoFailed

PERSON = "Eileen Collins"
WIDTH, HEIGHT, FPS, SECONDS = 1280, 720, 25, 20

Box = tuple[float, float, float, float]

_DRAWN_AHEAD = 16
_WALL_WIDTH, _WALL_HEIGHT = 3600, 1100
_PORTRAIT_X, _PORTRAIT_Y = 300, 294
# Where the strangers hang, left and top in wall px: two beside her, the others further along.
_STRANGERS = ((900, 216), (900, 540), (1590, 300), (1900, 470), (2210, 330))
# The middle of her face and its height, in pixels of the portrait.
_FACE_X, _FACE_Y, _FACE_PX = 224, 124, 115


@dataclass(frozen=True, slots=True)
class View:
    """Where the camera looks at one moment.

    at_s from the start; x and y, the middle of the picture, in wall px; zoom in picture px a wall px; light
    multiplies brightness; blur_px is the standard deviation of the defocus in picture px; tilt in degrees.
    """

    at_s: float
    x: float
    y: float
    zoom: float
    light: float = 1.0
    blur_px: float = 0.0
    tilt: float = 0.0


_FX, _FY = _PORTRAIT_X + _FACE_X, _PORTRAIT_Y + _FACE_Y
_OTHERS_X, _OTHERS_Y = 2030.0, 510.0
_EMPTY_X, _EMPTY_Y = 3060.0, 560.0

# She is in the picture from the first frame to about 7 s and from 11.5 to 16.5 s. Between, while the camera is
# at the strangers further along, and before the loop begins again, she is out of it for longer than a visit
# takes to end (events.gone_after_s). The lap ends at bare wall: nobody's box is where hers then begins.
STORY = (
    View(0.0, _FX + 190, _FY + 70, 1.25),
    View(2.0, _FX + 60, _FY + 30, 1.6),
    View(4.0, _FX - 60, _FY + 20, 2.0, light=0.6, tilt=-5),
    View(5.5, _FX + 60, _FY + 60, 1.5, light=1.25, blur_px=2.2, tilt=3),
    View(6.5, _FX + 140, _FY + 90, 1.4),
    View(7.5, _OTHERS_X, _OTHERS_Y, 1.2),
    View(11.0, _OTHERS_X - 120, _OTHERS_Y - 40, 1.3, light=0.8),
    View(12.0, _FX + 200, _FY + 120, 1.0, light=0.8, blur_px=1.5),
    View(14.0, _FX - 30, _FY + 40, 1.7, light=1.1, tilt=4),
    View(15.5, _FX + 150, _FY + 80, 1.1, light=0.7, tilt=-4),
    View(16.3, _FX + 200, _FY + 80, 1.2),
    View(17.2, _OTHERS_X, _OTHERS_Y, 1.2),
    View(18.8, _OTHERS_X + 40, _OTHERS_Y + 20, 1.3),
    View(19.5, _EMPTY_X, _EMPTY_Y, 1.25),
    View(20.0, _EMPTY_X + 60, _EMPTY_Y, 1.25),
)


def view_at(second: float) -> View:
    """The camera's view at a moment of the story: eased between its key views, never overshooting."""
    before = max((view for view in STORY if view.at_s <= second), key=lambda view: view.at_s)
    after = min((view for view in STORY if view.at_s > second), key=lambda view: view.at_s, default=before)
    span_s = after.at_s - before.at_s
    share = 0.0 if span_s == 0 else (1 - math.cos(math.pi * (second - before.at_s) / span_s)) / 2

    def between(a: float, b: float) -> float:
        return a + (b - a) * share

    return View(
        second,
        between(before.x, after.x),
        between(before.y, after.y),
        between(before.zoom, after.zoom),
        between(before.light, after.light),
        between(before.blur_px, after.blur_px),
        between(before.tilt, after.tilt),
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """A face in the picture: name None is a stranger; box xyxy px; whole where no part of it is outside."""

    name: str | None
    box: Box
    whole: bool


def faces_at(second: float) -> list[Shown]:
    """Every face that the picture shows, whole or in part, at a second of the story."""
    view = view_at(second)
    matrix = _camera_matrix(view)
    shown = []
    for portrait, (left, top) in _hung():
        x1, y1, x2, y2 = portrait.box + np.array((left, top, left, top), np.float32)
        x, y = matrix @ ((x1 + x2) / 2, (y1 + y2) / 2, 1.0)
        wide, high = (x2 - x1) / 2 * view.zoom, (y2 - y1) / 2 * view.zoom
        box = (float(x - wide), float(y - high), float(x + wide), float(y + high))
        if box[2] > 0 and box[0] < WIDTH and box[3] > 0 and box[1] < HEIGHT:
            whole = box[0] >= 0 and box[1] >= 0 and box[2] <= WIDTH and box[3] <= HEIGHT
            shown.append(Shown(portrait.name, box, whole))
    return shown


def who_is_at(second: float, box: Box) -> str | None:
    """The name of whom the scene shows where a box (xyxy px) is; None: a stranger, or nobody at all.

    `second` from the start of the first lap, of however many.
    """
    best = max(faces_at(second % SECONDS), key=lambda face: _overlap(face.box, box), default=None)
    return best.name if best and _overlap(best.box, box) > 0 else None


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0.0) * max(height, 0.0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def render(path: Path, unwanted: threading.Event) -> None:
    """Write the scene as H.264 in `path` (its suffix names the container), 1280x720, 25 fps, 20 s, loopable.

    Blocks for seconds (about 3 on two idle cores); stops early, the clip unfinished, once `unwanted` is set.
    Raises DemoFailed where it can't be written.
    """
    try:
        _encode(path, unwanted)
    except (av.FFmpegError, OSError) as error:
        raise DemoFailed(
            f"the sample scene can't be written to {path} ({error.strerror}); make room, or set TMPDIR"
        ) from None


def _encode(path: Path, unwanted: threading.Event) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.gop_size = FPS
        for planes in _pictures(_wall()):
            if unwanted.is_set():
                return
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode(None))


def _pictures(wall: U8) -> Iterator[U8]:
    """Every frame in order, drawn a little ahead of the encoder, which leaves half of two cores idle."""
    waiting: deque[Future[U8]] = deque()
    with ThreadPoolExecutor(2, thread_name_prefix="draw") as pool:
        for number in range(FPS * SECONDS):
            waiting.append(pool.submit(_picture, wall, view_at(number / FPS)))
            if len(waiting) > _DRAWN_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def write_stills(folder: Path) -> list[Path]:
    """Three photos to enrol from, none of them a frame of the scene; JPEG files in `folder`.

    One photograph stands behind them and the scene: they differ in size, tilt, side and light, no more.
    """
    portrait = next(portrait for portrait, _ in _hung() if portrait.name == PERSON).image().bgr()
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    looks = {
        "upright": _still(portrait, (_FACE_X, _FACE_Y), size=1.6, tilt=0.0, light=1.05),
        "mirrored": _still(mirrored, (len(portrait) - _FACE_X, _FACE_Y), size=1.2, tilt=-6.0, light=0.85),
        "tilted": _still(portrait, (_FACE_X, _FACE_Y), size=2.2, tilt=8.0, light=1.15),
    }
    paths = []
    for name, still in looks.items():
        path = folder / f"{name}.jpg"
        path.write_bytes(cv2.imencode(".jpg", still, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
        paths.append(path)
    return paths


@cache
def _hung() -> tuple[tuple[Portrait, tuple[int, int]], ...]:
    """Every picture on the wall, and where its left upper corner is in wall px; hers is the first."""
    portraits = read_portraits()
    known = next(portrait for portrait in portraits if portrait.name == PERSON)
    strangers = [portrait for portrait in portraits if portrait.name is None]
    return ((known, (_PORTRAIT_X, _PORTRAIT_Y)), *zip(strangers, _STRANGERS, strict=True))


def _wall() -> U8:
    """The pictures, framed, on a wall with a little plaster to it; BGR."""
    noise = np.random.default_rng(7).normal(0, 1, (_WALL_HEIGHT // 4, _WALL_WIDTH // 4)).astype(np.float32)
    plaster = cv2.resize(cv2.GaussianBlur(noise, (0, 0), 1.5), (_WALL_WIDTH, _WALL_HEIGHT)) * 22
    falloff = np.linspace(0, -36, _WALL_WIDTH, dtype=np.float32)
    wall = np.array([178, 190, 196], np.float32) + (plaster + falloff)[:, :, None]
    pixels: U8 = np.clip(wall, 0, 255).astype(np.uint8)
    for portrait, (left, top) in _hung():
        picture = portrait.image().bgr()
        right, bottom = left + picture.shape[1], top + picture.shape[0]
        cv2.rectangle(pixels, (left - 14, top - 14), (right + 13, bottom + 13), (38, 48, 62), -1)
        cv2.rectangle(pixels, (left - 3, top - 3), (right + 2, bottom + 2), (120, 160, 190), -1)
        pixels[top:bottom, left:right] = picture
    return pixels


def _camera_matrix(view: View) -> NDArray[np.float64]:
    """Wall px -> picture px, (2,3): the view's point goes to the middle of the picture."""
    matrix = np.asarray(cv2.getRotationMatrix2D((view.x, view.y), view.tilt, view.zoom), dtype=np.float64)
    matrix[:, 2] += (WIDTH / 2 - view.x, HEIGHT / 2 - view.y)
    return matrix


def _picture(wall: U8, view: View) -> U8:
    """What the camera sees, as I420 planes (720 * 3 / 2, 1280); light and defocus touch brightness alone."""
    seen = cv2.warpAffine(
        wall, _camera_matrix(view), (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    planes = np.asarray(cv2.cvtColor(seen, cv2.COLOR_BGR2YUV_I420), dtype=np.uint8)
    luma = planes[:HEIGHT]
    if view.blur_px > 0.3:
        luma = np.asarray(cv2.GaussianBlur(luma, (0, 0), view.blur_px), dtype=np.uint8)
    planes[:HEIGHT] = cv2.convertScaleAbs(luma, alpha=view.light)
    return planes


def _still(portrait: U8, face: tuple[int, int], *, size: float, tilt: float, light: float) -> U8:
    """Her head and shoulders as one photo of its own: resized, tilted about the face, lit anew."""
    side = round(240 * size)
    matrix = np.asarray(cv2.getRotationMatrix2D(face, tilt, size), dtype=np.float64)
    matrix[:, 2] += (side / 2 - face[0], side / 2 - face[1])
    seen = cv2.warpAffine(portrait, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.convertScaleAbs(seen, alpha=light), dtype=np.uint8)
