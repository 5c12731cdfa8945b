"""The outbox's messages on their way to the broker, in order, past those that it refuses.

Stored messages come out of the outbox, leave through a Sender, and are forgotten once they are taken on each of their
topics. A message that is refused waits in the outbox, and so does whatever comes later for one of its topics. On the
loop.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field

from streamer.events.event import IdentityEvent
from streamer.events.outbox import Outbox
from streamer.events.outbox_file import Stored
from streamer.mqtt.frigate.messages import FrigateMessages
from streamer.mqtt.refusals import Refusals
from streamer.mqtt.sender import IN_FLIGHT, Sender
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics


@dataclass(slots=True)
class _Walk:
    """Through the outbox from its oldest row: where it is, what it set aside, the first row of each refused topic."""

    after: int
    blocked: set[str]
    aside: set[int] = field(default_factory=set)
    heads: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Held:
    """A message that may not go yet: it is not known whether what is under way before it on its topics is taken."""

    stored: Stored
    payloads: dict[str, bytes]
    is_main: bool


class EventPump:
    """run() is one connection's; what is known of refused messages outlives it.

    as_sent(stored) is the event with what is known only when it is handed over; hold() waits as long as events have to.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        outbox: Outbox,
        refusals: Refusals,
        as_sent: Callable[[Stored], IdentityEvent],
        taken: Callable[[Stored, float], None],
        metrics: Metrics,
        hold: Callable[[], Awaitable[None]],
    ) -> None:
        self._prefix = mqtt.topic_prefix
        self._frigate = FrigateMessages(mqtt.frigate.prefix) if mqtt.frigate.enabled else None
        self._expire_s = mqtt.expire_events_s
        self._hold = hold
        self._outbox = outbox
        self._refusals = refusals
        self._as_sent = as_sent
        self._taken = taken
        self._metrics = metrics
        self._delivered: dict[int, set[str]] = {}  # of messages that were taken on some of their topics
        self._ending = False
        self._begin()

    def _begin(self) -> None:
        self._walk = _Walk(0, set(self._refusals.topics))
        self._again: _Walk | None = None  # a second walk, up to where the first one is
        self._in_flight: set[int] = set()
        self._settled: set[int] = set()
        self._busy: Counter[str] = Counter()
        self._largest: dict[str, int] = {}  # of what is in flight
        self._proved: set[str] = set()  # topics on which the broker took something
        self._proved_bytes = 0  # the most that it took, on whichever: it has one limit for all
        self._held: list[_Held] = []  # in flight as others are, for the outbox and for walks
        self._held_topics: set[str] = set()
        self._letting_go = False
        self._answered = asyncio.Event()
        self._acked: list[int] = []
        self._ahead: asyncio.Task[list[Stored] | None] | None = None  # the main walk's next rows, being read

    def end(self) -> None:
        """Let run() return once all is sent that is not set aside."""
        self._ending = True
        self._outbox.wake()

    async def run(self, sender: Sender) -> None:
        """Outbox to broker, up to IN_FLIGHT messages at once. Raises MqttError."""
        self._begin()
        try:
            async with asyncio.TaskGroup() as sends:
                await self._walk_on(sender, sends)
        finally:
            self._acknowledge()

    async def _walk_on(self, sender: Sender, sends: asyncio.TaskGroup) -> None:
        while True:
            moved = await self._step(self._walk, sender, sends, None)
            if self._again is not None:
                again = self._again
                if not await self._step(again, sender, sends, self._walk.after) and again is self._again:
                    self._walk = _Walk(self._walk.after, again.blocked, again.aside, again.heads)
                    self._again = None
                    self._settled.clear()
                    self._show()
            elif not moved:
                if self._ending:
                    return
                await self._outbox.wait()

    def waits(self, topic: str) -> bool:
        """Whether a message was set aside because of this topic."""
        return topic in self._walk.heads

    async def head(self, topic: str) -> tuple[Stored, bytes] | None:
        """The first message that waits because of this topic, as it is sent; None where there is none (any more)."""
        row = self._walk.heads.get(topic)
        if row is None:
            return None
        found = [self._outbox.as_told(stored) for stored in await self._rows(1, row - 1)]
        self._outbox.put_off(stored.row for stored in found if stored.row in self._walk.aside)
        if not found or found[0].row != row:
            return None
        payload = self._payloads(found[0]).get(topic)
        return None if payload is None else (found[0], payload)

    def delivered(self, stored: Stored, topic: str) -> None:
        """A message that was set aside has been taken on this topic, by another connection."""
        self._delivered.setdefault(stored.row, set()).add(topic)

    def walk_again(self) -> None:
        """A topic is taken again: whatever was set aside gets another turn, the rest goes on beside it."""
        self._again = _Walk(min(self._walk.aside, default=self._walk.after + 1) - 1, set(self._refusals.topics))
        self._outbox.wake()

    def forget(self, person_ids: Collection[str]) -> None:
        """What is known of these people's topics; the outbox gives no message for them any more."""
        known = self._proved | self._largest.keys()
        self._unlearn([topic for topic in known if topic.rpartition("/")[2] in person_ids])
        self.walk_again()

    def _unlearn(self, topics: Iterable[str]) -> None:
        """Those on which something is under way are left: it asks for this again when it is settled."""
        for topic in topics:
            if not self._busy[topic]:
                del self._busy[topic]
                self._proved.discard(topic)
                self._largest.pop(topic, None)

    async def _step(self, walk: _Walk, sender: Sender, sends: asyncio.TaskGroup, to_row: int | None) -> bool:
        """The next rows, up to `to_row` if that is given; False where there are none."""
        if to_row is not None:
            rows = [stored for stored in await self._rows(IN_FLIGHT, walk.after) if stored.row <= to_row]
        else:
            ahead, self._ahead = self._ahead, None
            rows = (ahead and await ahead) or await self._rows(IN_FLIGHT, walk.after)
        if to_row is None and len(rows) == IN_FLIGHT:  # a backlog: the next are read while these are sent
            self._ahead = sends.create_task(self._outbox.peek(IN_FLIGHT, rows[-1].row), name="read on")
        for stored in rows:
            if stored.row not in self._in_flight and stored.row not in self._settled:
                await self._offer(stored, walk, sender, sends)
            walk.after = stored.row
        return bool(rows)

    async def _rows(self, limit: int, after: int) -> list[Stored]:
        """As soon as they can be read: none is the end of a walk."""
        self._acknowledge()
        while (rows := await self._outbox.peek(limit, after)) is None:
            await self._outbox.wait()
        return rows

    async def _offer(self, stored: Stored, walk: _Walk, sender: Sender, sends: asyncio.TaskGroup) -> None:
        """Send it, or set it aside behind what is refused."""
        await self._hold()
        stored = self._outbox.as_told(stored)
        while len(self._in_flight) >= IN_FLIGHT:
            self._answered.clear()
            await self._answered.wait()
            stored = self._outbox.as_told(stored)  # somebody may have been forgotten meanwhile
        topics = self._topics(stored)
        if not walk.blocked.isdisjoint(topics):
            self._put_aside(stored, topics, walk)
            sender.not_coming(topics)
            return
        self._in_flight.add(stored.row)
        payloads = self._payloads(stored)
        if self._held_topics.isdisjoint(payloads) and self._is_proved(payloads):
            self._send(stored, payloads, sender, sends)
        else:
            self._held.append(_Held(stored, payloads, walk is self._walk))
            self._held_topics.update(payloads)

    async def _let_go(self, sender: Sender, sends: asyncio.TaskGroup) -> None:
        """Send those of the held messages that may go, in order on each topic; the rest holds up no other topic."""
        self._letting_go = False
        held, self._held = self._held, []
        self._held_topics = waiting = set[str]()
        for one in held:
            if (told := self._outbox.as_told(one.stored)) is not one.stored:
                one.stored, one.payloads = told, self._payloads(told)
            walk = self._walk if one.is_main or self._again is None else self._again
            if not walk.blocked.isdisjoint(one.payloads):
                self._in_flight.discard(one.stored.row)
                self._set_aside_late(one.stored, list(one.payloads), sender)
            elif waiting.isdisjoint(one.payloads) and self._is_proved(one.payloads):
                self._send(one.stored, one.payloads, sender, sends)
            else:
                self._held.append(one)
                waiting.update(one.payloads)

    def _is_proved(self, payloads: dict[str, bytes]) -> bool:
        """Whether an answer for what is in flight on these topics can't put this message before one of them.

        A topic on which something was taken is taken for good, and so is a size; else one message at a time shows it.
        """
        return all(
            not self._busy[topic]
            or (topic in self._proved and max(len(payload), self._largest[topic]) <= self._proved_bytes)
            for topic, payload in payloads.items()
        )

    def _send(self, stored: Stored, payloads: dict[str, bytes], sender: Sender, sends: asyncio.TaskGroup) -> None:
        for topic, payload in payloads.items():
            self._largest[topic] = max(len(payload), self._largest[topic] if self._busy[topic] else 0)
            self._busy[topic] += 1
        delivered = self._delivered.get(stored.row, ())
        left = [topic for topic in payloads if topic not in delivered]
        # Tasks take their first step, the one that writes, in the order in which they are made.
        publishing = {
            topic: sends.create_task(sender.send(topic, payloads[topic], expire_s=self._expire_s), name="publish event")
            for topic in left[:-1]
        }
        settling = self._settle(stored, payloads, publishing, left[-1:], sender, sends)
        sends.create_task(settling, name="publish and settle event")

    async def _settle(
        self,
        stored: Stored,
        payloads: dict[str, bytes],
        publishing: dict[str, asyncio.Task[bool]],
        last: list[str],
        sender: Sender,
        sends: asyncio.TaskGroup,
    ) -> None:
        """Publish on the last topic, and forget a message once the broker has taken it on each of its topics."""
        topics, started_s, taken = list(payloads), time.perf_counter(), set[str]()
        for topic in last:
            if await sender.send(topic, payloads[topic], expire_s=self._expire_s):
                taken.add(topic)
        taken |= {topic for topic, published in publishing.items() if await published}
        self._in_flight.discard(stored.row)
        self._busy.subtract(topics)
        self._proved |= taken
        self._proved_bytes = max([self._proved_bytes, *(len(payloads[topic]) for topic in taken)])
        if len(taken) == len(publishing) + len(last):
            self._delivered.pop(stored.row, None)
            if self._again is not None:
                self._settled.add(stored.row)
            self._ack_soon(stored.row)
            self._taken(stored, time.perf_counter() - started_s)
        else:
            self._delivered.setdefault(stored.row, set()).update(taken)
            self._set_aside_late(stored, topics, sender)
        if (told := self._outbox.as_told(stored)) is not stored:
            self._unlearn(set(topics) - set(self._topics(told)))
        if self._held and not self._letting_go:  # once for all that is answered in this turn of the loop
            self._letting_go = True
            sends.create_task(self._let_go(sender, sends), name="let events go")
        self._answered.set()

    def _set_aside_late(self, stored: Stored, topics: list[str], sender: Sender) -> None:
        """What the walks have passed already."""
        self._put_aside(stored, topics, self._walk)
        if self._again is not None and stored.row <= self._again.after:
            self._put_aside(stored, topics, self._again)
        elif self._again is not None:  # it comes to this row by itself
            self._again.blocked.update(self._refusals.topics.intersection(topics))
        sender.not_coming(topics)

    def _ack_soon(self, row: int) -> None:
        """With all that the broker takes in this turn of the loop: each call wakes the outbox's thread."""
        if not self._acked:
            asyncio.get_running_loop().call_soon(self._acknowledge)
        self._acked.append(row)

    def _acknowledge(self) -> None:
        if self._acked:
            self._outbox.ack(self._acked)
            self._acked.clear()

    def _put_aside(self, stored: Stored, topics: list[str], walk: _Walk) -> None:
        self._outbox.put_off((stored.row,))
        delivered = self._delivered.get(stored.row, set())
        walk.blocked.update(topics)
        walk.aside.add(stored.row)
        for topic in topics:
            if topic in self._refusals and topic not in delivered:
                walk.heads[topic] = min(stored.row, walk.heads.get(topic, stored.row))
        self._show()

    def _show(self) -> None:
        self._metrics.outbox_set_aside.set(len(self._walk.aside))

    def _topics(self, stored: Stored) -> list[str]:
        own = [f"{self._prefix}/cameras/{stored.event.camera}/identity/{level}" for level in stored.levels]
        return own if self._frigate is None else own + self._frigate.topics(stored.event)

    def _payloads(self, stored: Stored) -> dict[str, bytes]:
        """What is said on each of its topics, now."""
        event = self._as_sent(stored)
        own, others = event.model_dump_json(by_alias=True).encode(), dict[str, bytes]()
        if self._frigate is not None:
            others = self._frigate.payloads(event, changes_identity=len(stored.levels) > 1)
        return {topic: others.get(topic, own) for topic in self._topics(stored)}
