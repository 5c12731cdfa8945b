"""The identity event as it goes over the wire (schema whosthere.identity/1), and what goes of a backlog of them first.

Pure data; made on the loop. An event carries the person's id alone: the publisher joins the name in when it is
sent, so that what lies in the outbox holds no names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA: Final = "whosthere.identity/1"

EventType = Literal["new", "update", "end"]
Decision = Literal["known", "unknown", "ambiguous"]
EndReason = Literal["left", "camera_lost", "ended", "stopped", "interrupted"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Wire(BaseModel):
    # Added keys keep the schema's number: who reads an event ignores what it does not know.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Person(_Wire):
    id: Annotated[str, Field(pattern=r"^p[a-z0-9]{12}$")]
    name: str | None = None


class PossiblePerson(Person):
    """Somebody whom it may be, and how alike the face is to that person."""

    similarity: Annotated[float, Field(ge=-1, le=1)]


P = TypeVar("P", bound=Person)


class FrameSize(_Wire):
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


class LatencyMs(_Wire):
    """Where the deciding frame's time went; total is broker hand-over minus captured_at."""

    decode: float
    queue: float
    detect: float
    embed: float
    match: float
    total: float | None = None


class Models(_Wire):
    """What made the faces that an event was decided by; another event of the same visit may have other ones."""

    detector: str
    embedder: str
    signature: str


class IdentityEvent(_Wire):
    """One message of a visit. Times are Unix seconds, box is xyxy px of the deciding frame.

    candidates: between whom an ambiguous decision lies, the nearest first; of any other there are none.
    stream_late_ms: how much later than its stream's quickest frame the deciding one came (bursts); null for a clip.
    snapshot: under what name the visit is kept (its event_id); null where it is not.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, serialize_by_alias=True)

    schema_: Annotated[Literal["whosthere.identity/1"], Field(alias="schema")] = SCHEMA
    event_id: Annotated[str, Field(min_length=26, max_length=26)]
    seq: Annotated[int, Field(ge=1)]
    type: EventType
    camera: str
    cameras: list[str]
    track_ids: list[str]
    person: Person | None
    previous_person: Person | None = None
    similarity: Annotated[float, Field(ge=-1, le=1)] | None
    threshold: Annotated[float, Field(ge=-1, le=1)]
    confidence: Share | None
    margin: float | None
    quality: Share
    box: tuple[int, int, int, int]
    frame: FrameSize
    first_seen_at: float
    captured_at: float
    published_at: float | None = None
    end_reason: EndReason | None = None
    latency_ms: LatencyMs
    stream_late_ms: Annotated[float, Field(ge=0)] | None = None
    model: Models
    snapshot: Annotated[str, Field(min_length=26, max_length=26)] | None = None
    decision: Decision
    candidates: tuple[PossiblePerson, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, data: object) -> object:
        """Messages that were kept before there was a decision have a person, or none."""
        if isinstance(data, dict) and "decision" not in data:
            return data | {"decision": "unknown" if data.get("person") is None else "known"}
        return data

    @property
    def people(self) -> tuple[Person, ...]:
        """Everybody whose id is in it."""
        both = (person for person in (self.person, self.previous_person) if person is not None)
        return *both, *self.candidates


# Where names stand, which are joined in when a message is sent and kept nowhere.
NAMES: Final[Mapping[str, Any]] = {"person": {"name"}, "previous_person": {"name"}, "candidates": {"__all__": {"name"}}}


def named(event: IdentityEvent, name_of: Callable[[str], str | None]) -> IdentityEvent:
    """The event with everybody's name as this says; None: there is none (any more)."""

    def with_name(person: P) -> P:
        return person.model_copy(update={"name": name_of(person.id)})

    if not event.people:
        return event
    return event.model_copy(
        update={
            "person": None if event.person is None else with_name(event.person),
            "previous_person": None if event.previous_person is None else with_name(event.previous_person),
            "candidates": tuple(map(with_name, event.candidates)),
        }
    )


@dataclass(frozen=True, slots=True)
class Due:
    """An event on its way to the outbox, with the last topic level of each topic that it goes to.

    One level as a rule; an update that changes the identity goes to the old topic and to the new one.
    captured_s: the moment of captured_at on time.monotonic(), and on the steady clock once the outbox has it; None
    where nobody knows it.
    """

    event: IdentityEvent
    levels: tuple[str, ...]
    captured_s: float | None = None

    @property
    def names(self) -> bool:
        """Whether it is the first of its visit with a name: a `new`, or what an unknown turned out to be."""
        event = self.event
        if event.person is None or event.type == "end":
            return False
        return event.type == "new" or (self.levels[0] == "unknown" and len(self.levels) == 2)


@dataclass(frozen=True, slots=True)
class LastSeen:
    """A person's newest known sighting, as it is retained on the broker; at in Unix seconds."""

    camera: str
    at: float
    similarity: float | None
    event_id: str


def sighting_of(event: IdentityEvent) -> LastSeen:
    """Where and when an event saw its person."""
    return LastSeen(event.camera, event.captured_at, event.similarity, event.event_id)


def give_up(waiting: Sequence[Due], excess: int) -> tuple[list[Due], set[str]]:
    """The file's rule for what waits in memory: the oldest updates go first, then the oldest whole visits.

    Returns what is kept, at least `excess` fewer, and the visits whose `new` went and whose `end` is to come.
    """
    updates = [index for index, due in enumerate(waiting) if due.event.type == "update"][: max(excess, 0)]
    gone = set(updates)
    kept = [due for index, due in enumerate(waiting) if index not in gone]
    unheard: set[str] = set()
    while kept and len(waiting) - len(kept) < excess:
        oldest = kept[0].event.event_id
        kinds = {due.event.type for due in kept if due.event.event_id == oldest}
        if "new" in kinds and "end" not in kinds:
            unheard.add(oldest)
        kept = [due for due in kept if due.event.event_id != oldest]
    return kept, unheard
