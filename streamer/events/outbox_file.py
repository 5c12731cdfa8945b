"""The outbox's SQLite file: messages that wait for the broker, visits that are open, who was last seen where.

Batches of changes go in, each committed as one transaction; rows come out, oldest first. Everything here
blocks: used by the outbox's writer thread alone, which holds the file exclusively.
"""

import errno
import os
import secrets
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from streamer.errors import AlreadyRunning, OutboxTooNew, OutboxUnwritable
from streamer.events.event import Due, IdentityEvent, LastSeen, sighting_of

VERSION = 1

# Free pages and a log of this size are kept for good: a disk that others fill up leaves this much room here.
_SPARE_BYTES = 1 << 20
_PAGE_BYTES = 4096
_TIDY_PAGES = 1024
# A message takes about half a page, in two tables; trees that grow take a few besides.
_PAGES_BESIDES = 8

_SCHEMA = """
CREATE TABLE pending (
    row INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: an acknowledgement may arrive late
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    levels TEXT NOT NULL,
    event TEXT NOT NULL,
    created_at REAL NOT NULL
) STRICT;
CREATE INDEX pending_by_visit ON pending (event_id);
CREATE INDEX pending_updates ON pending (row) WHERE type = 'update';
CREATE TABLE open_visits (event_id TEXT PRIMARY KEY, event TEXT NOT NULL, seen_at REAL NOT NULL) STRICT;
CREATE TABLE last_seen (person_id TEXT PRIMARY KEY, sighting TEXT NOT NULL) STRICT;
CREATE TABLE installation (client_id TEXT NOT NULL) STRICT;
CREATE TABLE spare (bytes BLOB NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that waits. row orders all messages; created_at is Unix time in s, when it was written."""

    row: int
    event: IdentityEvent
    levels: tuple[str, ...]
    created_at: float


@dataclass(slots=True)
class Changes:
    """What one transaction writes: messages, rows to delete, last sightings by event_id, people to forget."""

    puts: list[Due] = field(default_factory=list)
    acked: set[int] = field(default_factory=set)
    seen: dict[str, float] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.puts or self.acked or self.seen or self.forgotten)


