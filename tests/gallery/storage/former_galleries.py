"""Galleries as whosthere of before wrote them, statement by statement."""

import sqlite3
from pathlib import Path

from gallery.storage.rows import jpeg
from tests.gallery.fakes import SPACE, photo_of, unit

VERSION_1 = """
PRAGMA journal_mode = WAL; PRAGMA application_id = 2003332980; PRAGMA user_version = 1;
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
    UNIQUE (photo_id, space)
);
CREATE INDEX templates_by_space ON templates (space, id);
CREATE INDEX templates_by_person ON templates (person_id, space);
"""
# What led from 1 to 2, and what version 2 made by itself: the column stands before the UNIQUE.
TO_2 = "ALTER TABLE templates ADD COLUMN signature TEXT NOT NULL DEFAULT ''; PRAGMA user_version = 2;"
VERSION_2 = VERSION_1.replace("user_version = 1", "user_version = 2").replace(
    "    quality REAL NOT NULL,\n    UNIQUE (photo_id, space)",
    "    quality REAL NOT NULL,\n    signature TEXT NOT NULL DEFAULT '',\n    UNIQUE (photo_id, space)",
)
VERSION_3 = """
PRAGMA journal_mode = WAL; PRAGMA application_id = 2003332980; PRAGMA user_version = 3;
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE people (
    id TEXT PRIMARY KEY,
    created_at REAL NOT NULL,
    name_tag BLOB NOT NULL,
    external_tag BLOB UNIQUE,
    profile_key BLOB,
    template_key BLOB,
    profile BLOB NOT NULL
);
CREATE INDEX people_by_name ON people (name_tag);
CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    chip BLOB,
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
    dim INTEGER NOT NULL,
    embedding BLOB NOT NULL,
    quality REAL NOT NULL,
    signature TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at REAL NOT NULL,
    UNIQUE (photo_id, space)
);
CREATE INDEX templates_by_space ON templates (space, id);
CREATE INDEX templates_by_person ON templates (person_id, space);
CREATE TABLE forgotten (id TEXT PRIMARY KEY, unfinished INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    person_id TEXT,
    details TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX audit_by_person ON audit (person_id);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only ever added to'); END;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only ever added to'); END;
"""
RELEASED: dict[int | str, str] = {1: VERSION_1, 2: VERSION_2, "2, of 1 before": VERSION_1 + TO_2, 3: VERSION_3}
# A plain gallery of version 3; names as that has them: JSON, with a byte before it that says that it is not sealed.
_PROFILE_3 = '{"name":"%s","external_id":null,"tags":[],"threshold":null,"consent":null}'


def name_of(seed: int) -> str:
    return f"person {seed} of Ada Lovelace's"


def gallery_of_version(version: int | str, path: Path, people: int = 3) -> Path:
    """Each person has one photo, and a template of it; somebody more was there and has been forgotten."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(RELEASED[version])
    for seed in range(people + 1):
        person_id = f"p{seed:012}"
        if version == 3:
            _insert_as_3(db, person_id, seed)
            continue
        db.execute("INSERT INTO people VALUES (?, ?, 1.0)", (person_id, name_of(seed)))
        db.execute(
            "INSERT INTO photos (person_id, chip, landmarks, quality, digest, added_at) VALUES (?, ?, ?, 0.9, ?, 2.0)",
            (person_id, chip_of(seed), photo_of(unit(seed), seed).landmarks.tobytes(), f"digest {seed}"),
        )
        db.execute(
            "INSERT INTO templates (photo_id, person_id, space, embedding, quality) VALUES (?, ?, ?, ?, 0.8)",
            (seed + 1, person_id, SPACE, unit(seed).tobytes()),
        )
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("DELETE FROM people WHERE id = ?", (f"p{people:012}",))
    db.close()
    return path


def insert_person_as_3(db: sqlite3.Connection, person_id: str, name: str) -> None:
    tag = "".join(name.lower().split()).encode()
    row = (person_id, tag, b"\0" + (_PROFILE_3 % name).encode())
    db.execute("INSERT INTO people VALUES (?, 1.0, ?, NULL, NULL, NULL, ?)", row)


def _insert_as_3(db: sqlite3.Connection, person_id: str, seed: int) -> None:
    insert_person_as_3(db, person_id, name_of(seed))
    landmarks = b"\0" + photo_of(unit(seed), seed).landmarks.tobytes()
    db.execute(
        "INSERT INTO photos (person_id, chip, landmarks, quality, digest, added_at) VALUES (?, ?, ?, 0.9, ?, 2.0)",
        (person_id, b"\0" + chip_of(seed), landmarks, f"digest {seed}"),
    )
    db.execute(
        "INSERT INTO templates (photo_id, person_id, space, dim, embedding, quality, signature, source, created_at) "
        "VALUES (?, ?, ?, 64, ?, 0.8, '', '', 2.0)",
        (seed + 1, person_id, SPACE, b"\0" + unit(seed).tobytes()),
    )


def chip_of(seed: int) -> bytes:
    chip = photo_of(unit(seed), seed).chip
    assert chip is not None
    return jpeg(chip)


def shape_of(path: Path) -> tuple[int, list[tuple[object, ...]]]:
    """Version and columns of a gallery, read by SQLite alone."""
    db = sqlite3.connect(path)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return version, [(table, *row) for table in tables for row in db.execute(f"PRAGMA table_info({table})")]
    finally:
        db.close()


def all_bytes(folder: Path) -> bytes:
    """Of every file in it."""
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
