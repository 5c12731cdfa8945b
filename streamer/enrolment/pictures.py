"""A clip or a camera -> its pictures of some seconds, a few of each second, with what each is called.

On the event loop; the source has its own threads. A camera is opened beside a service that runs.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from recognition.image import Image
from streamer.errors import CameraNotFound
from streamer.ingest.address import address
from streamer.ingest.source import open_source
from streamer.ingest.stream import StreamEnded
from streamer.settings import CameraSettings
from streamer.variables import expand_url

# Faster, and a picture is nearly the same as the one before (docs/accuracy.md).
_FPS = 4.0


async def pictures_of(name: str, camera: CameraSettings, seconds: float) -> AsyncGenerator[tuple[Path, Image], None]:
    """Of a live camera those that come within so many seconds, the newest whenever one is asked for; of a clip all
    of its first ones. Raises CameraError: CameraNotFound of one with the url publish://.
    """
    if camera.is_published:
        raise CameraNotFound(
            f"camera {name}: its pictures are pushed to the service, which alone has them; give a clip of it "
            "(whosthere enrol NAME clip.mp4), or set its `snapshots` and give one of its visits (--from-visit EVENT_ID)"
        )
    url = expand_url(camera.url)
    is_clip = address(name, camera, url).kind == "file"
    read = {"fps": _FPS, "loop": False, "pace": "fastest" if is_clip else "realtime"}
    async with open_source(name, camera.model_copy(update=read), url) as source:
        frame = await source.take()
        first_at, until_s = frame.captured_at, time.monotonic() + seconds
        while (at_s := frame.captured_at - first_at) <= seconds:
            yield Path(f"{name} at {at_s:.1f} s"), frame.image
            try:
                async with asyncio.timeout(None if is_clip else max(0.0, until_s - time.monotonic())):
                    frame = await source.take()
            except (TimeoutError, StreamEnded):
                return
