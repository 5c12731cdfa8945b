"""What somebody says of kept visits, whose they are or that they are erased, as listeners to events are told it. Pure;
nothing of it goes over MQTT.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from streamer.api.streaming.messages import Message

SAID = "whosthere.said/1"
ERASED = "whosthere.erased/1"
_MOST_TOLD = 500  # visits in one message

NameOf = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class VisitNews:
    """Visits of one camera are `person`'s (an id; None: nobody's) from said_at on, Unix s; else they are erased.

    former: whose they were before, where that is one who was named.
    """

    camera: str
    event_ids: tuple[str, ...]
    said_at: float
    person: str | None = None
    former: str | None = None
    is_erased: bool = False

    @property
    def people(self) -> frozenset[str]:
        return frozenset(one for one in (self.person, self.former) if one is not None)

    def without(self, forgotten: Collection[str]) -> "VisitNews":
        """Whoever is forgotten takes the visits along."""
        if self.people.isdisjoint(forgotten):
            return self
        return replace(self, person=None, former=None, is_erased=True)

    def message(self, message_id: str, name_of: NameOf) -> Message:
        told: dict[str, object] = {"schema": SAID, "camera": self.camera, "event_ids": self.event_ids}
        if self.is_erased:
            return Message(orjson.dumps(told | {"schema": ERASED}).decode(), message_id, "erased")
        person = None if self.person is None else {"id": self.person, "name": name_of(self.person)}
        told |= {"person": person, "said_at": self.said_at}
        return Message(orjson.dumps(told).decode(), message_id, "said")


def news_of(
    by_camera: Mapping[str, Sequence[str]],
    said_at: float,
    person: str | None = None,
    former: str | None = None,
    *,
    is_erased: bool = False,
) -> Iterator[VisitNews]:
    """Of visits by the camera that saw them, so many in each."""
    for camera, event_ids in by_camera.items():
        for first in range(0, len(event_ids), _MOST_TOLD):
            some = tuple(event_ids[first : first + _MOST_TOLD])
            yield VisitNews(camera, some, said_at, person, former, is_erased)