class OutboxFile:
    """One open outbox file, for one thread.

    At most `limit` messages, none older than max_age_s. A message that was handed out by rows() and is not
    deleted yet is in flight, and never given up. `client_id` is this installation's name at the broker,
    `oldest_at` when the oldest message was written (Unix s), if there is one. Each statement gives the
    interpreter's lock away, and on a busy machine has to wait for it: a write makes do with few.
    Methods raise sqlite3.DatabaseError or OSError where the disk is in the way; nothing of a failed write()
    remains.
    """

    def __init__(self, path: Path, limit: int, max_age_s: float) -> None:
        self._path = path
        self._limit = limit
        self._max_age_s = max_age_s
        self._db = _open(path)
        # Closed after the database: closing any descriptor of the file would drop SQLite's lock on it.
        self._descriptor = os.open(path, os.O_RDWR)
        # Visits whose `new` was given up: nobody heard of them, so nobody is told how they go on.
        self._given_up: set[str] = set()
        self._in_flight: set[int] = set()
        self._synchronous = ""
        self._free_pages = 0
        self.count = self._number("SELECT count(*) FROM pending")
        self.client_id = str(self._db.execute("SELECT client_id FROM installation").fetchone()[0])
        self.oldest_at = self._find_oldest()

    def close(self) -> None:
        self._db.close()
        os.close(self._descriptor)

    def interrupted(self) -> list[Due]:
        """The `end` of each visit that was open when the service died; writing one closes the visit."""
        ends = []
        for text, seen_at in self._db.execute("SELECT event, seen_at FROM open_visits ORDER BY event_id"):
            last = IdentityEvent.model_validate_json(text)
            end = last.model_copy(
                update={
                    "seq": last.seq + 1,
                    "type": "end",
                    "previous_person": None,
                    "captured_at": max(last.captured_at, seen_at),
                    "end_reason": "interrupted",
                }
            )
            ends.append(Due(end, (last.person.id if last.person else "unknown",)))
        return ends

    def last_seen(self) -> dict[str, LastSeen]:
        """By person id."""
        rows = self._db.execute("SELECT person_id, sighting FROM last_seen")
        return {person_id: LastSeen(**orjson.loads(sighting)) for person_id, sighting in rows}

    def rows(self, after: int, limit: int, without: Collection[int] = ()) -> list[Stored]:
        """The oldest `limit` messages with a row above `after`, but those in `without`. From 0: all anew."""
        found = self._db.execute(
            "SELECT row, event, levels, created_at FROM pending WHERE row > ? ORDER BY row LIMIT ?",
            (after, limit + len(without)),
        )
        stored = [
            Stored(row, IdentityEvent.model_validate_json(event), tuple(orjson.loads(levels)), created_at)
            for row, event, levels, created_at in found
            if row not in without
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
        if changes.puts:
            self._reserve(len(changes.puts))
        given_up = set(self._given_up)
        # What is new must outlive a power cut; what was acknowledged would merely be sent again.
        with self._transaction("FULL" if changes.puts else "NORMAL"):
            deleted = self._db.executemany("DELETE FROM pending WHERE row = ?", ((row,) for row in changes.acked))
            count = self.count - deleted.rowcount + len(changes.puts)
            lost = sum(self._put(due, now, given_up) for due in changes.puts)
            self._db.executemany(
                "UPDATE open_visits SET seen_at = max(seen_at, ?) WHERE event_id = ?",
                ((seen_at, event_id) for event_id, seen_at in changes.seen.items()),
            )
            self._db.executemany(
                "DELETE FROM last_seen WHERE person_id = ?", ((person_id,) for person_id in changes.forgotten)
            )
            lost += self._drop_aged(now - self._max_age_s, given_up)
            lost += self._drop_excess(count - lost - self._limit, given_up)
        self._given_up, self.count = given_up, count - lost
        self._in_flight -= changes.acked
        if lost or changes.acked or self.oldest_at is None:
            self.oldest_at = self._find_oldest() if self.count else None
        return lost

    def tidy(self) -> None:
        """Give pages that a long backlog left behind back to the disk, some at a time; the spare ones stay."""
        excess = self._number("PRAGMA freelist_count") - 2 * _SPARE_BYTES // _PAGE_BYTES
        if excess > 0:
            # Room on the disk is what this is for: where there is none it can wait.
            with suppress(sqlite3.OperationalError):
                self._db.execute(f"PRAGMA incremental_vacuum({min(excess, _TIDY_PAGES)})").fetchall()
                self._free_pages = 0

    def reuse_log(self) -> None:
        """Let the next write begin at the start of the log: on a full disk that is the room there is."""
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
            os.posix_fallocate(self._descriptor, 0, size * _PAGE_BYTES)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that can't promise room
                raise

    def _put(self, due: Due, now: float, given_up: set[str]) -> int:
        event = due.event
        if event.event_id in given_up:
            if event.type == "end":
                given_up.discard(event.event_id)
            return 1
        text = _without_names(event)
        self._db.execute(
            "INSERT INTO pending (event_id, type, levels, event, created_at) VALUES (?, ?, ?, ?, ?)",
            (event.event_id, event.type, orjson.dumps(due.levels).decode(), text, now),
        )
        if event.type == "end":
            self._db.execute("DELETE FROM open_visits WHERE event_id = ?", (event.event_id,))
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO open_visits VALUES (?, ?, ?)", (event.event_id, text, event.captured_at)
            )
        if event.person is not None:
            # Written with the message, so before it can be sent: whatever the broker retains about people is
            # known here, and can be erased.
            self._db.execute(
                "INSERT INTO last_seen VALUES (?, ?) ON CONFLICT DO UPDATE SET sighting = excluded.sighting"
                " WHERE json_extract(excluded.sighting, '$.at') >= json_extract(sighting, '$.at')",
                (event.person.id, orjson.dumps(sighting_of(event)).decode()),
            )
        return 0

    def _drop_aged(self, before: float, given_up: set[str]) -> int:
        """Messages written earlier than `before`; a `new` takes the rest of its visit along."""
        if self.oldest_at is None or self.oldest_at >= before:
            return 0
        aged = self._db.execute(
            "SELECT row, event_id, type FROM pending WHERE created_at < ?"
            " AND row NOT IN (SELECT value FROM json_each(?)) ORDER BY row",
            (before, self._rows_in_flight()),
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
        return float(row[0]) if row else None

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


def _without_names(event: IdentityEvent) -> str:
    return event.model_dump_json(by_alias=True, exclude={"person": {"name"}, "previous_person": {"name"}})


def _open(path: Path) -> sqlite3.Connection:
    """Raises OutboxUnwritable, OutboxTooNew, AlreadyRunning."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        db = sqlite3.connect(path, isolation_level=None, timeout=0.5)
    except (OSError, sqlite3.Error) as error:
        raise OutboxUnwritable(f"outbox {path} can't be opened ({_why(error)}); mend paths.data") from None
    try:
        _prepare(db, path)
    except sqlite3.Error as error:
        db.close()
        if "locked" in str(error):
            raise AlreadyRunning(f"outbox {path} is in use; stop the other whosthere first") from None
        raise OutboxUnwritable(
            f"outbox {path} can't be used ({_why(error)}); make room, or move the file away"
        ) from None
    except OutboxTooNew:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    # One owner: no shared-memory file, and nobody else writes by mistake.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise OutboxTooNew(
            f"outbox {path} was written by a newer whosthere (version {version}, known here: {VERSION});"
            " update whosthere, or move the file away"
        )
    if version == 0:
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA secure_delete = ON")
    db.execute(f"PRAGMA wal_autocheckpoint = {_SPARE_BYTES // _PAGE_BYTES}")
    if version == 0:
        _create(db)
    # Holds the lock from here on: with locking_mode EXCLUSIVE a commit does not let go of it.
    db.execute("BEGIN IMMEDIATE")
    db.execute("COMMIT")


def _create(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    for statement in filter(str.strip, _SCHEMA.split(";\n")):
        db.execute(statement)
    db.execute("INSERT INTO installation VALUES (?)", (f"whosthere-{secrets.token_hex(6)}",))
    db.execute("INSERT INTO spare VALUES (zeroblob(?))", (_SPARE_BYTES,))
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")
    db.execute("DELETE FROM spare")


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
