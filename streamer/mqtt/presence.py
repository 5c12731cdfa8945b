"""Who is there now, as the events tell it: by camera and by person.

Identity events go in, documents come out. Pure but for a clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from streamer.events.event import IdentityEvent

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class _There:
    camera: str
    person_id: str | None
    since: float


class Presence:
    """name_of gives the name of somebody enrolled, None for anybody else, who then counts as unknown."""

    def __init__(self, name_of: Callable[[str], str | None], publish_names: bool, now: Callable[[], float]) -> None:
        self._name_of = name_of
        self._publish_names = publish_names
        self._now = now
        self._started_at = round(now(), 3)
        self._visits: dict[str, _There] = {}
        self._changed_at: dict[str, float] = {}
        self._left_at: dict[str, float] = {}

    def heard(self, event: IdentityEvent) -> set[str]:
        """Take an event; returns the ids of people for whom something has changed, the camera's document has if any
        or none is named."""
        before = self._visits.pop(event.event_id, None)
        if event.type != "end":
            self._visits[event.event_id] = _There(
                event.camera, event.person.id if event.person else None, round(event.first_seen_at, 3)
            )
        self._changed_at[event.camera] = round(self._now(), 3)
        people = {before.person_id if before else None, event.person.id if event.person else None} - {None}
        for person_id in people:
            if person_id is not None and not self._of(person_id):
                self._left_at[person_id] = round(event.captured_at, 3)
        return {person_id for person_id in people if person_id is not None}

    def camera(self, camera: str) -> Document:
        """{"people": [{"id", "name", "since"}], "unknown": n, "at": Unix s}, who came first before the others."""
        since: dict[str, float] = {}
        unknown = 0
        for visit in sorted((v for v in self._visits.values() if v.camera == camera), key=lambda v: v.since):
            if visit.person_id is None or self._name_of(visit.person_id) is None:
                unknown += 1
            else:
                since.setdefault(visit.person_id, visit.since)
        people = [
            {"id": person_id, "name": self._name_of(person_id) if self._publish_names else None, "since": at}
            for person_id, at in since.items()
        ]
        return {"people": people, "unknown": unknown, "at": self._changed_at.get(camera, self._started_at)}

    def count(self, camera: str) -> int:
        """How many are before it, known or not."""
        return sum(visit.camera == camera for visit in self._visits.values())

    def person(self, person_id: str, seen_at: float | None) -> Document:
        """{"present", "cameras", "since"}; seen_at: the last sighting that is known (Unix s)."""
        visits = self._of(person_id)
        if visits:
            cameras = sorted({visit.camera for visit in visits})
            return {"present": True, "cameras": cameras, "since": min(visit.since for visit in visits)}
        left_at = self._left_at.get(person_id, self._started_at if seen_at is None else round(seen_at, 3))
        return {"present": False, "cameras": [], "since": left_at}

    def clock_stepped(self, step_s: float) -> None:
        """The wall clock was set by so many seconds: all times are told by the new one."""
        self._started_at = round(self._started_at + step_s, 3)
        for times in (self._changed_at, self._left_at):
            times.update({key: round(at + step_s, 3) for key, at in times.items()})
        for event_id, visit in self._visits.items():
            self._visits[event_id] = replace(visit, since=round(visit.since + step_s, 3))

    def forget(self, person_id: str) -> None:
        """Keep nothing of somebody who is not enrolled any more; an open visit goes on as unknown."""
        self._left_at.pop(person_id, None)
        for event_id, visit in self._visits.items():
            if visit.person_id == person_id:
                self._visits[event_id] = replace(visit, person_id=None)

    def forget_camera(self, camera: str) -> None:
        """It is configured no more; all its visits have ended."""
        self._changed_at.pop(camera, None)

    def _of(self, person_id: str) -> list[_There]:
        return [visit for visit in self._visits.values() if visit.person_id == person_id]
