"""The outbox's file opened: made where there is none, refused where it is newer, told of where it is damaged.

Blocks; on the outbox's writer thread.
"""

import os
import secrets
import sqlite3
from contextlib import suppress
from pathlib import Path

from gallery.storage.file_copy import schema_of
from streamer.errors import AlreadyRunning, OutboxDamaged, OutboxError, OutboxTooNew, OutboxUnwritable
from streamer.events.damage import damage_told, has_log, looked_at, open_visits, side_files, sightings

VERSION = 1

# Free pages and a log of this size are kept for good: a disk that others fill up leaves this much room here.
SPARE_BYTES = 1 << 20
PAGE_BYTES = 4096

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
# The file's own clock goes on where the newest message left it, and by the machine's steady one from there: boots and
# restarts set it back by what nobody knows, and nothing sets it forward. An older whosthere takes it for Unix time.
CLOCK = "CREATE TABLE IF NOT EXISTS clock (boot_id TEXT NOT NULL, steady_s REAL NOT NULL, file_s REAL NOT NULL)"


_COLUMNS = {
    "pending": "row, event_id, type, levels, event, created_at",
    "open_visits": "event_id, event, seen_at",
    "last_seen": "person_id, sighting",
    "installation": "client_id",
    "spare": "bytes",
}


def refuse_newer(path: Path) -> None:
    """Before anything else of a folder is opened, and perhaps brought up to date. Raises OutboxTooNew."""
    version = schema_of(path)
    if version is not None and version > VERSION:
        raise _too_new(path, version)


def _too_new(path: Path, version: int) -> OutboxTooNew:
    return OutboxTooNew(
        f"outbox {path} was written by a newer whosthere (version {version}, known here: {VERSION});"
        " update whosthere, or move the file away"
    )


def open_outbox(path: Path) -> sqlite3.Connection:
    """Raises OutboxUnwritable, OutboxDamaged, OutboxTooNew, AlreadyRunning."""
    created = not os.path.lexists(path)
    try:
        _check_place(path, created=created)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        if not created:
            _check_whole(path)
        db = sqlite3.connect(path, isolation_level=None, timeout=0.5)
    except (PermissionError, IsADirectoryError) as error:
        raise OutboxDamaged(f"outbox {path} can't be opened ({_why(error)})") from None
    except (OSError, sqlite3.Error) as error:
        raise OutboxUnwritable(f"outbox {path} can't be opened ({_why(error)})") from None
    try:
        with damage_told(path, opening=True):
            _prepare(db, path, created=created)
    except sqlite3.Error as error:
        db.close()
        if created:
            path.unlink(missing_ok=True)
        if "locked" in str(error):
            raise AlreadyRunning(f"outbox {path} is in use; stop the other whosthere first") from None
        raise OutboxUnwritable(f"outbox {path} can't be used ({_why(error)})") from None
    except OutboxError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, *, created: bool) -> None:
    # One owner: no shared-memory file, and nobody else writes by mistake.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise _too_new(path, version)
    if created:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA secure_delete = ON")
    db.execute(f"PRAGMA wal_autocheckpoint = {SPARE_BYTES // PAGE_BYTES}")
    if created:
        _create(db)
    # Holds the lock from here on: with locking_mode EXCLUSIVE a commit does not let go of it.
    db.execute("BEGIN IMMEDIATE")
    db.execute("COMMIT")


def _create(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    for statement in filter(str.strip, _SCHEMA.split(";\n")):
        db.execute(statement)
    db.execute("INSERT INTO installation VALUES (?)", (f"whosthere-{secrets.token_hex(6)}",))
    db.execute("INSERT INTO spare VALUES (zeroblob(?))", (SPARE_BYTES,))
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")
    db.execute("DELETE FROM spare")


def claim_spare(db: sqlite3.Connection) -> None:
    """Have the spare pages and a log of their size again, after both were given back; on a full disk without them."""
    with suppress(sqlite3.OperationalError):
        db.execute("INSERT INTO spare VALUES (zeroblob(?))", (SPARE_BYTES,))
    db.execute("DELETE FROM spare")


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _check_place(path: Path, *, created: bool) -> None:
    """What SQLite would take for its own, and isn't."""
    # Ours has its log from its first commit on, and never a journal.
    beside = [file.name for file in side_files(path) if os.path.lexists(file)]
    if beside and created:
        raise OutboxDamaged(f"outbox {path} was deleted, and {beside[0]} was left")
    if f"{path.name}-journal" in beside:
        raise OutboxDamaged(f"outbox {path} is damaged (beside it lies {path.name}-journal, which is not its own)")
    if not created and not path.is_file():
        raise OutboxDamaged(f"outbox {path} is no file")
    if not created and path.stat().st_size == 0:
        raise OutboxDamaged(f"outbox {path} is empty (0 bytes)")


def _check_whole(path: Path) -> None:
    """Before it is opened for good: nothing is changed in a file that is damaged. Where there is no room: unseen."""
    with damage_told(path, opening=True), suppress(OSError), looked_at(path, with_log=has_log(path)) as db:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version == 0 or db.execute("PRAGMA application_id").fetchone()[0] != 0:
            raise OutboxDamaged(f"outbox {path} is some other SQLite file")
        if version > VERSION:
            return  # it is told where it is opened
        for table, columns in _COLUMNS.items():
            db.execute(f"SELECT {columns} FROM {table} LIMIT 0")
        (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise OutboxDamaged(f"outbox {path} is damaged ({' '.join(verdict.split())})")
        if db.execute("SELECT 1 FROM installation").fetchone() is None:
            raise OutboxDamaged(f"outbox {path} is damaged (it has no name)")
        for _ in (*open_visits(db), *sightings(db)):
            pass
