"""The outbox's SQLite file: messages that wait for the broker, visits that are open, who was last seen where.

Batches of changes go in, each committed as one transaction; rows come out, oldest first. Everything here
blocks: used by the outbox's writer thread alone, which holds the file exclusively.
"""

import errno
import os
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from streamer.byte_search import holds
from streamer.errors import OutboxDamaged
from streamer.events.damage import Contents, damage_told, is_time, open_visits, pending, side_files, sightings
from streamer.events.erasing import erase_people
from streamer.events.event import Due, IdentityEvent, LastSeen
from streamer.events.outbox_schema import CLOCK, PAGE_BYTES, SPARE_BYTES, claim_spare, open_outbox
from streamer.events.stored_text import text_of
from streamer.steady import UNSET_BEFORE

_TIDY_PAGES = 1024
# A message takes about half a page, in two tables; trees that grow take a few besides.
_PAGES_BESIDES = 8


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that waits. row orders all messages; created_at: when it was written, in s on the steady clock (of an
    earlier boot: less, maybe below 0). captured_s: the event's captured_at on that clock, if it is of this boot.
    """

    row: int
    event: IdentityEvent
    levels: tuple[str, ...]
    created_at: float
    captured_s: float | None = None


@dataclass(slots=True)
class Changes:
    """What one transaction writes: messages, rows to delete, last sightings by event_id (Unix and steady s) and by
    person, people whose last sighting is to go, and those of whom nothing is to stay.
    """

    puts: list[Due] = field(default_factory=list)
    acked: set[int] = field(default_factory=set)
    seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    sightings: dict[str, LastSeen] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.puts or self.acked or self.seen or self.sightings or self.unseen or self.forgotten)


class OutboxFile:
    """One open outbox file, for one thread.

    At most `limit` messages, none older than max_age_s. A message that was handed out by rows() and is not
    deleted yet is in flight, and never given up. `client_id` is this installation's name at the broker,
    `oldest_at` when the oldest message was written (steady s), if there is one. `now` is the steady clock's, in s,
    everywhere; of which `boot`. Each statement gives the interpreter's lock away, and on a busy machine has to wait
    for it: a write makes do with few.
    Methods raise sqlite3.DatabaseError or OSError where the disk is in the way, and OutboxDamaged; nothing of a failed
    write() remains. Opening one that is damaged leaves it as it is.
    """

    def __init__(self, path: Path, limit: int, max_age_s: float, now: float, boot: str = "") -> None:
        self._path = path
        self._limit = limit
        self._max_age_s = max_age_s
        self._boot = boot
        # Visits whose `new` was given up: nobody heard of them, so nobody is told how they go on.
        self._given_up: set[str] = set()
        self._in_flight: set[int] = set()
        self._synchronous = ""
        self._free_pages = 0
        self._db = open_outbox(path)
        # Closed after the database: closing any descriptor of the file would drop SQLite's lock on it.
        self._descriptor = os.open(path, os.O_RDWR)
        try:
            with damage_told(path, opening=True):
                self._read(now)
        except BaseException:
            self.close()
            raise

    def _read(self, now: float) -> None:
        self._ahead_s, self._boot_began = self._find_clock(now)
        self.count = self._number("SELECT count(*) FROM pending")
        self.client_id = self._find_client_id()
        self.oldest_at = self._find_oldest()

    def close(self) -> None:
        self._db.close()
        os.close(self._descriptor)

    @property
    def is_in_place(self) -> bool:
        """Whether the file at `path` is the one that is open. Raises OSError where nobody knows: its folder is away, or
        can't be read.
        """
        try:
            there = self._path.stat()
        except FileNotFoundError:
            self._path.parent.stat()
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode, by which it is known again; None once it is deleted: another file may get them."""
        state = os.fstat(self._descriptor)
        return (state.st_dev, state.st_ino) if state.st_nlink else None

    def contents(self) -> Contents:
        """All that can be read of it, whatever its state."""
        found = Contents.read(self._db)
        found.in_flight = set(self._in_flight)
        return found

    def restore(self, contents: Contents, now: float) -> None:
        """Take over what another file held, in flight or not; into a new file only."""
        with damage_told(self._path):
            self._db.execute(CLOCK)
            with self._transaction("FULL"):
                contents.write(self._db)
            self._read(now)
        self._in_flight = set(contents.in_flight)

    def interrupted(self) -> list[Due]:
        """The `end` of each visit that was open when the service died; writing one closes the visit."""
        ends = []
        with damage_told(self._path):
            left_open = list(open_visits(self._db))
        for visit in left_open:
            last = visit.event
            first_seen_at = min(last.first_seen_at, visit.seen_at)
            if visit.captured_s is not None and visit.seen_s is not None:
                stood_s = visit.seen_s - visit.captured_s + last.captured_at - last.first_seen_at
                first_seen_at = visit.seen_at - max(stood_s, 0.0)
            end = last.model_copy(
                update={
                    "seq": last.seq + 1,
                    "type": "end",
                    "previous_person": None,
                    "first_seen_at": first_seen_at,
                    "captured_at": visit.seen_at,
                    "end_reason": "interrupted",
                }
            )
            ends.append(Due(end, (last.person.id if last.person else "unknown",), self._of_this_boot(visit.seen_s)))
        return ends

    def last_seen(self) -> dict[str, LastSeen]:
        """By person id."""
        with damage_told(self._path):
            return dict(sightings(self._db))

    def rows(self, after: int, limit: int, without: Collection[int] = ()) -> list[Stored]:
        """The oldest `limit` messages with a row above `after`, but those in `without`. From 0: all anew."""
        with damage_told(self._path):
            found = pending(self._db, "WHERE row > ? ORDER BY row LIMIT ?", (after, limit + len(without)))
            stored = [
                Stored(
                    row.row, row.event, row.levels, row.created_at - self._ahead_s, self._of_this_boot(row.captured_s)
                )
                for row in found
                if row.row not in without
            ][:limit]
        self._in_flight.update(one.row for one in stored)
        return stored

    def put_off(self, rows: Collection[int]) -> None:
        """These are not in flight: the broker refuses them for now."""
        self._in_flight.difference_update(rows)

    def release(self) -> None:
        """Nothing is in flight any more: the connection is gone."""
        self._in_flight.clear()

    def write(self, changes: Changes, now: float) -> int:
        """Commit `changes`, and give up what is too old or too much; returns how many messages were lost."""
        with damage_told(self._path):
            return self._write(changes, now)

    def _write(self, changes: Changes, now: float) -> int:
        if changes.puts:
            self._reserve(len(changes.puts))
        given_up = set(self._given_up)
        # What is new must outlive a power cut; what was acknowledged would merely be sent again.
        with self._transaction("FULL" if changes.puts else "NORMAL"):
            deleted = self._db.executemany("DELETE FROM pending WHERE row = ?", ((row,) for row in changes.acked))
            count = self.count - deleted.rowcount + len(changes.puts)
            lost = sum(self._put(due, now, given_up) for due in changes.puts)
            self._db.executemany(
                "UPDATE open_visits SET seen_at = ?, event = json_set(event, '$.seen_s', ?) WHERE event_id = ?",
                ((at, seen_s + self._ahead_s, event_id) for event_id, (at, seen_s) in changes.seen.items()),
            )
            # Not after the message, so before it can be sent: whatever the broker retains about people is known here,
            # and can be erased.
            self._db.executemany(
                "INSERT OR REPLACE INTO last_seen VALUES (?, ?)",
                ((person_id, orjson.dumps(seen).decode()) for person_id, seen in changes.sightings.items()),
            )
            self._db.executemany(
                "DELETE FROM last_seen WHERE person_id = ?", ((person_id,) for person_id in changes.unseen)
            )
            if changes.forgotten:
                count -= erase_people(self._db, changes.forgotten, self._in_flight)
            lost += self._drop_aged(now - self._max_age_s, given_up)
            lost += self._drop_excess(count - lost - self._limit, given_up)
        self._given_up, self.count = given_up, count - lost
        self._in_flight -= changes.acked
        if lost or changes.acked or changes.forgotten or self.oldest_at is None:
            self.oldest_at = self._find_oldest() if self.count else None
        return lost

    def tidy(self) -> None:
        """Give pages that a long backlog left behind back to the disk, some at a time; the spare ones stay."""
        with damage_told(self._path):
            excess = self._number("PRAGMA freelist_count") - 2 * SPARE_BYTES // PAGE_BYTES
        if excess > 0:
            # Room on the disk is what this is for: where there is none it can wait.
            with damage_told(self._path), suppress(sqlite3.OperationalError):
                # executescript: execute() takes one step of it, which is one page.
                self._db.executescript(f"PRAGMA incremental_vacuum({min(excess, _TIDY_PAGES)})")
                self._free_pages = 0

    def scrub(self, person_ids: Collection[str]) -> None:
        """Leave no byte of these ids in file and log, once write() has forgotten them, whoever left them there.

        Raises OSError besides.
        """
        log = side_files(self._path)[0]
        if not (holds(self._descriptor, person_ids) or holds(log, person_ids)):
            return
        with damage_told(self._path):
            self._empty_log()
            if holds(self._descriptor, person_ids):
                self._db.execute("VACUUM")
                self._empty_log()
            self._free_pages = 0
            claim_spare(self._db)

    def _empty_log(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def reuse_log(self) -> None:
        """Let the next write begin at the start of the log: on a full disk that is the room there is."""
        with damage_told(self._path):
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _reserve(self, pages: int) -> None:
        """Claim room for so many pages in the file itself, or raise OSError (ENOSPC).

        Pages are added to the log and reach the file later. If there were no room for them by then, the log
        could never be begun anew, and on a disk that stays full not even a deletion would fit in any more.
        """
        pages += _PAGES_BESIDES
        if self._free_pages < pages:
            self._free_pages = self._number("PRAGMA freelist_count")
        self._free_pages -= pages
        if self._free_pages >= 0:
            return
        size = self._number("PRAGMA page_count") - self._free_pages
        try:
            os.posix_fallocate(self._descriptor, 0, size * PAGE_BYTES)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that can't promise room
                raise

    def _put(self, due: Due, now: float, given_up: set[str]) -> int:
        event = due.event
        if event.event_id in given_up:
            if event.type == "end":
                given_up.discard(event.event_id)
            return 1
        text = text_of(event, captured_s=None if due.captured_s is None else due.captured_s + self._ahead_s)
        self._db.execute(
            "INSERT INTO pending (event_id, type, levels, event, created_at) VALUES (?, ?, ?, ?, ?)",
            (event.event_id, event.type, orjson.dumps(due.levels).decode(), text, now + self._ahead_s),
        )
        if event.type == "end":
            self._db.execute("DELETE FROM open_visits WHERE event_id = ?", (event.event_id,))
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO open_visits VALUES (?, ?, ?)", (event.event_id, text, event.captured_at)
            )
        return 0

    def _drop_aged(self, before: float, given_up: set[str]) -> int:
        """Messages written earlier than `before`; a `new` takes the rest of its visit along."""
        if self.oldest_at is None or self.oldest_at >= before:
            return 0
        aged = self._db.execute(
            "SELECT row, event_id, type FROM pending WHERE created_at < ?"
            " AND row NOT IN (SELECT value FROM json_each(?)) ORDER BY row",
            (before + self._ahead_s, self._rows_in_flight()),
        ).fetchall()
        lost = 0
        for row, event_id, kind in aged:
            if kind == "new":
                lost += self._drop_visit(event_id, given_up)
            else:
                lost += self._db.execute("DELETE FROM pending WHERE row = ?", (row,)).rowcount
        return lost

    def _drop_excess(self, excess: int, given_up: set[str]) -> int:
        """What is over the limit: the oldest updates, then the oldest whole visits."""
        if excess <= 0:
            return 0
        lost = self._db.execute(
            "DELETE FROM pending WHERE row IN"
            " (SELECT row FROM pending WHERE type = 'update'"
            " AND row NOT IN (SELECT value FROM json_each(?)) ORDER BY row LIMIT ?)",
            (self._rows_in_flight(), excess),
        ).rowcount
        while lost < excess:
            oldest = self._db.execute(
                "SELECT event_id FROM pending WHERE event_id NOT IN"
                " (SELECT event_id FROM pending WHERE row IN (SELECT value FROM json_each(?))) ORDER BY row LIMIT 1",
                (self._rows_in_flight(),),
            ).fetchone()
            if oldest is None:
                break
            lost += self._drop_visit(oldest[0], given_up)
        return lost

    def _drop_visit(self, event_id: str, given_up: set[str]) -> int:
        kinds = [
            kind for (kind,) in self._db.execute("DELETE FROM pending WHERE event_id = ? RETURNING type", (event_id,))
        ]
        if "new" in kinds:
            self._db.execute("DELETE FROM open_visits WHERE event_id = ?", (event_id,))
            if "end" not in kinds:
                given_up.add(event_id)
        return len(kinds)

    def _rows_in_flight(self) -> str:
        return orjson.dumps(list(self._in_flight)).decode()

    def _find_oldest(self) -> float | None:
        row = self._db.execute("SELECT created_at FROM pending ORDER BY row LIMIT 1").fetchone()
        return float(row[0]) - self._ahead_s if row else None

    def _find_client_id(self) -> str:
        row = self._db.execute("SELECT client_id FROM installation").fetchone()
        if row is None:
            raise OutboxDamaged(f"outbox {self._path} is damaged (it has no name)")
        return str(row[0])

    def _find_clock(self, now: float) -> tuple[float, float]:
        """How far the file's clock is ahead of the steady one, and what it said when this boot began with it."""
        newest = self._db.execute("SELECT max(created_at) FROM pending").fetchone()[0]
        try:
            row = self._db.execute("SELECT boot_id, steady_s, file_s FROM clock").fetchone()
        except sqlite3.OperationalError:
            row = None
        if newest is not None and not is_time(newest):
            raise OutboxDamaged(f"outbox {self._path} is damaged (a message of no time)")
        if row is not None and not (is_time(row[1]) and is_time(row[2])):
            row = None
        if row is not None and self._boot and row[0] == self._boot and row[1] <= now:
            return row[2] - row[1], row[2]
        known = [float(at) for at in (newest, row and row[2]) if at is not None]
        file_s = max(known) + 1.0 if known else max(time.time(), UNSET_BEFORE)
        with suppress(sqlite3.OperationalError), self._transaction("NORMAL"):  # on a full disk it can wait
            self._db.execute(CLOCK)
            self._db.execute("DELETE FROM clock")
            self._db.execute("INSERT INTO clock VALUES (?, ?, ?)", (self._boot, now, file_s))
        return file_s - now, file_s

    def _of_this_boot(self, file_s: float | None) -> float | None:
        """A reading of the file's clock on the steady one; None for one of an earlier boot."""
        return None if file_s is None or file_s < self._boot_began else file_s - self._ahead_s

    def _number(self, statement: str) -> int:
        return int(self._db.execute(statement).fetchone()[0])

    @contextmanager
    def _transaction(self, synchronous: str) -> Iterator[None]:
        if synchronous != self._synchronous:
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk has rolled back by itself
                self._db.execute("ROLLBACK")
            raise
