"""What the writer is told from the loop. Plain data."""

from dataclasses import dataclass

from recognition.arrays import F32
from recognition.image import Image
from streamer.events.event import IdentityEvent
from streamer.kept_visits.visit import VisitFace


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A good face of a track; with the picture that it was seen in where it is clearly the best so far, else None.

    is_scene: that is to be the visit's scene, too.
    """

    track: int
    face: VisitFace
    landmarks: F32
    image: Image | None = None
    is_scene: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What was told of a visit since the last time; began_s: first sight, on the steady clock."""

    track: int
    messages: tuple[IdentityEvent, ...]
    began_s: float | None


@dataclass(frozen=True, slots=True)
class Gone:
    """A track is over. What was told of it is written; nothing else of it stays."""

    track: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of this track's visit is to be kept, nor of what was."""

    track: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Nothing of these people is to be kept."""

    person_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a visit ended that a run before left open."""

    event: IdentityEvent


@dataclass(frozen=True, slots=True)
class Stepped:
    """The wall clock was set."""


Job = Seen | Told | Gone | Refused | Forgotten | Ended | Stepped
