"""Who was forgotten, by id, and of whom that is not done everywhere yet. Blocks; within the caller's transaction."""

import sqlite3
from collections.abc import Iterable


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
