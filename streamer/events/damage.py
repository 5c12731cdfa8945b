"""A damaged outbox: what tells that it is, how it is set aside as it is, and what can still be read of it.

Everything blocks; on the outbox's writer thread. Nothing is ever deleted.
"""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from streamer.errors import OutboxDamaged
from streamer.events.event import IdentityEvent, LastSeen

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LEVELS = TypeAdapter(tuple[str, ...])
_SIGHTING = TypeAdapter(LastSeen)
# Seconds on any clock that a file may hold.
_TIME = TypeAdapter(Annotated[float, Field(ge=0.0, le=1e12, strict=True)])
_TIME_IF_KNOWN = TypeAdapter(Annotated[float, Field(ge=-1e12, le=1e12, strict=True)] | None)
_CAPTURED_S = "json_extract(event, '$.captured_s')"


@dataclass(frozen=True, slots=True)
class Pending:
    """A row that waits; created_at and captured_s on the file's clock."""

    row: int
    event: IdentityEvent
    levels: tuple[str, ...]
    created_at: float
    captured_s: float | None


@dataclass(frozen=True, slots=True)
class OpenVisit:
    """A visit that has no `end` yet: its last message, its last sighting (Unix s), both on the file's clock."""

    event: IdentityEvent
    seen_at: float
    captured_s: float | None
    seen_s: float | None


@contextmanager
def damage_told(path: Path, *, opening: bool = False) -> Iterator[None]:
    """What only a damaged file gives becomes OutboxDamaged; `opening`: so does a query that does not fit the file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)
        text = code is None and isinstance(error, sqlite3.OperationalError)  # no UTF-8
        text = text or "malformed JSON" in str(error)
        damaged = code is not None and (code & 0xFF in _DAMAGE or code == sqlite3.SQLITE_IOERR_SHORT_READ)
        misfit = opening and code is not None and code & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)
        if not (text or damaged or misfit):
            raise
        raise OutboxDamaged(f"outbox {path} is damaged ({error})") from None
    except ValidationError:
        raise OutboxDamaged(f"outbox {path} is damaged (a row of it is none of ours)") from None


def pending(
    db: sqlite3.Connection, which: str = "ORDER BY row", values: tuple[int | str, ...] = ()
) -> Iterator[Pending]:
    """The rows that wait. Raises sqlite3.DatabaseError and ValidationError."""
    rows = db.execute(f"SELECT row, event, levels, created_at, {_CAPTURED_S} FROM pending {which}", values)
    for row, event, levels, created_at, captured_s in rows:
        yield Pending(
            row,
            IdentityEvent.model_validate_json(event),
            _LEVELS.validate_json(levels),
            _TIME.validate_python(created_at),
            _TIME_IF_KNOWN.validate_python(captured_s),
        )


def open_visits(db: sqlite3.Connection) -> Iterator[OpenVisit]:
    """Raises sqlite3.DatabaseError and ValidationError."""
    rows = db.execute(
        f"SELECT event, seen_at, {_CAPTURED_S}, json_extract(event, '$.seen_s') FROM open_visits ORDER BY event_id"
    )
    for event, seen_at, captured_s, seen_s in rows:
        yield OpenVisit(
            IdentityEvent.model_validate_json(event),
            _TIME.validate_python(seen_at),
            _TIME_IF_KNOWN.validate_python(captured_s),
            _TIME_IF_KNOWN.validate_python(seen_s),
        )


def sightings(db: sqlite3.Connection) -> Iterator[tuple[str, LastSeen]]:
    """Raises sqlite3.DatabaseError and ValidationError."""
    for person_id, sighting in db.execute("SELECT person_id, sighting FROM last_seen"):
        yield person_id, _SIGHTING.validate_json(sighting)


def is_time(value: object) -> bool:
    """Whether it is what a file may hold as seconds."""
    return isinstance(value, float) and 0.0 <= value <= 1e12


def side_files(path: Path) -> list[Path]:
    """What SQLite may have beside a file."""
    return [path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")]


def set_aside(path: Path) -> Path:
    """Rename a file, or whatever is in its place, and what lies beside it. Raises OSError."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside, number = path.with_name(f"{path.name}.damaged-{stamp}"), 1
    while any(os.path.lexists(file) for file in (aside, *side_files(aside))):
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    # The log first: without its file it is kept, while a file that is made anew would have it deleted.
    for file, goal in zip((*side_files(path), path), (*side_files(aside), aside), strict=True):
        with suppress(FileNotFoundError):
            file.rename(goal)
    return aside


