"""The outbox's writer: what waits for the disk, and the thread that writes it in groups; the file is its alone.

Changes and questions go in from the loop, under a lock that is never held while the disk works; answers go back to
the loop's futures.
"""

import asyncio
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from recognition.errors import CodedError
from streamer.errors import OutboxDamaged, OutboxUnwritable
from streamer.events.erasing import blot_set_aside
from streamer.events.event import Due, IdentityEvent, LastSeen, give_up, sighting_of
from streamer.events.forgotten import left_of
from streamer.events.held_file import HeldFile
from streamer.events.outbox_file import Changes, OutboxFile, Stored
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

T = TypeVar("T")
# Of a file: the installation's client id, who was seen last where, the ends of visits that were open in it.
Opened = tuple[str, dict[str, LastSeen], list[IdentityEvent]] | None

GROUP = 1_000
STEP = 16  # a small change may still fit where a big one does not
TICK_S = 1.0
SIGHTINGS_EVERY_S = 5.0
SCRUB_AGAIN_S = 60.0


@dataclass(slots=True, eq=False)
class Peek:
    """A question: the oldest `limit` messages above row `after`."""

    after: int
    limit: int
    answer: asyncio.Future[list[Stored] | None]


@dataclass(slots=True)
class Work:
    """What the thread is to do; `closing`: it is the last."""

    changes: Changes = field(default_factory=Changes)
    peeks: list[Peek] = field(default_factory=list)
    flushes: list[asyncio.Future[bool]] = field(default_factory=list)
    put_off: set[int] = field(default_factory=set)
    released: bool = False
    closing: bool = False


