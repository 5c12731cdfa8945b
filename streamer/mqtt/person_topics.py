"""What the broker retains of people: where each is, where each was seen last; erased when somebody is enrolled no more.

Presence and sightings go in, messages leave through Retained. On the loop.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict
from functools import partial

import orjson

from streamer.events.outbox import Outbox
from streamer.mqtt.presence import Presence
from streamer.mqtt.retained import Retained

LEAVES = ("last_seen", "present")


class PersonTopics:
    """name_of(person_id): the display name of somebody enrolled, None for anybody else, of whom nothing is retained.

    then(act) acts as soon as topics of who is gone may be emptied.
    """

    def __init__(
        self,
        prefix: str,
        retained: Retained,
        presence: Presence,
        outbox: Outbox,
        name_of: Callable[[str], str | None],
        then: Callable[[Callable[[], None]], None],
    ) -> None:
        self._prefix = prefix
        self._retained = retained
        self._presence = presence
        self._outbox = outbox
        self._name_of = name_of
        self._then = then
        self._forgotten: dict[str, str] = {}  # last_seen topics that are being erased, and whose they are

    def come(self, person_ids: Iterable[str]) -> None:
        """These are enrolled; of those who are new it is told where they are."""
        for person_id in person_ids:
            if self._topic(person_id, "present") not in self._retained:
                self.present_changed(person_id)

    def gone(self, person_ids: Iterable[str]) -> None:
        """They are enrolled no more."""
        for person_id in person_ids:
            self._presence.forget(person_id)
            self._pause(person_id)
            self._then(partial(self._erase_gone, person_id))

    def forget(self, person_ids: Collection[str]) -> None:
        """They were forgotten: nothing is kept of them here, and nothing retained."""
        for person_id in person_ids:
            self._presence.forget(person_id)
            self._forgotten.pop(self._topic(person_id, "last_seen"), None)
            self._pause(person_id)
            for leaf in LEAVES:
                self._then(partial(self._retained.erase, self._topic(person_id, leaf)))

    def present_changed(self, person_id: str) -> None:
        topic = self._topic(person_id, "present")
        if topic in self._retained or self._name_of(person_id) is not None:
            self._retained.put(topic, partial(self._present, person_id))

    def last_seen_changed(self, person_id: str) -> None:
        topic = self._topic(person_id, "last_seen")
        self._retained.put(topic, partial(self._last_seen, person_id))
        if self._name_of(person_id) is None:
            self._forgotten[topic] = person_id
            self._retained.erase(self._topic(person_id, "present"))

    def erased(self, topic: str) -> None:
        """The broker has acknowledged it."""
        person_id = self._forgotten.pop(topic, None)
        if person_id is not None:
            self._outbox.drop_last_seen([person_id])

    def _pause(self, person_id: str) -> None:
        """Whatever has to say something of them meanwhile: it would be nothing, and empty the topic too soon."""
        for leaf in LEAVES:
            self._retained.pause(self._topic(person_id, leaf))

    def _erase_gone(self, person_id: str) -> None:
        """Not where they are enrolled again by now."""
        for leaf in LEAVES:
            self._retained.resume(self._topic(person_id, leaf))
        if person_id in self._outbox.last_seen:
            self.last_seen_changed(person_id)
        if self._name_of(person_id) is None:
            self._retained.erase(self._topic(person_id, "present"))
        else:
            self.present_changed(person_id)

    def _topic(self, person_id: str, leaf: str) -> str:
        return f"{self._prefix}/people/{person_id}/{leaf}"

    def _present(self, person_id: str) -> bytes:
        if self._name_of(person_id) is None:
            return b""
        seen = self._outbox.last_seen.get(person_id)
        return orjson.dumps(self._presence.person(person_id, seen.at if seen else None))

    def _last_seen(self, person_id: str) -> bytes:
        """What to retain about a person: nothing, which erases the topic, where nobody has the id."""
        seen = self._outbox.last_seen.get(person_id)
        return b"" if seen is None or self._name_of(person_id) is None else orjson.dumps(asdict(seen))
