"""Whether somebody may be written: there, or not there yet, and with a name and ids that are nobody else's; and who was
forgotten, of whom that is not done everywhere yet, and where an id still stands.

Blocks; within the caller's transaction.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable
from typing import Any

from gallery.errors import ExternalIdTaken, NameTaken, PersonForgotten, PersonIdTaken, PersonNotFound
from gallery.keys.vault import Vault
from gallery.people import Profile
from gallery.storage.profiles import COLUMNS, OpenedProfiles

# What is kept of the forgotten: that they were, and who did what when.
KEPT = ("forgotten", "audit")


def must_exist(db: sqlite3.Connection, person_id: str, columns: str = "id") -> tuple[Any, ...]:
    """These columns of a person's row. Raises PersonNotFound."""
    row: tuple[Any, ...] | None = db.execute(f"SELECT {columns} FROM people WHERE id = ?", (person_id,)).fetchone()
    if row is None:
        raise PersonNotFound(f"nobody with the id {person_id} is enrolled{_where(db, person_id)}")
    return row


def _where(db: sqlite3.Connection, person_id: str) -> str:
    into = merged_into(db, person_id)
    return "; see whosthere people list" if into is None else f" any more: it was merged into {into}"


def merged_into(db: sqlite3.Connection, person_id: str) -> str | None:
    """Whose id this one has become; None where nobody was merged who had it."""
    row = db.execute("SELECT person_id FROM merged WHERE id = ?", (person_id,)).fetchone()
    return None if row is None else str(row[0])


def merge_ids(db: sqlite3.Connection, person_id: str, into_id: str, at: float) -> None:
    """One id, and those that were merged into it, stand for another from now on."""
    db.execute("UPDATE merged SET person_id = ? WHERE person_id = ?", (into_id, person_id))
    db.execute("INSERT INTO merged VALUES (?, ?, ?)", (person_id, into_id, at))


def former_ids(db: sqlite3.Connection, person_id: str) -> list[str]:
    """The ids that were merged into this one."""
    return [row[0] for row in db.execute("SELECT id FROM merged WHERE person_id = ? ORDER BY id", (person_id,))]


def must_be_new(db: sqlite3.Connection, person_id: str) -> None:
    """Raises PersonForgotten and PersonIdTaken."""
    if db.execute("SELECT 1 FROM forgotten WHERE id = ?", (person_id,)).fetchone():
        raise PersonForgotten(f"{person_id} was forgotten here and stays so; enrol the person anew, under another id")
    if db.execute("SELECT 1 FROM people WHERE id = ?", (person_id,)).fetchone():
        raise PersonIdTaken(f"{person_id} is enrolled already; see whosthere people show {person_id}")
    if (into := merged_into(db, person_id)) is not None:
        raise PersonIdTaken(f"{person_id} was merged into {into} here; see whosthere people show {into}")


def must_be_free(
    db: sqlite3.Connection, vault: Vault, opened: OpenedProfiles, profile: Profile, person_id: str = ""
) -> None:
    """Raises NameTaken where somebody but this person has the name, or one as good as it, and ExternalIdTaken."""
    same = f"SELECT {COLUMNS} FROM people WHERE id != ? AND"
    rows = db.execute(f"{same} name_tag = ?", (person_id, vault.name_tag(profile.name))).fetchall()
    for taken_by, taken in opened.of(rows, vault).items():
        raise NameTaken(
            f"{taken.name!r} is enrolled already ({taken_by}): give a name that differs from it by more than capitals "
            "and blanks; photos are added to that person by exactly this name"
        )
    if profile.external_id is not None:
        tag = vault.external_tag(profile.external_id)
        rows = db.execute(f"{same} external_tag = ?", (person_id, tag)).fetchall()
        for taken_by, taken in opened.of(rows, vault).items():
            raise ExternalIdTaken(
                f"the external id {profile.external_id!r} is that of {taken.name} ({taken_by}) already; give another"
            )


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
