"""Which messages of kept visits are asked for, and pages of them, the newest first. Blocks for the file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gallery.storage.store import PersonStore
from streamer.events.event import Decision, EventType, IdentityEvent
from streamer.kept_visits.visit import KeptVisit
from streamer.kept_visits.visits_file import VisitsFile

MOST_LOOKED_AT = 1000  # visits a page; where few messages are asked for, it has less than it might
_STEP = 50
_PERSON_ID = re.compile(r"p[a-z0-9]{12}")
_EVENT_ID = re.compile(r"[0-9A-Z]{26}")


@dataclass(frozen=True, slots=True)
class Asked:
    """Captured from since_at until until_at (Unix s); of these cameras, people (ids), decisions, types. None: any."""

    since_at: float = float("-inf")
    until_at: float = float("inf")
    cameras: frozenset[str] | None = None
    people: frozenset[str] | None = None
    decisions: frozenset[Decision] | None = None
    types: frozenset[EventType] | None = None

    def takes(self, event: IdentityEvent) -> bool:
        """Whether a message of a visit of theirs is one of these."""
        if not self.since_at <= event.captured_at <= self.until_at:
            return False
        if self.decisions is not None and event.decision not in self.decisions:
            return False
        if self.types is not None and event.type not in self.types:
            return False
        return self.people is None or not self.people.isdisjoint(person.id for person in event.people)


@dataclass(frozen=True, slots=True)
class Position:
    """Of a message: behind it come the earlier ones of its visit, then the visits that began before."""

    began_at: float
    event_id: str
    seq: int


def ids_of(store: PersonStore, person: str) -> frozenset[str]:
    """By which ids messages may name somebody: by the one now and those before, or the very id that is given.

    Raises PersonNotFound and PersonAmbiguous.
    """
    if is_id(person) and store.lookup(person) is None:
        return frozenset({person})
    found = store.find(person).id
    return frozenset({found, *store.former_ids(found)})


def is_id(person: str) -> bool:
    """Whether that has the form of a person's id."""
    return _PERSON_ID.fullmatch(person) is not None


def is_event_id(event_id: str) -> bool:
    """Whether that has the form of a visit's id."""
    return _EVENT_ID.fullmatch(event_id) is not None


def page(
    file: VisitsFile, asked: Asked, before: Position | None, most: int
) -> tuple[list[IdentityEvent], Position | None]:
    """The newest `most` messages behind that position, and where the next page begins; None: there is nothing left."""
    found: list[IdentityEvent] = []
    last, here = before, before
    for _ in range(0, MOST_LOOKED_AT, _STEP):
        place = None if here is None else (here.began_at, here.event_id)
        visits = file.newest(asked.since_at, asked.until_at, asked.cameras, asked.people, place, _STEP)
        for visit in visits:
            for event in _behind(visit, here):
                if not asked.takes(event):
                    continue
                if len(found) == most:
                    return found, last
                found.append(event)
                last = Position(visit.began_at, visit.event_id, event.seq)
        if len(visits) < _STEP:
            return found, None
        here = Position(visits[-1].began_at, visits[-1].event_id, 0)
    return found, here


def _behind(visit: KeptVisit, here: Position | None) -> Iterator[IdentityEvent]:
    for event in reversed(visit.messages):
        if here is None or visit.event_id != here.event_id or event.seq < here.seq:
            yield event
