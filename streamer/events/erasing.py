"""People taken out of the outbox's file, and out of what was set aside of damaged ones.

Everything blocks; on the outbox's writer thread, or in a command while no service runs.
"""

import sqlite3
from collections.abc import Collection
from pathlib import Path

import orjson

from streamer.byte_search import blot
from streamer.events.damage import open_visits, pending
from streamer.events.forgotten import event_as_unknown, left_of
from streamer.events.stored_text import text_of

_THEIRS = "(SELECT value FROM json_each(?1))"
_NAMES = (
    f"json_extract(event, '$.person.id') IN {_THEIRS} OR json_extract(event, '$.previous_person.id') IN {_THEIRS} OR "
    f"EXISTS (SELECT 1 FROM json_each(event, '$.candidates') WHERE json_extract(value, '$.id') IN {_THEIRS})"
)


def erase_people(db: sqlite3.Connection, person_ids: Collection[str], in_flight: Collection[int]) -> int:
    """Take these people out of messages that wait, open visits and last sightings, in the caller's transaction.

    Returns how many messages are gone; the others of them are of somebody unknown. Raises sqlite3.DatabaseError and
    ValidationError.
    """
    theirs = orjson.dumps(sorted(person_ids)).decode()
    db.execute(f"DELETE FROM last_seen WHERE person_id IN {_THEIRS}", (theirs,))
    for visit in list(open_visits(db)):
        if (event := event_as_unknown(visit.event, person_ids)) is not visit.event:
            text = text_of(event, captured_s=visit.captured_s, seen_s=visit.seen_s)
            db.execute("UPDATE open_visits SET event = ? WHERE event_id = ?", (text, event.event_id))
    visits = f"WHERE event_id IN (SELECT event_id FROM pending WHERE {_NAMES}) ORDER BY row"
    found = list(pending(db, visits, (theirs,)))
    left = {message.row: message for message in left_of(found, person_ids, lambda one: one.row in in_flight)}
    for before in found:
        now = left.get(before.row)
        if now is None:
            db.execute("DELETE FROM pending WHERE row = ?", (before.row,))
        elif now is not before:
            text = text_of(now.event, captured_s=now.captured_s)
            levels = orjson.dumps(now.levels).decode()
            db.execute("UPDATE pending SET levels = ?, event = ? WHERE row = ?", (levels, text, now.row))
    return len(found) - len(left)


def set_aside_files(path: Path) -> list[Path]:
    """What lies beside an outbox of damaged ones that were set aside, or was copied of it and left by a crash."""
    copies = path.parent.glob(f"{path.name}.read-*/*")
    return sorted(file for file in (*path.parent.glob(f"{path.name}.damaged-*"), *copies) if file.is_file())


def blot_set_aside(path: Path, person_ids: Collection[str]) -> int:
    """Write over these people's ids where they stand in such files: how many files held one. Raises OSError.

    What SQLite would still read of a log ends before the first that is changed.
    """
    return sum(blot(file, person_ids) > 0 for file in set_aside_files(path))
