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
from streamer.pipeline.tracking import Sighting, Tracker
from streamer.pipeline.visits import Visits, pixels


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


def tell_faces(watcher: Watcher | None, frame: Frame, sightings: Sequence[Sighting], visits: Visits) -> None:
    """Tell whoever looks of the faces that this frame shows."""
    if watcher is not None and watcher.looks:
        watcher.looked(frame, [_seen_face(sighting, frame, visits) for sighting in sightings])


def tell_same_faces(watcher: Watcher | None, frame: Frame, tracker: Tracker, visits: Visits) -> None:
    """The same of a quiet frame: those that the last one showed that was looked at."""
    still = [sighting for sighting in tracker.shown if sighting.track.current() in tracker.tracks]
    tell_faces(watcher, frame, still, visits)


def _seen_face(sighting: Sighting, frame: Frame, visits: Visits) -> SeenFace:
    """A face as this frame shows it, with what events have said so far of whose it is."""
    track = sighting.track.current()
    said = visits.said_of(track)
    return SeenFace(
        box=pixels(sighting.box, frame.width, frame.height),
        score=track.score,
        is_told=said is not None,
        person_id=said.person.id if said and said.person else None,
        similarity=said.similarity if said else None,
        quality=sighting.quality,
    )
