"""The gallery's file: made in one piece, checked and brought up to date when opened; SQLite's complaints in our words.

Everything blocks for disk I/O; called by PersonStore on whatever thread uses it.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gallery.errors import GalleryError, GalleryTooNew, GalleryUnreadable, GalleryUnwritable

SCHEMA_VERSION = 2
BUSY_TIMEOUT_S = 5.0
_APPLICATION_ID = 0x77686F74  # "whot": tells a gallery from anybody else's SQLite file

# AUTOINCREMENT: an id that was given away is never given again, so that an index can follow the store by ids.
_SCHEMA = """
CREATE TABLE people (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at REAL NOT NULL
);
CREATE INDEX people_by_name ON people (name);
CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    chip BLOB NOT NULL,
    landmarks BLOB NOT NULL,
    quality REAL NOT NULL,
    digest TEXT NOT NULL,
    added_at REAL NOT NULL,
    UNIQUE (person_id, digest)
);
CREATE TABLE templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    photo_id INTEGER NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    space TEXT NOT NULL,
    embedding BLOB NOT NULL,
    quality REAL NOT NULL,
    signature TEXT NOT NULL DEFAULT '',
    UNIQUE (photo_id, space)
);
CREATE INDEX templates_by_space ON templates (space, id);
CREATE INDEX templates_by_person ON templates (person_id, space);
"""

# What leads from each older version to the next. What made a template of version 1 is not known: ''.
_MIGRATIONS = {1: "ALTER TABLE templates ADD COLUMN signature TEXT NOT NULL DEFAULT ''"}

_UNREADABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNWRITABLE = {
    sqlite3.SQLITE_FULL: "the disk is full; free some room, then try again",
    sqlite3.SQLITE_READONLY: "it is read-only; let this user write the file and its folder",
    sqlite3.SQLITE_PERM: "it may not be opened; let this user write the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened for writing; let this user write the file and its folder",
    sqlite3.SQLITE_BUSY: "another process has been writing it for too long; try again",
    sqlite3.SQLITE_LOCKED: "another process has been writing it for too long; try again",
    sqlite3.SQLITE_IOERR: "the disk failed or is full; free some room or mend it, then try again",
}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's complaints become GalleryUnreadable or GalleryUnwritable; our own bugs go through."""
    try:
        yield
    except sqlite3.Error as error:
        coded = _coded(error, path)
        if coded is None:
            raise
        raise coded from None


def _coded(error: sqlite3.Error, path: Path) -> GalleryError | None:
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return None
    primary = extended & 0xFF
    if primary in _UNREADABLE or extended == sqlite3.SQLITE_IOERR_SHORT_READ:
        return GalleryUnreadable(f"gallery {path} is damaged or no gallery ({error}); restore it from a backup")
    if primary in _UNWRITABLE:
        return GalleryUnwritable(f"gallery {path} can't be written: {_UNWRITABLE[primary]}")
    return None


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All that the body writes, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite ends the transaction by itself on some errors, a full disk among them.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def open_database(path: Path) -> sqlite3.Connection:
    """The gallery of this file, made where there is none; only its owner may read it (biometric data).

    One of an older schema is brought to SCHEMA_VERSION; an older whosthere refuses it from then on.
    Raises GalleryUnreadable, GalleryTooNew and GalleryUnwritable; a file that is refused is left as it is.
    """
    try:
        if not path.exists():
            _create(path)
        if not path.is_file():
            raise GalleryUnreadable(f"gallery {path} is no file; check paths.data")
        if path.stat().st_size == 0:
            raise GalleryUnreadable(
                f"gallery {path} is empty (0 bytes); restore it from a backup, or delete it to begin anew"
            )
        logged = path.with_name(f"{path.name}-wal").exists()
    except OSError as error:
        raise _unusable(path, error) from None
    with translated(path):
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            check_file(db, path, logged=logged)
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA temp_store = MEMORY")
            migrate(db, path)
        except OSError as error:
            db.close()
            raise _unusable(path, error) from None
        except BaseException:
            db.close()
            raise
    return db


def _unusable(path: Path, error: OSError) -> GalleryUnwritable:
    return GalleryUnwritable(
        f"gallery {path} can't be used ({error.strerror}); free some room, let this user write its folder"
    )


def _version(db: sqlite3.Connection, path: Path) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise GalleryTooNew(
            f"gallery {path} has schema {version}, but this whosthere knows only {SCHEMA_VERSION}; update whosthere"
        )
    return int(version)


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the file to SCHEMA_VERSION, in one transaction; another process may be doing the same."""
    if _version(db, path) == SCHEMA_VERSION:
        return
    with transaction(db):
        for version in range(_version(db, path), SCHEMA_VERSION):
            db.execute(_MIGRATIONS[version])
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def check_file(db: sqlite3.Connection, path: Path, *, logged: bool) -> None:
    version = _version(db, path)
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    if application_id != _APPLICATION_ID or version < 1:
        raise GalleryUnreadable(f"gallery {path} is some other SQLite file; check paths.data")
    # SQLite sees by itself where pages are missing, but not where the last one is there in part. A crash may
    # leave it so, and then the log has it whole.
    (page_size,) = db.execute("PRAGMA page_size").fetchone()
    if path.stat().st_size % page_size and not logged:
        raise GalleryUnreadable(f"gallery {path} was cut short; restore it from a backup")


def make_schema(db: sqlite3.Connection) -> None:
    """An empty gallery in an empty database."""
    db.executescript(
        f"PRAGMA journal_mode = WAL; PRAGMA application_id = {_APPLICATION_ID};"
        f"PRAGMA user_version = {SCHEMA_VERSION}; {_SCHEMA}"
    )


def _create(path: Path) -> None:
    """Make an empty gallery beside its place and link it in: who opens it meanwhile sees all or nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with translated(path):
            db = sqlite3.connect(draft, isolation_level=None)
            try:
                make_schema(db)
            finally:
                db.close()
        _link(draft, path)
    finally:
        for leftover in path.parent.glob(f"{draft.name}*"):
            leftover.unlink(missing_ok=True)


def _link(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass  # another process was first: its gallery is as good as ours
    except OSError:
        draft.replace(path)  # a file system without hard links
