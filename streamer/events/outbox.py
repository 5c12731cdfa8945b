"""Identity events on their way to the broker, kept on disk so that neither a crash nor an outage loses them.

Due events go in on the loop, without waiting; stored messages come out for the publisher, who acknowledges
them. This is the loop's side; all file work is done in groups on a thread of its own, see outbox_writer.py.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from streamer.events.event import Due, IdentityEvent, LastSeen, sighting_of
from streamer.events.forgotten import as_unknown, event_as_unknown
from streamer.events.hand_over import handed_over, latency_s, moved, set_since_s
from streamer.events.outbox_file import Stored
from streamer.events.outbox_writer import Opened, OutboxWriter, Peek
from streamer.steady import boot_id, steady_s
from streamer.telemetry.metrics import Metrics

T = TypeVar("T")

BUFFER_LIMIT = 5_000


class Outbox:
    """The file at `path`, open while the async context lasts. Everything is called on the loop.

    While the disk is full or fails, from the start on or later, events wait in memory (`buffer_limit` of them),
    `healthy` is False and writing is tried again every second. A damaged file is set aside, and a new one used. When
    file or memory is full the oldest update goes first, then the oldest whole visit. Opening raises OutboxTooNew or
    AlreadyRunning. `hearers` are called with each event that is put, whatever becomes of it, `interrupted` with each
    `end` of a visit that the run before left open. `now` is a clock in s that never jumps, of this `boot` of the
    machine; `unix_s` the wall clock.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit: int,
        max_age_s: float,
        metrics: Metrics,
        now: Callable[[], float] = steady_s,
        unix_s: Callable[[], float] = time.time,
        boot: str | None = None,
        buffer_limit: int = BUFFER_LIMIT,
    ) -> None:
        self.client_id = ""
        self.last_seen: dict[str, LastSeen] = {}
        self._sighted_s: dict[str, float] = {}  # on the steady clock: people seen in this run
        self._forgotten: set[str] = set()
        self.hearers: list[Callable[[IdentityEvent], None]] = []
        self.interrupted: Callable[[IdentityEvent], None] = lambda _: None
        self._metrics = metrics
        self._now = now
        self._unix_s = unix_s
        boot = boot_id() if boot is None else boot
        self._writer = OutboxWriter(path, limit, max_age_s, metrics, now, boot, buffer_limit)
        self._news = asyncio.Event()
        self._waiters: set[asyncio.Future[Any]] = set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._is_open: asyncio.Future[None] = self._loop.create_future()
        self._writing = self._loop.run_in_executor(
            self._thread, self._writer.run, self._loop, self._opened, self._news.set
        )
        self._writing.add_done_callback(self._ended)
        await asyncio.wait((self._is_open, self._writing), return_when=asyncio.FIRST_COMPLETED)
        if self._writing.done():
            self._thread.shutdown(wait=False)
            self._writing.result()
        self._metrics.outbox_oldest.set_function(self._writer.oldest_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._writer.ask() as work:
            work.closing = True
        try:
            await self._writing
        finally:
            self._thread.shutdown(wait=False)

    @property
    def healthy(self) -> bool:
        """False while what is put does not get to the disk."""
        return not self._writer.failing and not self._writing.done()

    @property
    def trouble(self) -> str:
        """What there is to say of the file: why it is not healthy, or what became of one that was damaged."""
        return self._writer.set_aside if self.healthy else "can't be written"

    def put(self, due: Due) -> None:
        """Take an event; never waits, never raises. flush() waits until it is on disk.

        Its times are those of a picture that may be older than the last step of the wall clock: they are moved.
        """
        if due.captured_s is not None:
            captured_s = self._steady(due.captured_s)
            due = Due(moved(due.event, self._set_since_s(due.event.captured_at, captured_s)), due.levels, captured_s)
        due = as_unknown(due, self._forgotten)  # a verdict may have been on its way
        event = due.event
        for hear in self.hearers:
            hear(event)
        newest = self._is_newest(due)
        if self._writer.put(due, newest=newest) and newest and event.person is not None:
            if due.captured_s is not None:
                self._sighted_s[event.person.id] = due.captured_s
            self.last_seen[event.person.id] = sighting_of(event)

    def sighted(self, event_id: str, captured_at: float, captured_s: float) -> None:
        """An open visit's last sighting (Unix s, monotonic s), for its `end` should the service die. Call often."""
        steady_s = self._steady(captured_s)
        with self._writer.ask() as work:
            work.changes.seen[event_id] = (captured_at + self._set_since_s(captured_at, steady_s), steady_s)

    def clock_stepped(self) -> list[str]:
        """The wall clock was set: when people were seen in this run is told by the new one.

        Returns who they are.
        """
        for person_id, sighted_s in self._sighted_s.items():
            seen = self.last_seen[person_id]
            at = round(seen.at + self._set_since_s(seen.at, sighted_s), 3)
            self.last_seen[person_id] = replace(seen, at=at)
        with self._writer.ask() as work:
            work.changes.sightings |= {person_id: self.last_seen[person_id] for person_id in self._sighted_s}
        return list(self._sighted_s)

    def handed_over(self, stored: Stored, unix_s: float) -> IdentityEvent:
        """A stored event as it is sent at this moment, its times by the wall clock of now."""
        return handed_over(stored, unix_s, self._now())

    def latency_s(self, stored: Stored, unix_s: float) -> float:
        """Seconds since a stored event's captured_at, whatever the wall clock did."""
        return max(latency_s(stored, unix_s, self._now()), 0.0)

    async def flush(self) -> bool:
        """Wait until all that was put is on disk; False where the disk did not take it (tried again)."""
        self._check()
        flushed: asyncio.Future[bool] = self._loop.create_future()
        with self._writer.ask() as work:
            work.flushes.append(flushed)
        return await self._answer_to(flushed)

    async def wait(self) -> None:
        """Wait until something was written since the last call, or wake() was called."""
        await self._news.wait()
        self._news.clear()
        self._check()

    def wake(self) -> None:
        """End a wait()."""
        self._news.set()

    async def peek(self, limit: int, after: int = 0) -> list[Stored] | None:
        """The oldest `limit` messages on disk above row `after`; in flight until ack() or release().

        None where they can't be read (now): wait() ends when it is worth another try.
        """
        self._check()
        answer: asyncio.Future[list[Stored] | None] = self._loop.create_future()
        with self._writer.ask() as work:
            work.peeks.append(Peek(after, limit, answer))
        return await self._answer_to(answer)

    def ack(self, rows: Iterable[int]) -> None:
        """These messages are delivered: forget them."""
        with self._writer.ask() as work:
            work.changes.acked.update(rows)

    def put_off(self, rows: Iterable[int]) -> None:
        """These were handed out and are not on their way: they wait, and may be given up like others that wait."""
        with self._writer.ask() as work:
            work.put_off.update(rows)

    def release(self) -> None:
        """The connection is gone: nothing is in flight, everything may be given up again."""
        with self._writer.ask() as work:
            work.released = True

    def drop_last_seen(self, person_ids: Iterable[str]) -> None:
        """Of people who are not in the gallery any more; what waits holds their ids alone, never a name."""
        with self._writer.ask() as work:
            for person_id in person_ids:
                self._drop_last_seen(person_id)
                work.changes.sightings.pop(person_id, None)
                work.changes.unseen.add(person_id)

    def forget(self, person_ids: Collection[str]) -> set[str]:
        """Keep nothing of these people, now and of what comes, also before the file is open; those who are new here.

        Messages of them that wait are of somebody unknown from now on, or gone where nobody has heard of a visit that
        is over. On disk it is done with the next flush().
        """
        new = set(person_ids) - self._forgotten
        self._forgotten |= new
        for person_id in new:
            self._drop_last_seen(person_id)
        if new:
            self._writer.forget(new)
        return new

    def as_told(self, stored: Stored) -> Stored:
        """A message that was handed out, without those who were forgotten since."""
        return as_unknown(stored, self._forgotten)

    def _drop_last_seen(self, person_id: str) -> None:
        self.last_seen.pop(person_id, None)
        self._sighted_s.pop(person_id, None)

    def _is_newest(self, due: Due) -> bool:
        """Whether nobody saw this event's person later; by the wall clock where nothing better is known."""
        if due.event.person is None:
            return False
        before_s = self._sighted_s.get(due.event.person.id)
        if due.captured_s is not None:
            return before_s is None or due.captured_s >= before_s
        known = self.last_seen.get(due.event.person.id)
        return known is None or due.event.captured_at >= known.at

    def _set_since_s(self, captured_at: float, captured_s: float) -> float:
        return set_since_s(captured_at, self._unix_s(), self._now() - captured_s)

    def _steady(self, monotonic_s: float) -> float:
        return self._now() - (time.monotonic() - monotonic_s)

    def _opened(self, opened: Opened) -> None:
        """A file was opened, or none could be: then this run has a name at the broker that nobody remembers."""
        client_id, last_seen, interrupted = opened or (f"whosthere-{secrets.token_hex(6)}", {}, [])
        self.client_id = self.client_id or client_id
        found = {person_id: seen for person_id, seen in last_seen.items() if person_id not in self._forgotten}
        self.last_seen = found | self.last_seen
        for event in interrupted:
            self.interrupted(event_as_unknown(event, self._forgotten))
        if not self._is_open.done():
            self._is_open.set_result(None)

    def _check(self) -> None:
        if self._writing.done():
            raise RuntimeError("the outbox's writer has ended")

    async def _answer_to(self, waiter: asyncio.Future[T]) -> T:
        self._waiters.add(waiter)
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)

    def _ended(self, _: asyncio.Future[None]) -> None:
        """The writer thread is gone, by close or by a bug of ours: nobody waits for it any more."""
        self._news.set()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(RuntimeError("the outbox's writer has ended"))
