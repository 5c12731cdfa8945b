"""Every camera behind one Protocol: open it, take its newest frame, leave it; who takes need not know the kind.

Frames come out on the loop; the threads that a source has (one that decodes, for a live stream one that reads) end
with it. open_source() is for URLs that are opened here; a camera that pushes has publish/source.
"""

from types import TracebackType
from typing import Protocol, Self

from streamer.ingest.address import address
from streamer.ingest.frame import Frame
from streamer.ingest.libav_source import VideoSource
from streamer.ingest.picture_trouble import PictureReason
from streamer.ingest.stream import SourceHooks, StreamEnded, StreamInfo
from streamer.motion.attention import Attention
from streamer.settings import CameraSettings

__all__ = ["Source", "SourceHooks", "StreamEnded", "StreamInfo", "VideoSource", "open_source"]


class Source(Protocol):
    """One opening of one camera. Entering it raises a CameraError where it can't be opened."""

    @property
    def next_number(self) -> int:
        """The number that the next sampled frame gets: the first_number of the next opening."""
        ...

    @property
    def silent_s(self) -> float:
        """Seconds since the last frame was decoded; 0 while a clip's next one isn't due or nobody takes."""
        ...

    @property
    def trouble(self) -> PictureReason | None:
        """Why the pictures can't be used although they arrive."""
        ...

    @property
    def clip_started_at(self) -> float | None:
        """Unix time of a clip's start: a frame's captured_at less this is its time in the clip. None: no clip."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def peek(self) -> Frame | None:
        """What take() would give now, as soon as there is something; it may be a newer one by then. None: its error."""
        ...

    async def take(self) -> Frame:
        """The newest frame not yet taken (`fastest`: the next). Raises CameraError, or StreamEnded."""
        ...


def open_source(
    name: str,
    camera: CameraSettings,
    url: str,
    first_number: int = 0,
    hooks: SourceHooks | None = None,
    attention: Attention | None = None,
) -> "VideoSource":
    """The source for a camera; `url` is as expand_url() gives it, secrets in place. Enter it to open it.

    attention: by which it may sleep while nothing moves; None: every frame is decoded.

    Raises CameraNotFound for a scheme that no source knows.
    """
    return VideoSource(address(name, camera, url), camera, first_number, hooks or SourceHooks(), attention=attention)
