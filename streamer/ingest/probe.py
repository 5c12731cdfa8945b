"""Looks at a camera once: opens it, waits for its first frame, leaves it. For `cameras probe` and `check`.

A URL goes in, a ProbeReport comes out; on the loop, with the source's own thread.
"""

import time
from dataclasses import dataclass

from streamer.ingest.source import open_source
from streamer.settings import CameraSettings


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a camera sends. width and height are its first frame's, px; fps is None where it doesn't say.

    open_s and first_frame_s are counted from the start of the probe. notes: what is odd about it, in words.
    """

    codec: str
    width: int
    height: int
    fps: float | None
    transport: str
    open_s: float
    first_frame_s: float
    notes: tuple[str, ...] = ()


async def probe(url: str, camera: CameraSettings, name: str = "probe") -> ProbeReport:
    """`url` as camera_url() gives it. Raises the CameraError that says what is wrong."""
    started_s = time.monotonic()
    async with open_source(name, camera, url) as source:
        open_s = time.monotonic() - started_s
        frame = await source.take()
        return ProbeReport(
            codec=source.info.codec,
            width=frame.width,
            height=frame.height,
            fps=source.info.fps,
            transport=source.info.transport,
            open_s=open_s,
            first_frame_s=time.monotonic() - started_s,
            notes=frame.image.notes,
        )
