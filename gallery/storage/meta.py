"""What the gallery's file says of itself: the id of its key, what is still to be tidied, the end of its audit log, and
the calibrations of its spaces, each with a tag of the vault: thresholds are nobody's to change who has no key.
"""

import sqlite3
from collections.abc import Mapping

from gallery.keys.vault import Vault

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


_CALIBRATION = "calibration:"


def get_calibrations(db: sqlite3.Connection, vault: Vault) -> dict[str, str | None]:
    """By space, as they were kept; None: the bytes were changed."""
    found: dict[str, str | None] = {}
    for key, value in db.execute("SELECT key, value FROM meta WHERE key GLOB ?", (f"{_CALIBRATION}*",)):
        tag, _, text = str(value).partition(" ")
        space = str(key).removeprefix(_CALIBRATION)
        found[space] = text if tag == _tag(vault, space, text) else None
    return found


def set_calibrations(db: sqlite3.Connection, vault: Vault, calibrations: Mapping[str, str | None]) -> None:
    """In a transaction. Of a space that is None: none any more."""
    for space, text in calibrations.items():
        told = None if text is None else f"{_tag(vault, space, text)} {text}"
        set_meta(db, _CALIBRATION + space, told)


def replace_calibrations(db: sqlite3.Connection, other: sqlite3.Connection) -> frozenset[str]:
    """Those of another gallery, which is sealed alike, in the place of all: the spaces that have none any more. In a
    transaction.
    """
    former = db.execute("SELECT key FROM meta WHERE key GLOB ?", (f"{_CALIBRATION}*",)).fetchall()
    db.execute("DELETE FROM meta WHERE key GLOB ?", (f"{_CALIBRATION}*",))
    rows = other.execute("SELECT key, value FROM meta WHERE key GLOB ?", (f"{_CALIBRATION}*",)).fetchall()
    db.executemany("INSERT INTO meta VALUES (?, ?)", rows)
    gone = {str(key) for (key,) in former} - {str(key) for key, _ in rows}
    return frozenset(key.removeprefix(_CALIBRATION) for key in gone)


def reseal_calibrations(db: sqlite3.Connection, former: Vault, vault: Vault) -> None:
    """In a transaction. One that was changed stays so, and can be told."""
    whole = {space: text for space, text in get_calibrations(db, former).items() if text is not None}
    set_calibrations(db, vault, whole)


def _tag(vault: Vault, space: str, text: str) -> str:
    tag = vault.audit_tag(f"calibration of {space}: {text}")
    return "plain" if tag is None else tag.hex()
