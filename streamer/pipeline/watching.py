"""What somebody who looks at a camera is told, frame by frame: the picture, then the faces that were seen in it.

Called on the loop by the camera's path, in the frames' order. It is told of and never asked: nothing in the path waits
for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from recognition.image import Image
from streamer.events.event import Due
from streamer.ingest.frame import Frame


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face of one frame. box: [left, top, right, bottom] px of the picture as a person sees it; score in [0, 1].

    is_told: an event has said whose it is; person_id and similarity are that event's, person_id None for somebody
    unknown. Before that nobody is named. quality: how much it is worth to an embedder, in [0, 1].
    """

    box: tuple[int, int, int, int]
    score: float
    is_told: bool
    person_id: str | None
    similarity: float | None
    quality: float


class Onlooker(Protocol):
    """Somebody who has to have seen a picture before what was decided in it is told."""

    async def told(self, camera: str, image: Image, due: Sequence[Due]) -> None:
        """Takes some milliseconds at most, and raises nothing."""
        ...


class Watcher(Protocol):
    """Both calls return at once and raise nothing."""

    @property
    def looks(self) -> bool:
        """Whether anybody does; faces are made ready only then."""
        ...

    def taken(self, frame: Frame) -> None:
        """The next frame, before it is looked at."""
        ...

    def looked(self, frame: Frame, faces: list[SeenFace]) -> None:
        """Its faces. Frames that could not be looked at have no such call."""
        ...
