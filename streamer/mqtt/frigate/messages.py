"""An identity event as Frigate says it over MQTT: `events` and `tracked_object_update` below its prefix.

Events with the names that may be published go in, topics and payloads come out: the same ones for the same event, so
that what is sent again is known again. Keys are those of Frigate 0.16's documentation. Pure.
"""

import orjson

from streamer.events.event import IdentityEvent, Person

LABEL = "person"
COUNTED = (LABEL, "all")


class FrigateMessages:
    def __init__(self, prefix: str) -> None:
        self._events = f"{prefix}/events"
        self._updates = f"{prefix}/tracked_object_update"

    def topics(self, event: IdentityEvent) -> list[str]:
        """Where it is told: of who has a name, in two places."""
        return [self._events, self._updates] if _names(event) else [self._events]

    def payloads(self, event: IdentityEvent, *, changes_identity: bool) -> dict[str, bytes]:
        """What is said on each of these topics. changes_identity: an update that goes to two topics of people."""
        after = _object(event)
        before = after | {"end_time": None}
        if event.type == "new":
            before["sub_label"] = None
        elif changes_identity:
            before["sub_label"] = _sub_label(event.previous_person, None)
        told = {self._events: orjson.dumps({"type": event.type, "before": before, "after": after})}
        if _names(event) and event.person is not None:
            told[self._updates] = orjson.dumps(
                {
                    "type": "face",
                    "id": event.event_id,
                    "name": called(event.person),
                    "score": _score(event),
                    "camera": event.camera,
                    "timestamp": event.captured_at,
                }
            )
        return told


def called(person: Person) -> str:
    """The name, or the id where names are not published."""
    return person.name or person.id


def _names(event: IdentityEvent) -> bool:
    return event.person is not None and event.type != "end"


def _score(event: IdentityEvent) -> float | None:
    return event.confidence if event.confidence is not None else event.similarity


def _sub_label(person: Person | None, score: float | None) -> list[str | float | None] | None:
    return None if person is None else [called(person), score]


def _object(event: IdentityEvent) -> dict[str, object]:
    """One tracked object. It has a face's box, and the face's quality where Frigate has how sure it is of a person."""
    left, top, right, bottom = event.box
    width, height = right - left, bottom - top
    where = {
        "box": list(event.box),
        "area": width * height,
        "region": [0, 0, event.frame.width, event.frame.height],
        "score": event.quality,
    }
    kept = event.snapshot is not None
    return {
        "id": event.event_id,
        "camera": event.camera,
        "frame_time": event.captured_at,
        "snapshot": {"frame_time": event.captured_at, **where, "attributes": []} if kept else None,
        "label": LABEL,
        "sub_label": _sub_label(event.person, _score(event)),
        "top_score": event.quality,
        "false_positive": False,
        "start_time": event.first_seen_at,
        "end_time": event.captured_at if event.type == "end" else None,
        **where,
        "ratio": round(width / height, 2) if height else 0.0,
        "current_zones": [],
        "entered_zones": [],
        "thumbnail": None,
        "has_snapshot": kept,
        "has_clip": False,
        "active": event.type != "end",
        "stationary": False,
        "motionless_count": 0,
        "position_changes": 0,
        "attributes": {"face": event.quality},
        "current_attributes": [],
    }
