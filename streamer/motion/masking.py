"""A camera's masks, put into its decoded pictures before anything looks at them.

A picture of libav's goes in, one whose masked pixels are black comes out, on the camera's thread. What the decoder
still needs is left as it is: such a picture is copied first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import av
import cv2
import numpy as np
from av.codec import find_best_pix_fmt_of_list
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from streamer.motion.areas import Grid, Polygons, covered

# Formats that are blacked as they stand; others are converted to the one of these that loses least.
_PLANAR = re.compile(r"(?P<kind>yuvj?4\d\dp|gray|gbrp)(?P<bits>9|10|12|14|16)?(le)?")
_NATIVE = ("yuv420p", "yuv422p", "yuv444p", "gray", "gbrp", "yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le")
_TWO_PLANES = {"nv12": (8, 0), "nv21": (8, 0), "nv16": (8, 0), "nv24": (8, 0), "p010le": (10, 6), "p016le": (16, 0)}
_FULL_RANGE = 2

Band = tuple[int, int, int, int]  # top, bottom, left, right, of a plane's rows and numbers


@dataclass(frozen=True, slots=True)
class _Storage:
    """How a format keeps its numbers: how many bits each has, how far they are shifted up in their two bytes."""

    bits: int
    shift: int
    is_yuv: bool

    def black(self, plane: int, is_full_range: bool) -> int:
        luma = 16 if self.is_yuv and not is_full_range else 0
        value = 128 if self.is_yuv and plane > 0 else luma
        return value << (self.bits - 8 + self.shift)


class PictureMask:
    """Of one opening of a camera. open_share: of the points that luma_sample() takes, those that no mask covers."""

    def __init__(self, masks: Polygons) -> None:
        self._masks = masks
        self._key: tuple[object, ...] | None = None
        self._bands: list[list[Band]] = []
        self.open_share = 1.0

    def hide(self, picture: av.VideoFrame, turns: int) -> av.VideoFrame:
        """turns: by how many quarters counterclockwise it is turned before a person sees it."""
        if not self._masks:
            return picture
        storage = _storage(picture.format.name)
        if storage is None:
            picture = _converted(picture)
            storage = _storage(picture.format.name)
            assert storage is not None, picture.format.name
        picture.make_writable()  # which copies what the decoder keeps a hold of
        key = (picture.width, picture.height, picture.format.name, picture.interlaced_frame, turns)
        if key != self._key:
            self._bands, self._key = self._bands_of(picture, turns), key
        is_full_range = picture.color_range == _FULL_RANGE or picture.format.name.startswith("yuvj")
        for place, (plane, bands) in enumerate(zip(picture.planes, self._bands, strict=True)):
            numbers, black = _numbers(plane, storage), storage.black(place, is_full_range)
            for top, bottom, left, right in bands:
                numbers[top:bottom, left:right] = black
        return picture

    def _bands_of(self, picture: av.VideoFrame, turns: int) -> list[list[Band]]:
        """What is to be blacked of each plane."""
        height, width = picture.height, picture.width
        seen = covered(self._masks, *((width, height) if turns % 2 else (height, width)))
        stored = np.rot90(seen, -turns).astype(np.uint8)
        # Rounded outwards; a number of colour in an interlaced picture is for rows that lie further apart.
        margin = np.ones((9 if picture.interlaced_frame else 3, 3), np.uint8)
        hidden = np.asarray(cv2.dilate(stored, margin), dtype=np.bool_)
        sample = hidden[8::16, 8::16]
        self.open_share = float(1.0 - sample.mean()) if sample.size else 1.0
        components = [component.plane for component in picture.format.components]
        return [
            list(_bands(_shrunk(hidden, plane.height, plane.width), components.count(place)))
            for place, plane in enumerate(picture.planes)
        ]


def _storage(name: str) -> _Storage | None:
    """None for a format whose numbers are packed otherwise."""
    if name in _TWO_PLANES:
        return _Storage(*_TWO_PLANES[name], is_yuv=True)
    found = _PLANAR.fullmatch(name)
    return found and _Storage(int(found["bits"] or 8), 0, is_yuv=found["kind"].startswith("yuv"))


def _converted(picture: av.VideoFrame) -> av.VideoFrame:
    best, _ = find_best_pix_fmt_of_list(_NATIVE, picture.format)
    assert best is not None
    return VideoReformatter().reformat(picture, format=best.name, threads=1)


def _numbers(plane: VideoPlane, storage: _Storage) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A view of what is stored, by rows, with the padding at their ends."""
    if storage.bits + storage.shift > 8:
        return np.frombuffer(memoryview(plane), np.uint16).reshape(-1, plane.line_size // 2)
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)


def _shrunk(grid: Grid, rows: int, columns: int) -> Grid:
    """For a plane of fewer numbers: each that any of its pixels is hidden by."""
    down, across = -(-grid.shape[0] // rows), -(-grid.shape[1] // columns)
    missing = (0, rows * down - grid.shape[0]), (0, columns * across - grid.shape[1])
    whole = np.pad(grid, missing)
    shrunk = np.zeros((rows, columns), np.bool_)
    for row in range(down):
        for column in range(across):
            shrunk |= whole[row::down, column::across]
    return shrunk


def _bands(grid: Grid, numbers: int) -> Iterator[Band]:
    """The hidden part as rectangles: rows that are alike in one. numbers: so many a pixel lie side by side."""
    starts = [0, *(np.flatnonzero((grid[1:] != grid[:-1]).any(axis=1)) + 1).tolist(), len(grid)]
    padded = np.pad(grid, ((0, 0), (1, 1)))
    for top, bottom in pairwise(starts):
        edges = np.flatnonzero(padded[top, 1:] != padded[top, :-1]) * numbers
        yield from ((top, bottom, left, right) for left, right in edges.reshape(-1, 2).tolist())
