"""The file of kept visits: made in one piece, checked when opened; its key; SQLite's complaints in our words.

Blocks for disk I/O, and for what the master key comes from.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gallery.keys.encryption import MasterKey, SealBroken
from gallery.keys.master_key import KeySource
from gallery.storage.new_file import draft_of, put_in_place
from streamer.errors import KeptVisitsDamaged, KeptVisitsMissing, KeptVisitsTooNew, KeptVisitsUnwritable

VERSION = 2  # 1: nothing could be said of a visit afterwards
BUSY_TIMEOUT_S = 5.0
SYNCHRONOUS = "NORMAL"  # the last visits may be lost with the power, and none is damaged
_PURPOSE = "visits"
_APPLICATION_ID = 0x77686F76  # "whov"
_KEY_PLACE = "key of the kept visits"

# What people said of a visit afterwards: whose it is (is_named; person_id NULL: nobody's who is enrolled), and that it
# is not to be reviewed.
_SAID = """
CREATE TABLE IF NOT EXISTS said (
    event_id TEXT PRIMARY KEY REFERENCES visits ON DELETE CASCADE,
    is_named INTEGER NOT NULL,
    person_id TEXT,
    is_ignored INTEGER NOT NULL,
    said_at REAL NOT NULL
) STRICT, WITHOUT ROWID
"""
# Of a file in which nothing could be said, as long as nothing is: for this connection alone, in memory.
_NOTHING_SAID = "CREATE TEMP TABLE said (event_id TEXT PRIMARY KEY, is_named, person_id, is_ignored, said_at)"
# Ids and times are in clear: they are what visits are searched, purged and erased by. What shows somebody is sealed.
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
CREATE TABLE visits (
    event_id TEXT PRIMARY KEY,
    camera TEXT NOT NULL,
    is_known INTEGER NOT NULL,
    began_at REAL NOT NULL,
    seen_at REAL NOT NULL,
    ended_at REAL,
    boot TEXT NOT NULL,
    began_s REAL,
    set_s REAL NOT NULL DEFAULT 0  -- by how much its times were moved since its messages were written
) STRICT;
CREATE INDEX visits_by_time ON visits (began_at);
CREATE TABLE visit_people (
    person_id TEXT NOT NULL,
    event_id TEXT NOT NULL REFERENCES visits ON DELETE CASCADE,
    PRIMARY KEY (person_id, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX people_by_visit ON visit_people (event_id);
CREATE TABLE messages (
    event_id TEXT NOT NULL REFERENCES visits ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (event_id, seq)
) STRICT;
CREATE TABLE faces (
    event_id TEXT NOT NULL REFERENCES visits ON DELETE CASCADE,
    number INTEGER NOT NULL,
    space TEXT NOT NULL,
    signature TEXT NOT NULL,
    quality REAL NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (event_id, number)
) STRICT;
CREATE TABLE pictures (
    event_id TEXT NOT NULL REFERENCES visits ON DELETE CASCADE,
    kind TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (event_id, kind)
) STRICT;
"""
_COLUMNS = {
    "meta": "key, value",
    "visits": "event_id, camera, is_known, began_at, seen_at, ended_at, boot, began_s, set_s",
    "visit_people": "person_id, event_id",
    "messages": "event_id, seq, sealed",
    "faces": "event_id, number, space, signature, quality, sealed",
    "pictures": "event_id, kind, sealed",
}
_SAID_COLUMNS = {"said": "event_id, is_named, person_id, is_ignored, said_at"}
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's complaints become KeptVisitsDamaged or KeptVisitsUnwritable; our own bugs go through."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.DatabaseError as error:
        extended = getattr(error, "sqlite_errorcode", None)
        if extended is None:
            raise
        if extended & 0xFF in _DAMAGE or extended == sqlite3.SQLITE_IOERR_SHORT_READ:
            raise KeptVisitsDamaged(f"kept visits {path} are damaged ({error})") from None
        raise KeptVisitsUnwritable(
            f"kept visits {path} can't be used ({error}); make room on the disk, or let this user write the file"
        ) from None