class OutboxWriter:
    """run() is the thread; put(), ask() and oldest_s() are called on the loop, and never wait for the disk."""

    def __init__(
        self,
        path: Path,
        limit: int,
        max_age_s: float,
        metrics: Metrics,
        now: Callable[[], float],
        boot: str,
        buffer_limit: int,
    ) -> None:
        self._path = path
        self._max_age_s = max_age_s
        self._metrics = metrics
        self._now = now
        self._buffer_limit = buffer_limit
        self.failing = False  # what is put does not get to the disk
        # All below is shared by the loop and the thread, under this lock.
        self._wake = threading.Condition()
        self._buffer: deque[Due] = deque()
        self._unheard: set[str] = set()
        self._forgotten: set[str] = set()
        self._work = Work()
        # The thread's own.
        self._seen_written_s = time.monotonic()
        self._oldest_at: float | None = None
        self._has_begun = False
        self._forgotten_in: OutboxFile | None = None  # the file that has heard of all who are forgotten
        self._to_scrub: set[str] = set()
        self._scrub_at_s = float("-inf")
        metrics.outbox_limit.set(limit)
        for code in (OutboxUnwritable.code, OutboxDamaged.code):
            metrics.outbox_errors.labels(code=code)
        self._held = HeldFile(path, lambda: OutboxFile(path, limit, max_age_s, now(), boot), now, metrics)

    # On the loop.

    def put(self, due: Due, *, newest: bool) -> bool:
        """Take an event, `newest` of its person; False where nobody heard how its visit began, and it is dropped."""
        event = due.event
        with self._wake:
            if event.event_id in self._unheard:
                if event.type == "end":
                    self._unheard.discard(event.event_id)
                self._metrics.outbox_dropped.inc()
                return False
            if event.type == "end":
                self._work.changes.seen.pop(event.event_id, None)
            self._buffer.append(due)
            if newest and event.person is not None:
                self._work.changes.sightings[event.person.id] = sighting_of(event)
            self._trim()
            self._wake.notify()
        return True

    def forget(self, person_ids: Collection[str]) -> None:
        """Nothing is kept of these people, in memory at once, on disk when the thread comes to it."""
        with self._wake:
            self._forgotten.update(person_ids)
            self._work.changes.forgotten.update(person_ids)
            self._drop_forgotten()
            self._wake.notify()

    @contextmanager
    def ask(self) -> Iterator[Work]:
        """What waits for the thread, to add to; it looks at it when the block has ended."""
        with self._wake:
            yield self._work
            self._wake.notify()

    @property
    def set_aside(self) -> str:
        """What became of a damaged file, if there was one."""
        return self._held.set_aside

    def oldest_s(self) -> float:
        """How long the oldest message on disk has waited; 0 where there is none."""
        oldest_at = self._oldest_at  # once: a scrape asks on a thread of its own
        return 0.0 if oldest_at is None else max(self._now() - oldest_at, 0.0)

    def _trim(self) -> None:
        excess = len(self._buffer) - self._buffer_limit
        if excess > 0:
            kept, unheard = give_up(self._buffer, excess)
            self._metrics.outbox_dropped.inc(len(self._buffer) - len(kept))
            self._buffer = deque(kept)
            self._unheard |= unheard

    def _drop_forgotten(self) -> None:
        if self._forgotten:
            self._buffer = deque(left_of(self._buffer, self._forgotten))
            sightings = self._work.changes.sightings
            for person_id in self._forgotten & sightings.keys():
                del sightings[person_id]

    # On the thread.

    def run(self, loop: asyncio.AbstractEventLoop, opened: Callable[[Opened], None], news: Callable[[], None]) -> None:
        """Write until close(). On the loop `opened` is called once the file is open, before that with None where it
        can't be opened at the start; `news` when something was written.

        Raises OutboxTooNew or AlreadyRunning where the file is not ours to use.
        """
        self._call = loop.call_soon_threadsafe
        self._opened, self._news = opened, news
        held = self._held
        try:
            try:
                held.open()
                held.use(self._begin)
            except (OutboxUnwritable, OutboxDamaged, sqlite3.DatabaseError, OSError) as error:
                self._report("opened", error)
                self._call(opened, None)
            while self._once():
                pass
        finally:
            held.close()

    def _begin(self, file: OutboxFile) -> None:
        """This run's first file tells how the run before it ended."""
        last_seen, interrupted = file.last_seen(), file.interrupted()
        later: dict[str, LastSeen] = {}
        for due in interrupted:
            known = "true" if due.event.person else "false"
            self._metrics.events.labels(type="end", known=known).inc()
            person, sighting = due.event.person, sighting_of(due.event)
            if person and (person.id not in last_seen or last_seen[person.id].at < sighting.at):
                last_seen[person.id] = later[person.id] = sighting
        with self._wake:
            self._buffer.extendleft(reversed(interrupted))
            self._work.changes.sightings = later | self._work.changes.sightings
            self._drop_forgotten()
        self._has_begun = True
        self._show(file)
        self._call(self._opened, (file.client_id, last_seen, [due.event for due in interrupted]))

    def _once(self) -> bool:
        """Wait for something to do, write it in one transaction, answer who waits. False: it was the last."""
        with self._wake:
            self._wake.wait_for(self._has_work, TICK_S)
            work = self._take()
            closing = self._work.closing
        self._try("opened", self._look)
        if closing:
            self._held.use_anyway()
        if self._held.file is not None:
            if work.released:
                self._held.file.release()
            self._held.file.put_off(work.put_off)
        if (file := self._held.file) is not None and file is not self._forgotten_in:  # a new one, with what was saved
            with self._wake:
                work.changes.forgotten |= self._forgotten
        due = work.changes or self.failing or self.oldest_s() > self._max_age_s
        written = self._write(work) if due else True
        if written and file is self._held.file:
            self._forgotten_in = file
        self._scrub()
        if not due and not work.peeks:
            self._try("written", lambda: self._held.use(OutboxFile.tidy))
        for peek in work.peeks:
            self._answer(peek)
        self._show(self._held.file)  # before anybody goes on who waited for it
        for flush in work.flushes:
            self._call(_settle, flush, written)
        if not work.closing:
            return True
        with self._wake:
            if left := len(self._buffer):
                self._metrics.outbox_dropped.inc(left)
                log.error("outbox %s: %d events could not be written and are lost", self._path, left)
        return False

    def _look(self) -> None:
        self._held.look()
        if self._held.file is not None and not self._has_begun:
            self._held.use(self._begin)

    def _try(self, verb: str, act: Callable[[], None]) -> None:
        try:
            act()
        except (CodedError, sqlite3.DatabaseError, OSError) as error:
            self._report(verb, error)

    def _has_work(self) -> bool:
        work, waiting = self._work, self._work.changes
        if work.peeks or work.flushes or work.released or work.closing:
            return True
        gone = waiting.acked or waiting.unseen or waiting.forgotten
        return not self.failing and bool(self._buffer or gone or waiting.sightings)

    def _take(self) -> Work:
        """What waits; but sightings wait on for a while, and flushes until all that was put before them is taken."""
        work, left = self._work, Work(closing=self._work.closing)
        work.changes.puts = [self._buffer.popleft() for _ in range(min(GROUP, len(self._buffer)))]
        if not work.changes.puts and not work.closing and time.monotonic() - self._seen_written_s < SIGHTINGS_EVERY_S:
            work.changes.seen, left.changes.seen = {}, work.changes.seen
        if self._buffer:
            work.flushes, left.flushes, work.closing = [], work.flushes, False
        self._work = left
        return work

    def _write(self, work: Work) -> bool:
        """Commit the round's changes; where the disk is in the way, put back what is left and say so."""
        news = bool(work.changes.puts) or self.failing
        try:
            self._held.use(lambda file: self._commit(file, work.changes))
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except (CodedError, sqlite3.DatabaseError, OSError) as error:
            self._report("written", error)
            self._put_back(work)
            written = False
        else:
            if self.failing:
                log.info("outbox %s can be written again", self._path)
            self.failing = False
            self._to_scrub |= work.changes.forgotten
            written = True
        if news:
            self._call(self._news)
        return written

    def _commit(self, file: OutboxFile, changes: Changes) -> None:
        """All at once; on a full disk in steps: what is delivered first, that makes room, then a few at a time."""
        if changes.seen:
            self._seen_written_s = time.monotonic()
        if not self.failing:
            with suppress(sqlite3.OperationalError, OSError):
                self._metrics.outbox_dropped.inc(file.write(changes, self._now()))
                return
        file.reuse_log()
        gone = Changes(acked=changes.acked, unseen=changes.unseen, forgotten=changes.forgotten)
        self._metrics.outbox_dropped.inc(file.write(gone, self._now()))
        self._to_scrub |= changes.forgotten
        changes.acked, changes.unseen, changes.forgotten = set(), set(), set()
        while True:
            step = Changes(puts=changes.puts[:STEP], seen=changes.seen, sightings=changes.sightings)
            self._metrics.outbox_dropped.inc(file.write(step, self._now()))
            changes.puts, changes.seen, changes.sightings = changes.puts[STEP:], {}, {}
            if not changes.puts:
                return

    def _scrub(self) -> None:
        """What is left of those who were forgotten, byte by byte; where the disk is in the way, later."""
        if not self._to_scrub or time.monotonic() < self._scrub_at_s:
            return
        try:
            self._held.use(lambda file: file.scrub(self._to_scrub))
            blot_set_aside(self._path, self._to_scrub)
        except (CodedError, sqlite3.DatabaseError, OSError) as error:
            if self._scrub_at_s < 0:
                told = "outbox %s: what is left of people who were forgotten can't be overwritten yet (%s)"
                log.warning(told, self._path, error, extra={"code": OutboxUnwritable.code})
            self._scrub_at_s = time.monotonic() + SCRUB_AGAIN_S
        else:
            self._to_scrub, self._scrub_at_s = set(), float("-inf")

    def _report(self, verb: str, error: Exception) -> None:
        self._metrics.outbox_errors.labels(code=OutboxUnwritable.code).inc()
        if not self.failing:
            what = f"{error}:" if isinstance(error, CodedError) else f"outbox {self._path} can't be {verb} ({error}):"
            log.error(
                "%s events wait in memory; make room on the disk, or bring it back",
                what,
                extra={"code": OutboxUnwritable.code},
            )
        self.failing = True

    def _put_back(self, work: Work) -> None:
        with self._wake:
            self._buffer.extendleft(reversed(work.changes.puts))
            self._trim()
            waiting = self._work
            waiting.changes.acked |= work.changes.acked
            waiting.changes.unseen |= work.changes.unseen
            waiting.changes.forgotten |= work.changes.forgotten
            waiting.changes.seen = work.changes.seen | waiting.changes.seen
            waiting.changes.sightings = work.changes.sightings | waiting.changes.sightings
            self._drop_forgotten()
            # Whoever wants to know whether all is written learns now that it is not; closing waits no longer.
            work.flushes += waiting.flushes
            waiting.flushes = []
            work.closing = waiting.closing

    def _answer(self, peek: Peek) -> None:
        with self._wake:
            acked = frozenset(self._work.changes.acked)
        stored: list[Stored] | None = None
        try:
            stored = self._held.use(lambda file: file.rows(peek.after, peek.limit, acked))
        except (CodedError, sqlite3.DatabaseError, OSError) as error:
            self._report("read", error)
        self._call(_settle, peek.answer, stored)

    def _show(self, file: OutboxFile | None) -> None:
        self._oldest_at = None if file is None else file.oldest_at
        self._metrics.outbox_depth.set((0 if file is None else file.count) + len(self._buffer))


def _settle(waiter: asyncio.Future[T], value: T) -> None:
    if not waiter.done():
        waiter.set_result(value)
