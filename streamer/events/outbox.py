"""Identity events on their way to the broker, kept on disk so that neither a crash nor an outage loses them.

Due events go in on the loop, without waiting; stored messages come out for the publisher, who acknowledges
them. All file work is done in groups on the outbox's own thread.
"""

import asyncio
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from streamer.errors import OutboxUnwritable
from streamer.events.event import Due
from streamer.events.outbox_file import Changes, LastSeen, OutboxFile, Stored, give_up, sighting_of
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

T = TypeVar("T")

BUFFER_LIMIT = 5_000
GROUP = 1_000
STEP = 16  # a small change may still fit where a big one does not
TICK_S = 1.0
SIGHTINGS_EVERY_S = 5.0


@dataclass(slots=True, eq=False)
class _Peek:
    after: int
    limit: int
    answer: asyncio.Future[list[Stored]]


@dataclass(slots=True)
class _Round:
    """What the writer thread does before it looks again."""

    changes: Changes
    peeks: list[_Peek] = field(default_factory=list)
    flushes: list[asyncio.Future[bool]] = field(default_factory=list)
    released: bool = False
    last: bool = False


class Outbox:
    """The file at `path`, open while the async context lasts. Everything is called on the loop.

    While the disk is full or fails, events wait in memory (`buffer_limit` of them), `healthy` is False and
    writing is tried again every second. When file or memory is full the oldest update goes first, then the
    oldest whole visit. Opening raises OutboxUnwritable, OutboxTooNew or AlreadyRunning.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit: int,
        max_age_s: float,
        metrics: Metrics,
        now: Callable[[], float] = time.time,
        buffer_limit: int = BUFFER_LIMIT,
    ) -> None:
        self._path = path
        self._limit = limit
        self._max_age_s = max_age_s
        self._metrics = metrics
        self._now = now
        self._buffer_limit = buffer_limit
        self.client_id = ""
        self.last_seen: dict[str, LastSeen] = {}
        self._news = asyncio.Event()
        self._waiters: set[asyncio.Future[Any]] = set()
        # All below is shared with the writer thread, under this lock; it is never held while the disk works.
        self._wake = threading.Condition()
        self._buffer: deque[Due] = deque()
        self._unheard: set[str] = set()
        self._waiting = Changes()
        self._peeks: list[_Peek] = []
        self._flushes: list[asyncio.Future[bool]] = []
        self._released = False
        self._closing = False
        self._failing = False
        self._seen_written_s = time.monotonic()
        self._oldest_at: float | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        opened: asyncio.Future[None] = self._loop.create_future()
        self._writing = self._loop.run_in_executor(self._thread, self._write_until_closed, opened)
        self._writing.add_done_callback(self._ended)
        await asyncio.wait((opened, self._writing), return_when=asyncio.FIRST_COMPLETED)
        if self._writing.done():
            self._thread.shutdown(wait=False)
            self._writing.result()
        self._metrics.outbox_oldest.set_function(self._oldest_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        try:
            await self._writing
        finally:
            self._thread.shutdown(wait=False)

    @property
    def healthy(self) -> bool:
        """False while what is put does not get to the disk."""
        return not self._failing and not self._writing.done()

    def put(self, due: Due) -> None:
        """Take an event; never waits, never raises. flush() waits until it is on disk."""
        event = due.event
        with self._wake:
            if event.event_id in self._unheard:
                if event.type == "end":
                    self._unheard.discard(event.event_id)
                self._metrics.outbox_dropped.inc()
                return
            if event.type == "end":
                self._waiting.seen.pop(event.event_id, None)
            self._buffer.append(due)
            self._trim()
            self._wake.notify()
        if event.person is not None:
            known = self.last_seen.get(event.person.id)
            if known is None or event.captured_at >= known.at:
                self.last_seen[event.person.id] = sighting_of(event)

    def sighted(self, event_id: str, captured_at: float) -> None:
        """An open visit's last sighting (Unix s), for its `end` should the service die. Cheap: call often."""
        with self._wake:
            self._waiting.seen[event_id] = captured_at

    async def flush(self) -> bool:
        """Wait until all that was put is on disk; False where the disk did not take it (tried again)."""
        self._check()
        flushed: asyncio.Future[bool] = self._loop.create_future()
        with self._wake:
            self._flushes.append(flushed)
            self._wake.notify()
        return await self._answer_to(flushed)

    async def wait(self) -> None:
        """Wait until something was written since the last call, or wake() was called."""
        await self._news.wait()
        self._news.clear()
        self._check()

    def wake(self) -> None:
        """End a wait()."""
        self._news.set()

    async def peek(self, limit: int, after: int = 0) -> list[Stored]:
        """The oldest `limit` messages on disk above row `after`; in flight until ack() or release()."""
        self._check()
        answer: asyncio.Future[list[Stored]] = self._loop.create_future()
        with self._wake:
            self._peeks.append(_Peek(after, limit, answer))
            self._wake.notify()
        return await self._answer_to(answer)

    def ack(self, rows: Iterable[int]) -> None:
        """These messages are delivered: forget them."""
        with self._wake:
            self._waiting.acked.update(rows)
            self._wake.notify()

    def release(self) -> None:
        """The connection is gone: nothing is in flight, everything may be given up again."""
        with self._wake:
            self._released = True
            self._wake.notify()

    def forget(self, person_ids: Iterable[str]) -> None:
        """Drop these people's last sighting. Waiting messages hold their ids alone, never a name."""
        with self._wake:
            for person_id in person_ids:
                self.last_seen.pop(person_id, None)
                self._waiting.forgotten.add(person_id)
            self._wake.notify()

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

    def _oldest_s(self) -> float:
        return 0.0 if self._oldest_at is None else max(self._now() - self._oldest_at, 0.0)

    def _trim(self) -> None:
        excess = len(self._buffer) - self._buffer_limit
        if excess > 0:
            kept, unheard = give_up(self._buffer, excess)
            self._metrics.outbox_dropped.inc(len(self._buffer) - len(kept))
            self._buffer = deque(kept)
            self._unheard |= unheard

    # From here on: the writer thread.

    def _write_until_closed(self, opened: asyncio.Future[None]) -> None:
        file = OutboxFile(self._path, self._limit, self._max_age_s)
        try:
            self.client_id, self.last_seen = file.client_id, file.last_seen()
            interrupted = file.interrupted()
            for due in interrupted:
                known = "true" if due.event.person else "false"
                self._metrics.events.labels(type="end", known=known).inc()
                person, sighting = due.event.person, sighting_of(due.event)
                if person and (person.id not in self.last_seen or self.last_seen[person.id].at < sighting.at):
                    self.last_seen[person.id] = sighting
            self._buffer.extend(interrupted)
            self._show(file)
            self._loop.call_soon_threadsafe(_settle, opened, None)
            while self._once(file):
                pass
        finally:
            file.close()

    def _once(self, file: OutboxFile) -> bool:
        """Wait for something to do, write it in one transaction, answer who waits. False: it was the last."""
        with self._wake:
            self._wake.wait_for(self._has_work, TICK_S)
            work = self._take()
        if work.released:
            file.release()
        due = work.changes or self._failing or self._oldest_s() > self._max_age_s
        written = self._write(file, work) if due else True
        if not due and not work.peeks:
            file.tidy()
        for peek in work.peeks:
            self._answer(file, peek)
        for flush in work.flushes:
            self._loop.call_soon_threadsafe(_settle, flush, written)
        self._show(file)
        if not work.last:
            return True
        with self._wake:
            if left := len(self._buffer):
                self._metrics.outbox_dropped.inc(left)
                log.error("outbox %s: %d events could not be written and are lost", self._path, left)
        return False

    def _has_work(self) -> bool:
        if self._peeks or self._flushes or self._released or self._closing:
            return True
        waiting = self._waiting
        return not self._failing and bool(self._buffer or waiting.acked or waiting.forgotten)

    def _take(self) -> _Round:
        puts = [self._buffer.popleft() for _ in range(min(GROUP, len(self._buffer)))]
        rest = bool(self._buffer)
        changes, self._waiting = self._waiting, Changes()
        changes.puts = puts
        if not puts and not self._closing and time.monotonic() - self._seen_written_s < SIGHTINGS_EVERY_S:
            changes.seen, self._waiting.seen = {}, changes.seen
        work = _Round(changes, self._peeks, [] if rest else self._flushes, self._released, self._closing and not rest)
        self._peeks, self._released = [], False
        if not rest:
            self._flushes = []
        return work

    def _write(self, file: OutboxFile, work: _Round) -> bool:
        """Commit the round's changes; where the disk is in the way, put back what is left and say so."""
        news = bool(work.changes.puts) or self._failing
        try:
            self._commit(file, work.changes)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except (sqlite3.DatabaseError, OSError) as error:
            self._report("written", error)
            self._put_back(work)
            written = False
        else:
            if self._failing:
                log.info("outbox %s can be written again", self._path)
            self._failing = False
            written = True
        if news:
            self._loop.call_soon_threadsafe(self._news.set)
        return written

    def _commit(self, file: OutboxFile, changes: Changes) -> None:
        """All at once; on a full disk in steps: what is delivered first, that makes room, then a few at a time."""
        if changes.seen:
            self._seen_written_s = time.monotonic()
        if not self._failing:
            with suppress(sqlite3.OperationalError, OSError):
                self._metrics.outbox_dropped.inc(file.write(changes, self._now()))
                return
        file.reuse_log()
        delivered = Changes(acked=changes.acked, forgotten=changes.forgotten)
        self._metrics.outbox_dropped.inc(file.write(delivered, self._now()))
        changes.acked, changes.forgotten = set(), set()
        while True:
            step = Changes(puts=changes.puts[:STEP], seen=changes.seen)
            self._metrics.outbox_dropped.inc(file.write(step, self._now()))
            changes.puts, changes.seen = changes.puts[STEP:], {}
            if not changes.puts:
                return

    def _report(self, verb: str, error: sqlite3.DatabaseError | OSError) -> None:
        self._metrics.outbox_errors.labels(code=OutboxUnwritable.code).inc()
        if not self._failing:
            log.error(
                "outbox %s can't be %s (%s): events wait in memory; make room on the disk",
                self._path,
                verb,
                error,
                extra={"code": OutboxUnwritable.code},
            )
        self._failing = True

    def _put_back(self, work: _Round) -> None:
        with self._wake:
            self._buffer.extendleft(reversed(work.changes.puts))
            self._trim()
            self._waiting.acked |= work.changes.acked
            self._waiting.forgotten |= work.changes.forgotten
            self._waiting.seen = work.changes.seen | self._waiting.seen
            # Whoever wants to know whether all is written learns now that it is not; closing waits no longer.
            work.flushes += self._flushes
            self._flushes = []
            work.last = self._closing

    def _answer(self, file: OutboxFile, peek: _Peek) -> None:
        with self._wake:
            acked = frozenset(self._waiting.acked)
        try:
            stored = file.rows(peek.after, peek.limit, acked)
        except sqlite3.DatabaseError as error:
            self._report("read", error)
            stored = []
        self._loop.call_soon_threadsafe(_settle, peek.answer, stored)

    def _show(self, file: OutboxFile) -> None:
        self._oldest_at = file.oldest_at
        self._metrics.outbox_depth.set(file.count + len(self._buffer))


def _settle(waiter: asyncio.Future[T], value: T) -> None:
    if not waiter.done():
        waiter.set_result(value)