@dataclass(slots=True)
class Contents:
    """Rows of an outbox, as they lie in it, each sound by itself; in_flight: rows on their way to the broker."""

    client_id: str | None = None
    pending: dict[int, tuple[object, ...]] = field(default_factory=dict)
    open_visits: dict[str, tuple[object, ...]] = field(default_factory=dict)
    last_seen: dict[str, tuple[object, ...]] = field(default_factory=dict)
    clock: tuple[object, ...] | None = None
    in_flight: set[int] = field(default_factory=set)

    @classmethod
    def read(cls, db: sqlite3.Connection) -> "Contents":
        """From the first row until the damage and from the last one back to it; what is not sound is left out."""
        found = cls()
        for order in ("", "DESC"):
            for row in _readable(
                db, f"SELECT row, event_id, type, levels, event, created_at FROM pending ORDER BY row {order}"
            ):
                if isinstance(row[0], int) and _is_message(row):
                    found.pending[row[0]] = row
            for row in _readable(db, f"SELECT event_id, event, seen_at FROM open_visits ORDER BY rowid {order}"):
                if _event(row[1], row[0]) is not None and is_time(row[2]):
                    found.open_visits[str(row[0])] = row
            for row in _readable(db, f"SELECT person_id, sighting FROM last_seen ORDER BY rowid {order}"):
                with suppress(ValidationError):
                    _SIGHTING.validate_json(str(row[1]))
                    found.last_seen[str(row[0])] = row
        for row in _readable(db, "SELECT client_id FROM installation LIMIT 1"):
            found.client_id = str(row[0])
        for row in _readable(db, "SELECT boot_id, steady_s, file_s FROM clock LIMIT 1"):
            found.clock = row if is_time(row[1]) and is_time(row[2]) else None
        return found

    def write(self, db: sqlite3.Connection) -> None:
        """Into a new outbox, in the caller's transaction."""
        rows = [self.pending[row] for row in sorted(self.pending)]
        db.executemany(
            "INSERT INTO pending (row, event_id, type, levels, event, created_at) VALUES (?, ?, ?, ?, ?, ?)", rows
        )
        db.executemany("INSERT INTO open_visits VALUES (?, ?, ?)", self.open_visits.values())
        db.executemany("INSERT INTO last_seen VALUES (?, ?)", self.last_seen.values())
        # An acknowledgement of what could not be read must not hit a newer message.
        last = max([0, *self.in_flight, *self.pending])
        db.execute("DELETE FROM sqlite_sequence WHERE name = 'pending'")
        db.execute("INSERT INTO sqlite_sequence VALUES ('pending', ?)", (last,))
        if self.client_id is not None:
            db.execute("UPDATE installation SET client_id = ?", (self.client_id,))
        if self.clock is not None:
            db.execute("DELETE FROM clock")
            db.execute("INSERT INTO clock VALUES (?, ?, ?)", self.clock)


@contextmanager
def looked_at(path: Path, *, with_log: bool) -> Iterator[sqlite3.Connection]:
    """The file as it is, with its log in a copy, since SQLite carries a log over into its file when it is done.

    Raises OSError where there is no room for one.
    """
    if not with_log:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            yield db
        return
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.read-", dir=path.parent) as folder:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(path, copy)
        shutil.copyfile(side_files(path)[0], side_files(copy)[0])
        with closing(sqlite3.connect(copy, isolation_level=None)) as db:
            yield db


def has_log(path: Path) -> bool:
    """Whether something lies in the log that its file may not have yet."""
    log = side_files(path)[0]
    return log.is_file() and log.stat().st_size > 0


def read_aside(aside: Path) -> Contents:
    """What can be read of a file that was set aside, which stays as it is.

    With its log; where that does not fit the file (another one left it) or can't be copied, without.
    """
    bare, is_whole = _contents(aside, with_log=False)
    if not has_log(aside):
        return bare
    logged, fits = _contents(aside, with_log=True)
    return logged if fits or not (is_whole or len(bare.pending) > len(logged.pending)) else bare


def _contents(path: Path, *, with_log: bool) -> tuple[Contents, bool]:
    """And whether the structure is sound."""
    with suppress(OSError, sqlite3.Error), looked_at(path, with_log=with_log) as db:
        verdict = next(_readable(db, "PRAGMA integrity_check(1)"), ("damaged",))[0]
        return Contents.read(db), verdict == "ok"
    return Contents(), False


def _readable(db: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    """Rows until the damage."""
    with suppress(sqlite3.DatabaseError):
        yield from db.execute(query)


def _event(text: object, event_id: object) -> IdentityEvent | None:
    """None where reading it from the new file would find damage again."""
    try:
        event = IdentityEvent.model_validate_json(text if isinstance(text, str) else "")
        ours = orjson.loads(text) if isinstance(text, str) else {}
        for key in ("captured_s", "seen_s"):
            _TIME_IF_KNOWN.validate_python(ours.get(key))
    except (ValidationError, orjson.JSONDecodeError):
        return None
    return event if event.event_id == event_id else None


def _is_message(row: tuple[object, ...]) -> bool:
    """What a row says twice must agree: a damaged one must not name anybody."""
    _, event_id, kind, levels, text, created_at = row
    event = _event(text, event_id)
    if event is None or event.type != kind or not isinstance(levels, str) or not is_time(created_at):
        return False
    people = {person.id if person else "unknown" for person in (event.person, event.previous_person)}
    with suppress(orjson.JSONDecodeError):
        told = orjson.loads(levels)
        return isinstance(told, list) and bool(told) and set(map(str, told)) <= people | {"unknown"}
    return False
