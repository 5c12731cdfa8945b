"""What is kept of a visit, as plain data: what one write adds to it, and what is read back. Pure; any thread."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from recognition.arrays import F32
from streamer.events.event import IdentityEvent
from streamer.settings import EventsSettings

KEPT_FACES = 5
_MIB, _HOUR_S, _DAY_S = 1 << 20, 3600.0, 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class VisitFace:
    """One of a visit's best faces: its unit embedding (d,) float32, what space that is in, which models made it."""

    embedding: F32
    quality: float
    space: str
    signature: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """A visit's two, both as JPEG: the face (256x256) and the scene, which pictures.py makes."""

    face: bytes
    scene: bytes


def best_faces(faces: Iterable[VisitFace]) -> tuple[VisitFace, ...]:
    """The few that are kept, the best first."""
    return tuple(sorted(faces, key=lambda face: -face.quality)[:KEPT_FACES])


@dataclass(frozen=True, slots=True, eq=False)
class VisitChange:
    """What is written of a visit: `is_first` makes it; else it is only added to, and nothing where it is gone.

    Times in Unix s; began_s: the same moment as began_at on the steady clock. is_known: by its newest message it is
    somebody's. people: all whom its messages name. faces (None: as they were) and pictures replace the former: JPEGs,
    "face" and "scene".
    """

    event_id: str
    camera: str
    is_first: bool
    is_known: bool
    began_at: float
    began_s: float | None
    seen_at: float
    ended_at: float | None
    people: frozenset[str]
    messages: tuple[IdentityEvent, ...]
    faces: tuple[VisitFace, ...] | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said of a visit afterwards, in Unix s. is_named: whose it is; person_id None: nobody's who is
    enrolled. is_ignored: it is not to be reviewed.
    """

    at: float
    is_named: bool
    person_id: str | None
    is_ignored: bool


@dataclass(frozen=True, slots=True)
class KeptVisit:
    """A visit read back; `ended_at` is None while it goes on. `broken`: messages that can't be opened any more. The
    messages name whom somebody `said` that it is; `people`: whom they named before, too.
    """

    event_id: str
    camera: str
    is_known: bool
    began_at: float
    seen_at: float
    ended_at: float | None
    people: frozenset[str]
    messages: tuple[IdentityEvent, ...]
    broken: int = 0
    said: Said | None = None


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A visit of somebody unknown, and how it is to be reviewed. faces: another number where others of its faces are
    kept than before, which they are as long as it goes on, and not once it is over.
    """

    event_id: str
    camera: str
    began_at: float
    seen_at: float
    is_ignored: bool
    faces: float = -1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long visits are kept, and how much room they may take; unknown_s 0: those of unknown faces not at all."""

    keep_s: float
    unknown_s: float
    most_bytes: int


def limits_of(events: EventsSettings) -> Limits:
    """As they are configured."""
    return Limits(events.keep_days * _DAY_S, events.keep_unknown_h * _HOUR_S, events.keep_mib * _MIB)


def people_of(messages: Iterable[IdentityEvent]) -> frozenset[str]:
    """Whose ids they hold."""
    return frozenset(person.id for event in messages for person in event.people)
