"""Identity events, as the outbox gets them, and what people say of visits afterwards in; the same for whoever listens
out, whatever the broker does.

The last ones are kept in memory, without names, for listeners who come back. On the loop; nothing waits.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import orjson

from streamer.api.streaming.messages import Mailbox, Message
from streamer.api.streaming.visit_news import VisitNews
from streamer.events.event import IdentityEvent, named
from streamer.events.forgotten import event_as_unknown

MOST_KEPT = 500
KEPT_S = 3600.0
MOST_WAITING = 1000  # for one listener, beyond which it has to come back
GAP = "whosthere.gap/1"
FORGOTTEN = "whosthere.forgotten/1"
RENAMED = "whosthere.renamed/1"
_NOBODY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a listener is told; None: any. people: ids, in whatever part of an event they stand. changes: also
    what is said of visits afterwards, whoever is `known` by that, and who is forgotten or has another name.
    """

    cameras: frozenset[str] | None = None
    people: frozenset[str] | None = None
    known: bool | None = None
    changes: bool = False

    def takes(self, event: IdentityEvent | VisitNews) -> bool:
        if self.cameras is not None and event.camera not in self.cameras:
            return False
        if isinstance(event, VisitNews):
            is_theirs = self.people is None or event.is_erased or not self.people.isdisjoint(event.people)
            return self.changes and is_theirs
        if self.people is not None and self.people.isdisjoint(person.id for person in event.people):
            return False
        return self.known is None or self.known == (event.person is not None)


@dataclass(slots=True)
class _Kept:
    """message: as it was told last; None where nobody wanted it, or names have changed."""

    id: str
    event: IdentityEvent | VisitNews
    put_s: float
    message: Message | None = None


class LiveEvents:
    """name_of: a person's display name now. unix_s: the wall clock; clock: one in s that never jumps."""

    def __init__(
        self,
        name_of: Callable[[str], str | None],
        unix_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        most_kept: int = MOST_KEPT,
    ) -> None:
        self._name_of = name_of
        self._unix_s = unix_s
        self._clock = clock
        self._most_kept = most_kept
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._listeners: dict[Mailbox, Wanted] = {}
        self._said = 0

    def put(self, event: IdentityEvent) -> None:
        """An event is due."""
        self._tell(_id_of(event), self._published(event))

    def tell(self, news: Iterable[VisitNews]) -> None:
        """Somebody has said this of visits."""
        for one in news:
            self._said += 1
            self._tell(f"{one.event_ids[0]}-said{self._said}", one)

    def _tell(self, id_: str, event: IdentityEvent | VisitNews) -> None:
        kept = self._kept[id_] = _Kept(id_, event, self._clock())
        self._drop_old()
        for mailbox, wanted in self._listeners.items():
            if wanted.takes(event):
                mailbox.put(self._message(kept))

    @contextmanager
    def listening(self, wanted: Wanted, after: str | None = None) -> Iterator[Mailbox]:
        """What is due from now on. after: the id of the last event that a listener has, which hears all later ones
        first; where that is not known (any more), that it is not.
        """
        mailbox = Mailbox(MOST_WAITING)
        if after is not None:
            self._catch_up(mailbox, wanted, after)
        self._listeners[mailbox] = wanted
        try:
            yield mailbox
        finally:
            del self._listeners[mailbox]

    def gallery_changed(self, forgotten: Collection[str], renamed: Mapping[str, str] = _NOBODY) -> None:
        """Names may be others now; of who was forgotten nothing is kept, nor to be shown by who listens. renamed: who
        has another name, or, merged, another id, by id.
        """
        names = {who: (now, name) for who, now in renamed.items() if (name := self._name_of(now)) is not None}
        named_now = [{"id": who, "person": {"id": now, "name": name}} for who, (now, name) in names.items()]
        self._tell_all("forgotten", FORGOTTEN, sorted(forgotten))
        self._tell_all("renamed", RENAMED, named_now)
        for kept in self._kept.values():
            event = kept.event
            kept.event = (
                event.without(forgotten) if isinstance(event, VisitNews) else event_as_unknown(event, forgotten)
            )
            kept.message = None

    def _tell_all(self, kind: str, schema: str, people: Sequence[object]) -> None:
        """Whoever listens to changes now; not kept for who comes back, and has to ask anew."""
        if not people:
            return
        told = Message(orjson.dumps({"schema": schema, "people": people}).decode(), kind=kind)
        for mailbox, wanted in self._listeners.items():
            if wanted.changes:
                mailbox.put(told)

    def _drop_old(self) -> None:
        before_s = self._clock() - KEPT_S
        while self._kept and (len(self._kept) > self._most_kept or next(iter(self._kept.values())).put_s < before_s):
            self._kept.popitem(last=False)

    def _catch_up(self, mailbox: Mailbox, wanted: Wanted, after: str) -> None:
        self._drop_old()
        if after not in self._kept:
            gap = {"schema": GAP, "after": after, "oldest": next(iter(self._kept), None)}
            mailbox.put(Message(orjson.dumps(gap).decode(), kind="gap"))
        is_later = after not in self._kept
        for id_, kept in self._kept.items():
            if is_later and wanted.takes(kept.event):
                mailbox.put(self._message(kept))
            is_later |= id_ == after

    def _message(self, kept: _Kept) -> Message:
        if kept.message is None:
            event = kept.event
            if isinstance(event, VisitNews):
                kept.message = event.message(kept.id, self._name_of)
            else:
                kept.message = Message(named(event, self._name_of).model_dump_json(by_alias=True), kept.id)
        return kept.message

    def _published(self, event: IdentityEvent) -> IdentityEvent:
        """As it is handed over."""
        now_at = self._unix_s()
        total_ms = round(max(now_at - event.captured_at, 0.0) * 1000.0, 1)
        latency = event.latency_ms.model_copy(update={"total": total_ms})
        return event.model_copy(update={"published_at": round(now_at, 3), "latency_ms": latency})


def _id_of(event: IdentityEvent) -> str:
    return f"{event.event_id}-{event.seq}"
