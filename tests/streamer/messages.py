"""Scripted identity events for tests of the outbox and the publisher: "a1n a2u a3e" is one visit, end and all."""

import re
from collections.abc import Sequence

from streamer.events.event import Due, EventType, FrameSize, IdentityEvent, LatencyMs, Models, Person, PossiblePerson
from streamer.events.outbox_file import Stored

TYPES: dict[str, EventType] = {"n": "new", "u": "update", "e": "end"}
ADA = "pada000000000"
BOB = "pbob000000000"


def event_id(visit: str) -> str:
    """A visit's letters as 26 characters."""
    return visit.upper().rjust(26, "0")


def due(
    word: str,
    *,
    person: str | None = ADA,
    name: str | None = None,
    previous: str | None = None,
    captured_at: float = 1000.0,
    camera: str = "door",
    candidates: Sequence[str] = (),
) -> Due:
    """`a2u` -> the second message of visit a, an update. candidates: of one that is in doubt between them."""
    person = None if candidates else person
    parts = re.fullmatch(r"([a-z]+)(\d+)([nue])", word)
    assert parts, word
    kind = TYPES[parts[3]]
    event = IdentityEvent(
        event_id=event_id(parts[1]),
        seq=int(parts[2]),
        type=kind,
        camera=camera,
        cameras=[camera],
        track_ids=[f"{camera}-1"],
        person=Person(id=person, name=name) if person else None,
        previous_person=Person(id=previous, name=name) if previous else None,
        similarity=0.7 if person or candidates else None,
        threshold=0.4,
        confidence=0.9 if person else None,
        margin=0.3,
        quality=0.8,
        box=(10, 20, 110, 120),
        frame=FrameSize(width=1280, height=720),
        first_seen_at=captured_at - 1.0,
        captured_at=captured_at,
        end_reason="left" if kind == "end" else None,
        latency_ms=LatencyMs(decode=1.0, queue=1.0, detect=10.0, embed=5.0, match=0.1),
        model=Models(detector="scrfd_500m", embedder="arcface_w600k_mbf", signature="s"),
        decision="ambiguous" if candidates else "known" if person else "unknown",
        candidates=tuple(PossiblePerson(id=one, name=name, similarity=0.6) for one in candidates),
    )
    levels = (previous, person) if previous else (person,)
    return Due(event, tuple(level or "unknown" for level in levels))


def dues(words: str) -> list[Due]:
    return [due(word) for word in words.split()]


def word_of(event: IdentityEvent) -> str:
    """The way back."""
    return f"{event.event_id.lstrip('0').lower()}{event.seq}{event.type[0]}"


def words_of(waiting: list[Stored] | list[Due]) -> str:
    return " ".join(word_of(item.event) for item in waiting)
