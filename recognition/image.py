"""Images as recognition wants them: a photo file or an array in, four views of its pixels out.

A video frame (streamer/ingest/frame.py) offers the same views without converting pixels that nobody looks at.
Everything here blocks for as long as the decoding takes; call it on the CPU pool.
"""

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from recognition.arrays import U8
from recognition.errors import (
    ImageCutShort,
    ImageEmpty,
    ImageKindUnsupported,
    ImageMissing,
    ImageTooLarge,
    ImageUnreadable,
)
from recognition.photo_files import Kind, avif_turn, bare_webp_exif, cut_short, declared_size, kind_of, turned

# Phones take 50 and 64 megapixels (8160x6144, 9280x6944); decoded that is three bytes a pixel.
MAX_PIXELS = 65_000_000
MAX_BYTES = 64 * 1024 * 1024

# What is wrong with a photo is said in our own line: OpenCV's several would come before it on stderr.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class Image(Protocol):
    """One picture. Every view is uint8, may share memory with the picture and must not be written to."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...

    def scaled_rgb_planes(self, width: int, height: int) -> U8:
        """The whole picture resized to (3, height, width), planes in the order R, G, B."""
        ...

    def luma(self) -> U8:
        """Brightness at full size, (height, width)."""
        ...

    def bgr(self) -> U8:
        """Every pixel, (height, width, 3), OpenCV's channel order."""
        ...


class ArrayImage:
    """An image held as a BGR array (height, width, 3) uint8."""

    def __init__(self, bgr: U8) -> None:
        if bgr.ndim != 3 or bgr.shape[2] != 3 or bgr.dtype != np.uint8:
            raise ValueError(f"bgr: want uint8 (h, w, 3), got {bgr.dtype} {bgr.shape}")
        self._bgr = bgr

    @property
    def width(self) -> int:
        return int(self._bgr.shape[1])

    @property
    def height(self) -> int:
        return int(self._bgr.shape[0])

    def scaled_rgb_planes(self, width: int, height: int) -> U8:
        shrinks = width < self.width
        resized = cv2.resize(self._bgr, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        planes = np.empty((3, height, width), np.uint8)
        cv2.split(resized, list(planes[::-1]))
        return planes

    def luma(self) -> U8:
        return np.asarray(cv2.cvtColor(self._bgr, cv2.COLOR_BGR2GRAY), dtype=np.uint8)

    def bgr(self) -> U8:
        return self._bgr


def decode_image(data: bytes, name: str) -> ArrayImage:
    """A photo's bytes -> pixels, turned upright as the file says. `name` is for the error's one line.

    Raises ImageEmpty, ImageTooLarge (before the pixels are decoded), ImageCutShort, ImageKindUnsupported (HEIC) and
    ImageUnreadable.
    """
    if not data:
        raise ImageEmpty(f"{name} is empty (0 bytes); give a JPEG, PNG or WebP photo")
    kind = kind_of(data)
    if kind == "HEIC":
        raise ImageKindUnsupported(
            f"{name} is a HEIC photo, which can't be read here; save or share it as JPEG (iPhone: Settings, Camera, "
            "Formats, Most Compatible), or convert it: heif-convert photo.heic photo.jpg"
        )
    size = declared_size(data, kind)
    if size is not None:
        _check_size(name, *size)
    if kind == "AVIF":
        bgr = _avif(data, name)
    else:
        _need_all(data, name, kind)  # before libpng says so on stderr
        bgr = _pixels(bare_webp_exif(data) if kind == "WebP" else data, name, kind, cv2.IMREAD_COLOR)
    _check_size(name, bgr.shape[1], bgr.shape[0])
    return ArrayImage(bgr)


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageTooLarge(
            f"{name} has {width}x{height} pixels, more than {MAX_PIXELS // 10**6} million; make it smaller"
        )


def _need_all(data: bytes, name: str, kind: Kind | None) -> None:
    if cut_short(data, kind):
        raise ImageCutShort(f"{name} is cut short, the {kind} goes on beyond its {len(data)} bytes; copy it again")


def _avif(data: bytes, name: str) -> U8:
    try:
        return _turned_avif(data, name)
    except ImageUnreadable:
        _need_all(data, name, "AVIF")  # only now: whatever lies behind the boxes of a good one looks like a cut
        raise


def _turned_avif(data: bytes, name: str) -> U8:
    width, height, matrix = avif_turn(data, name, MAX_PIXELS)
    _check_size(name, width, height)
    bgr = _pixels(data, name, "AVIF", cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if bgr.shape[:2] != (height, width):  # libav sees the tiles of a grid, each with a turn of its own
        raise ImageKindUnsupported(f"{name} is an AVIF made of tiles; give a JPEG, PNG or WebP photo")
    return turned(bgr, matrix)


def _pixels(data: bytes, name: str, kind: Kind | None, flags: int) -> U8:
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        bgr = None
    if bgr is None and kind is not None:
        raise ImageUnreadable(f"{name} is a {kind} that is damaged; copy it again, or give another photo")
    if bgr is None:
        raise ImageUnreadable(f"{name} is not a photo that can be read; give a JPEG, PNG, WebP, AVIF or BMP file")
    return np.asarray(bgr, dtype=np.uint8)


def read_image(path: Path) -> ArrayImage:
    """A photo file -> pixels. Raises ImageMissing besides what decode_image raises."""
    return decode_image(photo_bytes(path), str(path))


def photo_bytes(path: Path) -> bytes:
    """A photo file as it is. Raises ImageMissing, ImageTooLarge."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImageTooLarge(f"{path} has {size >> 20} MiB, more than {MAX_BYTES >> 20}; make it smaller")
        return path.read_bytes()
    except OSError as error:
        raise ImageMissing(f"{path} can't be read ({error.strerror}); check the path") from None


def pixels_in(data: bytes) -> int:
    """How many a photo's file says that it has; MAX_PIXELS where that is not known before it is decoded."""
    size = declared_size(data, kind_of(data))
    return MAX_PIXELS if size is None else min(size[0] * size[1], MAX_PIXELS)
