"""A photo on its way into an enrolment: where it lies in, its digest and a way to its pixels out.

Blocks for the file; any thread. What reads photos is a `Read`: of files here, of ZIPs in listing.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from recognition.image import Image, decode_image, photo_bytes, pixels_in


class Photo(NamedTuple):
    """`digest`: the SHA-256 (hex) of its file; `size_px`: how many pixels it says that it has.

    decode() blocks, and raises an ImageError.
    """

    digest: str
    size_px: int
    decode: Callable[[], Image]


Read = Callable[[Path], Photo]  # raises an ImageError


def of_file(path: Path) -> Photo:
    """Raises ImageMissing, ImageTooLarge."""
    return of_bytes(photo_bytes(path), path)


def of_bytes(data: bytes, path: Path) -> Photo:
    """`path`: what it is called."""
    return Photo(hashlib.sha256(data).hexdigest(), pixels_in(data), partial(decode_image, data, str(path)))


class InFlight:
    """How many photos are under way at once, so that networks have batches to fill, and how many pixels they may
    have together, whatever the photos are. Of one event loop.
    """

    MOST_PX = 130_000_000  # decoded three bytes each: 390 MB

    def __init__(self, photos: int = 1) -> None:
        self.photos = photos
        self._seats = asyncio.Semaphore(photos)
        self._room = asyncio.Condition()
        self._px = 0

    def seat(self) -> asyncio.Semaphore:
        return self._seats

    @asynccontextmanager
    async def room_for(self, size_px: int) -> AsyncIterator[None]:
        """Waits until it fits."""
        async with self._room:
            await self._room.wait_for(lambda: not self._px or self._px + size_px <= self.MOST_PX)
            self._px += size_px
        try:
            yield
        finally:
            async with self._room:
                self._px -= size_px
                self._room.notify_all()
