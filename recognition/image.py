"""Images as recognition wants them: a photo file or an array in, four views of its pixels out.

A video frame (streamer/ingest/frame.py) offers the same views without converting pixels that nobody looks at.
Everything here blocks for as long as the decoding takes; call it on the CPU pool.
"""

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from recognition.arrays import U8
from recognition.errors import ImageEmpty, ImageMissing, ImageTooLarge, ImageUnreadable

MAX_PIXELS = 50_000_000
MAX_BYTES = 64 * 1024 * 1024


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
        return np.asarray(resized[:, :, ::-1].transpose(2, 0, 1), dtype=np.uint8)

    def luma(self) -> U8:
        return np.asarray(cv2.cvtColor(self._bgr, cv2.COLOR_BGR2GRAY), dtype=np.uint8)

    def bgr(self) -> U8:
        return self._bgr


def _declared_size(head: bytes) -> tuple[int, int] | None:
    """Width and height as a JPEG, PNG, BMP or WebP header declares them, or None where it can't be told."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head.startswith(b"BM") and len(head) >= 26:
        return int.from_bytes(head[18:22], "little"), abs(int.from_bytes(head[22:26], "little", signed=True))
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) >= 30:
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head.startswith(b"\xff\xd8"):
        at = 2
        while at + 9 < len(head) and head[at] == 0xFF:
            marker = head[at + 1]
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def decode_image(data: bytes, name: str) -> ArrayImage:
    """A photo's bytes -> pixels, turned upright by its EXIF orientation. `name` is for the error's one line.

    Raises ImageEmpty, ImageTooLarge (before the pixels are decoded) and ImageUnreadable.
    """
    if not data:
        raise ImageEmpty(f"{name} is empty (0 bytes); give a JPEG, PNG or WebP photo")
    size = _declared_size(data[: 1 << 20])
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise ImageTooLarge(
            f"{name} has {size[0]}x{size[1]} pixels, more than {MAX_PIXELS // 10**6} million; make it smaller"
        )
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise ImageUnreadable(f"{name} is not a photo that can be read; give a JPEG, PNG or WebP file")
    if bgr.shape[0] * bgr.shape[1] > MAX_PIXELS:
        raise ImageTooLarge(f"{name} has more than {MAX_PIXELS // 10**6} million pixels; make it smaller")
    return ArrayImage(np.asarray(bgr, dtype=np.uint8))


def read_image(path: Path) -> ArrayImage:
    """A photo file -> pixels. Raises ImageMissing besides what decode_image raises."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImageTooLarge(f"{path} has {size >> 20} MiB, more than {MAX_BYTES >> 20}; make it smaller")
        data = path.read_bytes()
    except OSError as error:
        raise ImageMissing(f"{path} can't be read ({error.strerror}); check the path") from None
    return decode_image(data, str(path))
