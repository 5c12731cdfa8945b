"""The tables of the gallery's file, whether a file is one, transactions, SQLite's complaints in our words. Blocks."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from gallery.errors import GalleryError, GallerySealBroken, GalleryTooNew, GalleryUnreadable, GalleryUnwritable
from gallery.keys.encryption import SealBroken
from gallery.storage.meta import KEY_ID, set_meta

SCHEMA_VERSION = 4
SEALED_SINCE = 3  # a gallery may be encrypted from this version on
BUSY_TIMEOUT_S = 5.0
_MOST_TOLD = 10  # people in one line
_APPLICATION_ID = 0x77686F74  # "whot": tells a gallery from anybody else's SQLite file

# AUTOINCREMENT: an id that was given away is never given again, so that an index can follow the store by ids.
# Blobs are sealed (vault), but for tags and wrapped keys. Tables of statements: a script would end the transaction.
TABLES_OF_3 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    """CREATE TABLE people (
    id TEXT PRIMARY KEY,
    created_at REAL NOT NULL,
    name_tag BLOB NOT NULL,
    external_tag BLOB UNIQUE,
    profile_key BLOB,
    template_key BLOB,
    profile BLOB NOT NULL
)""",
    "CREATE INDEX people_by_name ON people (name_tag)",
    """CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    chip BLOB,
    landmarks BLOB NOT NULL,
    quality REAL NOT NULL,
    digest TEXT NOT NULL,
    added_at REAL NOT NULL,
    UNIQUE (person_id, digest)
)""",
    """CREATE TABLE templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    photo_id INTEGER NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    space TEXT NOT NULL,
    dim INTEGER NOT NULL,
    embedding BLOB NOT NULL,
    quality REAL NOT NULL,
    signature TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at REAL NOT NULL,
    UNIQUE (photo_id, space)
)""",
    "CREATE INDEX templates_by_space ON templates (space, id)",
    "CREATE INDEX templates_by_person ON templates (person_id, space)",
    "CREATE TABLE forgotten (id TEXT PRIMARY KEY, unfinished INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    person_id TEXT,
    details TEXT NOT NULL,
    hash TEXT NOT NULL
)""",
    "CREATE INDEX audit_by_person ON audit (person_id)",
    """CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only ever added to'); END""",
    """CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only ever added to'); END""",
)
# Faces that are not of the person, of whom somebody said so; and ids that were merged into a person's.
SINCE_4 = (
    """CREATE TABLE negatives (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    chip BLOB,
    landmarks BLOB NOT NULL,
    quality REAL NOT NULL,
    source TEXT NOT NULL,
    created_at REAL NOT NULL,
    UNIQUE (person_id, source)
)""",
    """CREATE TABLE negative_templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    negative_id INTEGER NOT NULL REFERENCES negatives (id) ON DELETE CASCADE,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    space TEXT NOT NULL,
    dim INTEGER NOT NULL,
    embedding BLOB NOT NULL,
    signature TEXT NOT NULL,
    created_at REAL NOT NULL
)""",
    "CREATE INDEX negative_templates_by_space ON negative_templates (space, id)",
    "CREATE INDEX negative_templates_by_negative ON negative_templates (negative_id, space)",
    "CREATE INDEX negative_templates_by_person ON negative_templates (person_id)",
    """CREATE TABLE merged (
    id TEXT PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    at REAL NOT NULL
) WITHOUT ROWID""",
    "CREATE INDEX merged_by_person ON merged (person_id)",
)

# What we never bring about: of numbers that are drawn, and of people who are there, rows say otherwise.
_UNREADABLE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
}
# The tables, the file's head or a text that is no UTF-8: SQLite and Python have no code of their own for these.
_UNREADABLE_WORDS = (
    "no such table",
    "no such column",
    "has no column named",
    "unsupported file format",
    "Could not decode to UTF-8",
)
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
    except UnicodeDecodeError:  # in SQLite's own complaint, which quotes a table's damaged words
        raise _unreadable(path, "its tables are not what they were") from None
    except sqlite3.Error as error:
        coded = _coded(error, path)
        if coded is None:
            raise
        raise coded from None


def _coded(error: sqlite3.Error, path: Path) -> GalleryError | None:
    extended = getattr(error, "sqlite_errorcode", 0)
    primary = extended & 0xFF
    if {primary, extended} & _UNREADABLE or extended == sqlite3.SQLITE_IOERR_SHORT_READ:
        return _unreadable(path, str(error))
    for words in _UNREADABLE_WORDS:
        if words in str(error):
            return _unreadable(path, words)  # the rest may quote somebody's name
    if primary in _UNWRITABLE:
        return GalleryUnwritable(f"gallery {path} can't be written: {_UNWRITABLE[primary]}")
    return None


def _unreadable(path: Path, why: str) -> GalleryUnreadable:
    return GalleryUnreadable(f"gallery {path} is damaged or no gallery ({why}); restore it from a backup")


def seal_broken(path: Path, broken: SealBroken) -> GallerySealBroken:
    """What doesn't open, in words for a user."""
    return GallerySealBroken(
        f"gallery {path}: the {broken} doesn't open, its bytes were changed; restore a backup (whosthere gallery "
        "restore FILE), or forget the person by this id and enrol anew"
    )


def left_out(path: Path, unreadable: Mapping[str, str]) -> GallerySealBroken:
    """Who does not open, by id with what that is, in words for a user; the others are served."""
    told = "; ".join(f"{who}: {what}" for who, what in islice(sorted(unreadable.items()), _MOST_TOLD))
    more = f" and {len(unreadable) - _MOST_TOLD} more" if len(unreadable) > _MOST_TOLD else ""
    return GallerySealBroken(
        f"gallery {path}: {len(unreadable)} people are left out: of them something doesn't open, its bytes were "
        f"changed ({told}{more}); restore a backup (whosthere gallery restore FILE), or forget each "
        "by this id and enrol anew"
    )


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


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """All that the body reads is of one moment, whoever writes meanwhile."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def version_of(db: sqlite3.Connection, path: Path) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise GalleryTooNew(
            f"gallery {path} has schema {version}, but this whosthere knows only {SCHEMA_VERSION}; update whosthere"
        )
    return int(version)


def check_file(db: sqlite3.Connection, path: Path, *, logged: bool) -> None:
    version = version_of(db, path)
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    if application_id != _APPLICATION_ID or version < 1:
        raise GalleryUnreadable(f"gallery {path} is some other SQLite file; check paths.data")
    # SQLite sees by itself where pages are missing, but not where the last one is there in part. A crash may
    # leave it so, and then the log has it whole.
    (page_size,) = db.execute("PRAGMA page_size").fetchone()
    if path.stat().st_size % page_size and not logged:
        raise GalleryUnreadable(f"gallery {path} was cut short; restore it from a backup")


def make_schema(db: sqlite3.Connection, key_id: str | None = None) -> None:
    """An empty gallery in an empty database, under the master key of this id (None: plain)."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    with transaction(db):
        for statement in (*TABLES_OF_3, *SINCE_4):
            db.execute(statement)
        set_meta(db, KEY_ID, key_id)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
