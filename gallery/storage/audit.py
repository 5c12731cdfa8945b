"""The audit log: who did what to whom, when; rows that nobody changes, each with a hash over itself and the one before.

Blocks; appending is done by PersonStore within its transaction, so that nothing is done untold and nothing told undone.
No name stands here: whoever is forgotten leaves an id that nothing else bears.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gallery.keys.encryption import SealBroken
from gallery.keys.vault import Vault
from gallery.storage.meta import get_meta, set_meta
from gallery.storage.rows import moment

HEAD = "audit_head"
_SEAL = "audit_seal"
_BEGINNING = "0" * 64
_COLUMNS = "id, at, actor, action, person_id, details"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`at`: Unix time in s; `actor`: a token's name or a system's user; `details`: figures and words, no names."""

    id: int
    at: float
    actor: str
    action: str
    person_id: str | None
    details: Mapping[str, Any]


def append(
    db: sqlite3.Connection, actor: str, action: str, person_id: str | None = None, details: Mapping[str, Any] = {}
) -> None:
    """Write what is being done, within the transaction that does it."""
    text = json.dumps(details, sort_keys=True, ensure_ascii=False)
    (row_id,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM audit").fetchone()
    row = (row_id, time.time(), actor, action, person_id, text)
    head = _hash(get_meta(db, HEAD) or _BEGINNING, row)
    db.execute(f"INSERT INTO audit ({_COLUMNS}, hash) VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, head))
    set_meta(db, HEAD, head)


def entries(
    db: sqlite3.Connection, person_id: str | None = None, after: int = 0, limit: int | None = None
) -> list[AuditEntry]:
    """The oldest first, all or those about one person; `limit` of those whose numbers come after `after`."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE id > ?1 AND (?2 IS NULL OR person_id = ?2) ORDER BY id LIMIT ?3",
        (after, person_id, -1 if limit is None else limit),
    )
    return [
        AuditEntry(number, _moment(at), str(actor), str(action), about, _details(text))
        for number, at, actor, action, about, text in rows
    ]


def newest_at(db: sqlite3.Connection) -> float | None:
    """When the newest entry was written, Unix time in s; None where there is none."""
    row = db.execute("SELECT at FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return None if row is None else float(row[0])


def seal(db: sqlite3.Connection, vault: Vault) -> None:
    """Say how long the log is and how it ends under the key of the vault; of a plain one nothing. In a transaction."""
    told = _sealed(db, vault)
    if told != get_meta(db, _SEAL):
        set_meta(db, _SEAL, told)


def is_sealed(db: sqlite3.Connection, vault: Vault) -> bool:
    """Whether the log is as long and ends as was said last; True in a plain gallery, which can't tell."""
    told = _sealed(db, vault)
    return told is None or told == get_meta(db, _SEAL)


def _sealed(db: sqlite3.Connection, vault: Vault) -> str | None:
    (count,) = db.execute("SELECT coalesce(max(id), 0) FROM audit").fetchone()
    tag = vault.audit_tag(f"{count} {get_meta(db, HEAD)}")
    return None if tag is None else tag.hex()


def first_broken(db: sqlite3.Connection, vault: Vault) -> int | None:
    """The number of the first entry that was changed, or after which one is missing; None where the log is whole.

    One more than the last entry where the end was cut off, or was once (then which one is not known). An empty log was
    emptied: the first entry is the gallery's own making.
    """
    head, number = _BEGINNING, 0
    for number, (*row, kept) in enumerate(db.execute(f"SELECT {_COLUMNS}, hash FROM audit ORDER BY id"), start=1):
        head = _hash(head, tuple(row))
        if head != kept or row[0] != number:
            return number
    return None if number and head == get_meta(db, HEAD) and is_sealed(db, vault) else number + 1


def _moment(at: object) -> float:
    """0 where a damaged row has no time; first_broken() says which."""
    try:
        return moment(at, "")
    except SealBroken:
        return 0.0


def _details(text: object) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"damaged": True}  # first_broken() says which


def _hash(before: str, row: tuple[Any, ...]) -> str:
    text = json.dumps([before, *row], ensure_ascii=False, default=repr)  # repr: a damaged row may hold bytes
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
