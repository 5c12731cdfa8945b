"""Whether somebody may be written: there, or not there yet, and with a name and ids that are nobody else's.

Blocks; within PersonStore's transaction.
"""

import sqlite3
from typing import Any

from gallery.errors import ExternalIdTaken, NameTaken, PersonForgotten, PersonIdTaken, PersonNotFound
from gallery.keys.vault import Vault
from gallery.people import Profile
from gallery.storage.profiles import COLUMNS, OpenedProfiles


def must_exist(db: sqlite3.Connection, person_id: str, columns: str = "id") -> tuple[Any, ...]:
    """These columns of a person's row. Raises PersonNotFound."""
    row: tuple[Any, ...] | None = db.execute(f"SELECT {columns} FROM people WHERE id = ?", (person_id,)).fetchone()
    if row is None:
        raise PersonNotFound(f"nobody with the id {person_id} is enrolled; see whosthere people list")
    return row


def must_be_new(db: sqlite3.Connection, person_id: str) -> None:
    """Raises PersonForgotten and PersonIdTaken."""
    if db.execute("SELECT 1 FROM forgotten WHERE id = ?", (person_id,)).fetchone():
        raise PersonForgotten(f"{person_id} was forgotten here and stays so; enrol the person anew, under another id")
    if db.execute("SELECT 1 FROM people WHERE id = ?", (person_id,)).fetchone():
        raise PersonIdTaken(f"{person_id} is enrolled already; see whosthere people show {person_id}")


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