def open_database(path: Path, *, make: bool) -> sqlite3.Connection:
    """Made where there is none, if `make`; only its owner may read it.

    Raises KeptVisitsMissing, KeptVisitsDamaged, KeptVisitsTooNew, KeptVisitsUnwritable; what is refused stays as it is.
    """
    try:
        if not os.path.lexists(path):
            if not make:
                raise KeptVisitsMissing(
                    f"no visits are kept in {path}; set cameras.<name>.snapshots to keep those that come"
                )
            _create(path)
        if not path.is_file() or path.stat().st_size == 0:
            raise KeptVisitsDamaged(f"kept visits {path} are damaged (no file, or an empty one)")
    except OSError as error:
        raise KeptVisitsUnwritable(
            f"kept visits {path} can't be used ({error.strerror}); make room on the disk, or let this user write there"
        ) from None
    with translated(path):
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            _check(db, path)
            db.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA secure_delete = ON")
        except BaseException:
            db.close()
            raise
    return db


def was_old(db: sqlite3.Connection) -> bool:
    """Whether the file was of an older version when it was opened, which leaves it as it is: an older service may be
    running, and would refuse its own file from then on.
    """
    return db.execute("SELECT 1 FROM temp.sqlite_master").fetchone() is not None


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """In the caller's transaction, of whoever writes what an older version has no place for."""
    if was_old(db):
        db.execute("DROP TABLE temp.said")
        db.execute(_SAID)
        db.execute(f"PRAGMA user_version = {VERSION}")


def _check(db: sqlite3.Connection, path: Path) -> None:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID or version < 1:
        raise KeptVisitsDamaged(f"kept visits {path} are some other SQLite file")
    if version > VERSION:
        raise KeptVisitsTooNew(
            f"kept visits {path} were written by a newer whosthere (version {version}, known here: {VERSION}); update "
            "whosthere, or move the file away"
        )
    try:
        for table, columns in (_COLUMNS if version == 1 else _COLUMNS | _SAID_COLUMNS).items():
            db.execute(f"SELECT {columns} FROM {table} LIMIT 0")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        raise KeptVisitsDamaged(f"kept visits {path} are damaged ({error})") from None
    if version == 1:
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute(_NOTHING_SAID)


def _create(path: Path) -> None:
    """Beside its place, then put there: whoever is killed here leaves none, or a whole one."""
    with draft_of(path) as draft:
        with translated(path):
            db = sqlite3.connect(draft, isolation_level=None)
            try:
                db.executescript(
                    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                    f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {VERSION}; {_SCHEMA} {_SAID}"
                )
            finally:
                db.close()
        put_in_place(draft, path)


class StoreKey(NamedTuple):
    """The file's own key, and how it lies there, wrapped: another one once it was exchanged. Both None: plain."""

    key: bytes | None = None
    wrapped: object = None


def store_key(db: sqlite3.Connection, path: Path, keys: KeySource | None) -> StoreKey:
    """As the file says. Raises MasterKeyMissing, MasterKeyWrong, KeptVisitsDamaged."""
    key_id, wrapped = meta(db, "key_id"), meta(db, "store_key")
    if key_id is None:
        return StoreKey()
    if keys is None:
        raise ValueError(f"{path} is encrypted, and no KeySource was given")
    if not isinstance(wrapped, bytes):
        raise KeptVisitsDamaged(f"kept visits {path} are damaged (their key is gone)")
    return StoreKey(_unwrapped(path, keys.find(str(key_id)), wrapped), wrapped)


def _unwrapped(path: Path, master: MasterKey, wrapped: bytes) -> bytes:
    try:
        return master.cipher(_PURPOSE).open(wrapped, _KEY_PLACE)
    except SealBroken:
        raise KeptVisitsDamaged(f"kept visits {path} are damaged (their key can't be opened)") from None


def keep_key(db: sqlite3.Connection, master: MasterKey | None, key: bytes | None) -> None:
    """In the caller's transaction: the file's own key under this master key; None: it is plain from now on."""
    if master is None or key is None:
        db.execute("DELETE FROM meta WHERE key IN ('key_id', 'store_key')")
        return
    wrapped = master.cipher(_PURPOSE).seal(key, _KEY_PLACE)
    db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [("key_id", master.id), ("store_key", wrapped)])


def meta(db: sqlite3.Connection, key: str) -> object:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]
