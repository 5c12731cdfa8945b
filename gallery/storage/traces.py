"""Where in the gallery's tables ids of people stand. Blocks."""

import json
import sqlite3
from collections.abc import Collection

# What is kept of the forgotten: that they were, and who did what when.
KEPT = ("forgotten", "audit")


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
