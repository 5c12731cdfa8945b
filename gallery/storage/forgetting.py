"""Who was forgotten, by id, of whom that is not done everywhere yet, and where an id still stands. Blocks.

What writes does so within the caller's transaction.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable

# What is kept of the forgotten: that they were, and who did what when.
KEPT = ("forgotten", "audit")


def write_down(db: sqlite3.Connection, person_ids: Iterable[str]) -> None:
    """They are being forgotten, some perhaps once more: unfinished until finish()."""
    db.executemany(
        "INSERT INTO forgotten VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET unfinished = 1",
        ((one,) for one in person_ids),
    )


def learn(db: sqlite3.Connection, person_ids: Iterable[str]) -> None:
    """They were forgotten elsewhere; of whom that is new, something may be left here."""
    db.executemany("INSERT OR IGNORE INTO forgotten VALUES (?, 1)", ((one,) for one in person_ids))


def finish(db: sqlite3.Connection, person_ids: Iterable[str]) -> None:
    """Nothing is left of them that we know of."""
    db.executemany("UPDATE forgotten SET unfinished = 0 WHERE id = ?", ((one,) for one in person_ids))


def tables_with(db: sqlite3.Connection, person_ids: Collection[str]) -> list[str]:
    """The tables, whatever they are for, with one of these ids in a column, but for those that keep them."""
    theirs = json.dumps(sorted(person_ids))
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return [table for table in tables if table not in KEPT and _is_in(db, table, theirs)]


def _is_in(db: sqlite3.Connection, table: str, theirs: str) -> bool:
    columns = [row[1] for row in db.execute(f'PRAGMA table_info("{table}")') if row[2] in ("TEXT", "")]
    return any(
        db.execute(
            f'SELECT 1 FROM "{table}" WHERE "{column}" IN (SELECT value FROM json_each(?)) LIMIT 1', (theirs,)
        ).fetchone()
        for column in columns
    )
