"""What the gallery's file says of itself: the id of its key, what is still to be tidied, the end of its audit log."""

import sqlite3

KEY_ID = "key_id"  # absent: the gallery is plain


def get_meta(db: sqlite3.Connection, key: str) -> str | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def set_meta(db: sqlite3.Connection, key: str, value: str | None) -> None:
    """`value` None: it is taken away."""
    if value is None:
        db.execute("DELETE FROM meta WHERE key = ?", (key,))
    else:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
