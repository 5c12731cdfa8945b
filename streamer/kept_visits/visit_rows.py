"""A visit as rows of its file, what shows somebody sealed in them. Blocks; in the caller's transaction."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from gallery.keys.encryption import Cipher, SealBroken
from streamer.events.event import NAMES, IdentityEvent
from streamer.events.hand_over import moved
from streamer.kept_visits.said import as_said, read_said
from streamer.kept_visits.visit import KeptVisit, Pictures, VisitChange, VisitFace, people_of

VISIT = "event_id, camera, is_known, began_at, seen_at, ended_at, set_s"
_F32 = np.dtype("<f4")
_STEP = 64
# What somebody said counts, whatever is told later.
_UPDATE = (
    "UPDATE visits SET is_known = coalesce((SELECT person_id IS NOT NULL FROM said"
    " WHERE said.event_id = visits.event_id AND is_named), ?), seen_at = ?, ended_at = ? WHERE event_id = ?"
)
# What holds sealed bytes, and what tells its rows of one visit apart.
_SEALED = {"messages": "seq", "faces": "number", "pictures": "kind"}


def write_visit(db: sqlite3.Connection, cipher: Cipher, change: VisitChange, boot: str) -> bool:
    """False where it is gone."""
    values = (change.is_known, change.seen_at, change.ended_at, change.event_id)
    if not db.execute(_UPDATE, values).rowcount:  # a first change may be of one that is there: the file was opened anew
        if not change.is_first:
            return False
        db.execute(
            "INSERT INTO visits (is_known, seen_at, ended_at, event_id, camera, began_at, began_s, boot)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, change.camera, change.began_at, change.began_s, boot),
        )
    people = [(person_id, change.event_id) for person_id in change.people]
    db.executemany("INSERT OR IGNORE INTO visit_people VALUES (?, ?)", people)
    write_messages(db, cipher, change.event_id, change.messages)
    if change.faces is not None:
        _write_faces(db, cipher, change.event_id, change.faces)
    for kind, jpeg in change.pictures.items():
        sealed = cipher.seal(jpeg, _place("pictures", change.event_id, kind))
        db.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", (change.event_id, kind, sealed))
    return True


def write_messages(db: sqlite3.Connection, cipher: Cipher, event_id: str, messages: Sequence[IdentityEvent]) -> None:
    """Without names. Their times lie there as if the clock had not been set since the visit was first written."""
    (set_s,) = db.execute("SELECT set_s FROM visits WHERE event_id = ?", (event_id,)).fetchone()
    for event in messages:
        text = moved(event, -set_s).model_dump_json(by_alias=True, exclude=dict(NAMES))
        sealed = cipher.seal(text.encode(), _place("messages", event_id, event.seq))
        db.execute("INSERT OR REPLACE INTO messages VALUES (?, ?, ?)", (event_id, event.seq, sealed))


def _write_faces(db: sqlite3.Connection, cipher: Cipher, event_id: str, faces: Sequence[VisitFace]) -> None:
    db.execute("DELETE FROM faces WHERE event_id = ?", (event_id,))
    for number, face in enumerate(faces):
        sealed = cipher.seal(face.embedding.astype(_F32).tobytes(), _place("faces", event_id, number))
        values = (event_id, number, face.space, face.signature, face.quality, sealed)
        db.execute("INSERT INTO faces VALUES (?, ?, ?, ?, ?, ?)", values)


def read_visit(db: sqlite3.Connection, cipher: Cipher, row: tuple[Any, ...]) -> KeptVisit:
    """Of a row of VISIT."""
    event_id, camera, is_known, began_at, seen_at, ended_at, set_s = row
    messages, broken = [], 0
    for text in _opened(db, cipher, "messages", event_id).values():
        try:
            messages.append(moved(IdentityEvent.model_validate_json(text or b""), set_s))
        except ValidationError:
            broken += 1
    people, said = people_of(messages), read_said(db, event_id)
    if said is not None and said.is_named:
        messages = [as_said(event, said.person_id) for event in messages]
    messages_now = tuple(messages)
    return KeptVisit(event_id, camera, bool(is_known), began_at, seen_at, ended_at, people, messages_now, broken, said)


def read_pictures(db: sqlite3.Connection, cipher: Cipher, event_id: str) -> Pictures | None:
    found = _opened(db, cipher, "pictures", event_id)
    face, scene = found.get("face"), found.get("scene")
    return None if face is None or scene is None else Pictures(face, scene)


def read_faces(db: sqlite3.Connection, cipher: Cipher, event_id: str) -> tuple[VisitFace, ...]:
    packed = _opened(db, cipher, "faces", event_id)
    rows = db.execute(
        "SELECT number, quality, space, signature FROM faces WHERE event_id = ? ORDER BY number", (event_id,)
    )
    return tuple(
        VisitFace(np.frombuffer(embedding, _F32).astype(np.float32), quality, space, signature)
        for number, quality, space, signature in rows.fetchall()
        if (embedding := packed.get(number)) is not None
    )


def read_faces_of(db: sqlite3.Connection, cipher: Cipher, event_ids: Sequence[str]) -> dict[str, list[VisitFace]]:
    """The same of many visits, by one question."""
    rows = db.execute(
        "SELECT event_id, number, quality, space, signature, sealed FROM faces"
        " WHERE event_id IN (SELECT value FROM json_each(?)) ORDER BY event_id, number",
        (orjson.dumps(event_ids).decode(),),
    )
    found: dict[str, list[VisitFace]] = {}
    for event_id, number, quality, space, signature, sealed in rows:
        try:
            embedding = cipher.open(sealed, _place("faces", event_id, number))
        except SealBroken:
            continue
        face = VisitFace(np.frombuffer(embedding, _F32).astype(np.float32), quality, space, signature)
        found.setdefault(event_id, []).append(face)
    return found


def seal_anew(db: sqlite3.Connection, before: Cipher, now: Cipher) -> None:
    """Everything, by the other cipher; what can't be opened never will be, and goes."""
    for table, which in _SEALED.items():
        last = 0
        while rows := db.execute(
            f"SELECT rowid, event_id, {which}, sealed FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {_STEP}",
            (last,),
        ).fetchall():
            last = rows[-1][0]
            for rowid, event_id, key, sealed in rows:
                place = _place(table, event_id, key)
                try:
                    anew = now.seal(before.open(sealed, place), place)
                except SealBroken:
                    db.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))
                else:
                    db.execute(f"UPDATE {table} SET sealed = ? WHERE rowid = ?", (anew, rowid))


def _opened(db: sqlite3.Connection, cipher: Cipher, table: str, event_id: str) -> dict[Any, bytes | None]:
    """A visit's sealed bytes of one table; None where they can't be opened any more."""
    which = _SEALED[table]
    rows = db.execute(f"SELECT {which}, sealed FROM {table} WHERE event_id = ? ORDER BY {which}", (event_id,))
    found: dict[Any, bytes | None] = {}
    for key, sealed in rows.fetchall():
        try:
            found[key] = cipher.open(sealed, _place(table, event_id, key))
        except SealBroken:
            found[key] = None
    return found


def _place(table: str, event_id: str, key: int | str) -> str:
    return f"{table} {event_id} {key}"
