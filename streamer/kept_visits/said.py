"""What people say of kept visits afterwards: whose they are, and which are not to be reviewed.

Rows and messages in, rows and messages out. Blocks; in the caller's transaction.
"""

import sqlite3
from collections.abc import Collection, Iterator

import orjson

from streamer.events.event import IdentityEvent, Person
from streamer.kept_visits.visit import Said, Unnamed

_THESE = "event_id IN (SELECT value FROM json_each(?))"
_SAY = (
    "INSERT INTO said SELECT event_id, {named}, {person}, {ignored}, :at FROM visits"
    " WHERE event_id IN (SELECT value FROM json_each(:ids)){open}"
    " ON CONFLICT (event_id) DO UPDATE SET {set}, is_ignored = excluded.is_ignored, said_at = excluded.said_at"
)
_NAME = _SAY.format(named=1, person=":person", ignored=0, open="", set="is_named = 1, person_id = excluded.person_id")
# Whose it was said to be stays said.
_IGNORE = _SAY.format(named=0, person="NULL", ignored=1, open=" AND NOT is_known", set="is_named = is_named")


def name(db: sqlite3.Connection, event_ids: Collection[str], person_id: str | None, at: float) -> None:
    """They are this person's; None: nobody's who is enrolled. Whoever is forgotten takes them along."""
    ids = _json(event_ids)
    db.execute(_NAME, {"person": person_id, "at": at, "ids": ids})
    db.execute(f"UPDATE visits SET is_known = ? WHERE {_THESE}", (person_id is not None, ids))
    if person_id is not None:
        db.execute(
            f"INSERT OR IGNORE INTO visit_people SELECT ?, event_id FROM visits WHERE {_THESE}", (person_id, ids)
        )


def ignore(db: sqlite3.Connection, event_ids: Collection[str], at: float) -> None:
    """Those that are nobody's are not to be reviewed."""
    db.execute(_IGNORE, {"at": at, "ids": _json(event_ids)})


def unignore(db: sqlite3.Connection, event_ids: Collection[str]) -> None:
    """They are to be reviewed again; whose they were said to be stays said."""
    ids = _json(event_ids)
    db.execute(f"DELETE FROM said WHERE is_ignored AND NOT is_named AND {_THESE}", (ids,))
    db.execute(f"UPDATE said SET is_ignored = 0 WHERE is_ignored AND {_THESE}", (ids,))


def read_said(db: sqlite3.Connection, event_id: str) -> Said | None:
    row = db.execute(
        "SELECT said_at, is_named, person_id, is_ignored FROM said WHERE event_id = ?", (event_id,)
    ).fetchone()
    return None if row is None else Said(row[0], bool(row[1]), row[2], bool(row[3]))


def whose(db: sqlite3.Connection, event_ids: Collection[str]) -> dict[str, tuple[bool, Said | None]]:
    """Of those that are kept: whether they are somebody's, and what was said of them."""
    rows = db.execute(
        "SELECT event_id, is_known, said_at, is_named, person_id, is_ignored FROM visits LEFT JOIN said"
        f" USING (event_id) WHERE {_THESE}",
        (_json(event_ids),),
    )
    return {
        event_id: (bool(is_known), None if at is None else Said(at, bool(is_named), person_id, bool(is_ignored)))
        for event_id, is_known, at, is_named, person_id, is_ignored in rows
    }


def unnamed(db: sqlite3.Connection) -> list[Unnamed]:
    """All that are nobody's, the earliest first."""
    rows = db.execute(
        "SELECT event_id, camera, began_at, seen_at, coalesce(is_ignored, 0), iif(ended_at IS NULL, (SELECT"
        " total(quality) FROM faces WHERE faces.event_id = visits.event_id), -1.0) FROM visits LEFT JOIN said"
        " USING (event_id) WHERE NOT is_known ORDER BY began_at, event_id"
    )
    return [
        Unnamed(event_id, camera, began, seen, bool(ignored), faces)
        for event_id, camera, began, seen, ignored, faces in rows
    ]


def by_camera(db: sqlite3.Connection, event_ids: Collection[str]) -> dict[str, list[str]]:
    """Those of them that are kept, by the camera that saw them."""
    found: dict[str, list[str]] = {}
    for camera, event_id in db.execute(
        f"SELECT camera, event_id FROM visits WHERE {_THESE} ORDER BY camera, event_id", (_json(event_ids),)
    ):
        found.setdefault(camera, []).append(event_id)
    return found


def best_quality(db: sqlite3.Connection, event_ids: Collection[str]) -> Iterator[tuple[str, float]]:
    """How good the best face is of each that has one."""
    yield from db.execute(
        f"SELECT event_id, max(quality) FROM faces WHERE {_THESE} GROUP BY event_id", (_json(event_ids),)
    )


def as_said(event: IdentityEvent, person_id: str | None) -> IdentityEvent:
    """A message with the person whom somebody named afterwards, who was measured by nothing."""
    if person_id == (None if event.person is None else event.person.id) and not event.candidates:
        return event.model_copy(update={"previous_person": None})
    return event.model_copy(
        update={
            "person": None if person_id is None else Person(id=person_id),
            "previous_person": None,
            "candidates": (),
            "decision": "unknown" if person_id is None else "known",
            "similarity": None,
            "confidence": None,
            "margin": None,
        }
    )


def _json(event_ids: Collection[str]) -> str:
    return orjson.dumps(list(event_ids)).decode()
