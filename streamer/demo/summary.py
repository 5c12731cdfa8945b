"""What a subscriber can say of the demo: identity events in, the summary that `demo --json` ends with, out.

Pure apart from its own counts: no I/O, no clock (times come with the events). Used on the loop.
"""

from dataclasses import dataclass, field

from streamer.events.event import EventType, IdentityEvent


@dataclass(frozen=True, slots=True)
class PersonSeen:
    """One person who was named: first_named_s since the service ran; events counts new, update and end."""

    name: str
    first_named_s: float
    events: int


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """The demo in numbers.

    seconds: how long the service was watched; prepared_s: what came before (models, enrolment, rendering).
    unknown_events: those that name nobody. strangers_named: events that name somebody else than whom the sample
    scene shows in their box; None with another source, where nobody knows who is really there. mqtt: HOST:PORT,
    None where it never came to that.
    """

    seconds: float
    prepared_s: float
    events: dict[EventType, int]
    people: tuple[PersonSeen, ...]
    unknown_events: int
    strangers_named: int | None
    mqtt: str | None

    def document(self) -> dict[str, object]:
        """As JSON shows it."""
        return {
            "seconds": round(self.seconds, 1),
            "prepared_s": round(self.prepared_s, 1),
            "events": dict(self.events),
            "people": [
                {"name": p.name, "first_named_s": round(p.first_named_s, 2), "events": p.events} for p in self.people
            ],
            "unknown_events": self.unknown_events,
            "strangers_named": self.strangers_named,
            "mqtt": self.mqtt,
        }

    def lines(self) -> list[str]:
        """For people to read."""
        made = self.events
        lines = [
            f"{self.seconds:.1f} s watched, after {self.prepared_s:.1f} s to get ready: "
            f"{made['new']} new, {made['update']} update, {made['end']} end",
            *(f"{p.name}: named after {p.first_named_s:.1f} s, {p.events} events" for p in self.people),
        ]
        if not self.people:
            lines.append("nobody was named")
        if self.unknown_events:
            lines.append(f"unknown: {self.unknown_events} events")
        if self.strangers_named:
            lines.append(f"wrong: {self.strangers_named} events name somebody else than whom the scene shows")
        return lines


@dataclass(slots=True, eq=False)
class Tally:
    """Counts events, each of which it must get once (tail.follow sees to that).

    scene_is_known: whether add() is told who is really in an event's box.
    """

    scene_is_known: bool
    open_visits: set[str] = field(default_factory=set)
    _types: dict[EventType, int] = field(default_factory=lambda: {"new": 0, "update": 0, "end": 0})
    _people: dict[str, PersonSeen] = field(default_factory=dict)
    _unknown: int = 0
    _strangers: int = 0
    _wrong_visits: set[str] = field(default_factory=set)

    def add(self, event: IdentityEvent, at_s: float, shown: str | None = None) -> None:
        """One event, heard at_s after the service began to run.

        `shown`: who is really in its box; None: a stranger, or nobody. An `end`, which shows where somebody was
        last seen, maybe half out of the picture, is as right as what was said of its visit before.
        """
        self._types[event.type] += 1
        if event.type == "end":
            self.open_visits.discard(event.event_id)
        else:
            self.open_visits.add(event.event_id)
        if event.person is None:
            self._unknown += 1
            return
        name = event.person.name or event.person.id
        before = self._people.get(event.person.id)
        first_named_s, events = (before.first_named_s, before.events) if before else (at_s, 0)
        self._people[event.person.id] = PersonSeen(name, first_named_s, events + 1)
        if event.type != "end":
            (self._wrong_visits.discard if name == shown else self._wrong_visits.add)(event.event_id)
        if event.event_id in self._wrong_visits:
            self._strangers += 1

    def summary(self, *, seconds: float, prepared_s: float, mqtt: str | None) -> DemoSummary:
        """Everything counted so far; people in the order in which they were first named."""
        return DemoSummary(
            seconds=seconds,
            prepared_s=prepared_s,
            events=dict(self._types),
            people=tuple(sorted(self._people.values(), key=lambda person: person.first_named_s)),
            unknown_events=self._unknown,
            strangers_named=self._strangers if self.scene_is_known else None,
            mqtt=mqtt,
        )
