"""Everybody in the gallery gives way to those of another one's database, in the caller's transaction. Blocks."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gallery.storage.forgetting import learn

_AT_ONCE = 1000
_PEOPLE = "id, created_at, name_tag, external_tag, profile_key, template_key, profile"
_PHOTOS = "id, person_id, chip, landmarks, quality, digest, added_at"
_TEMPLATES = "id, photo_id, person_id, space, dim, embedding, quality, signature, source, created_at"


@dataclass(frozen=True, slots=True)
class Replaced:
    """`left_out`: the ids of those who came, but were forgotten; `gone`: of those who were here, and did not come."""

    people: int
    photos: int
    left_out: tuple[str, ...]
    gone: tuple[str, ...]


def replace_people(db: sqlite3.Connection, other: sqlite3.Connection) -> Replaced:
    """`other` is sealed as `db` is, and of today's schema. Photos and templates get numbers that were never given;
    whoever was forgotten in one of the two comes in neither.
    """
    before, coming = _ids(db, "people"), _ids(other, "people")
    learn(db, _ids(other, "forgotten"))
    forgotten = _ids(db, "forgotten")
    db.execute("DELETE FROM people")
    given = dict(db.execute("SELECT name, seq FROM sqlite_sequence"))
    photos, templates = given.get("photos", 0), given.get("templates", 0)
    _insert(db, "people", _PEOPLE, (row for row in _rows(other, "people", _PEOPLE) if row[0] not in forgotten))
    _insert(
        db,
        "photos",
        _PHOTOS,
        (
            (number + photos, person_id, *row)
            for number, person_id, *row in _rows(other, "photos", _PHOTOS)
            if person_id not in forgotten
        ),
    )
    _insert(
        db,
        "templates",
        _TEMPLATES,
        (
            (number + templates, photo + photos, person_id, *row)
            for number, photo, person_id, *row in _rows(other, "templates", _TEMPLATES)
            if person_id not in forgotten
        ),
    )
    return _replaced(db, coming & forgotten, before - coming)


def forget_again(db: sqlite3.Connection, forgotten: Iterable[str]) -> Replaced:
    """The same for a gallery that is the other one itself: of those in it whoever was forgotten goes."""
    learn(db, forgotten)
    left_out = _ids(db, "people") & _ids(db, "forgotten")
    db.executemany("DELETE FROM people WHERE id = ?", ((one,) for one in left_out))
    return _replaced(db, left_out, frozenset())


def _replaced(db: sqlite3.Connection, left_out: frozenset[str], gone: frozenset[str]) -> Replaced:
    people, photos = (int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in ("people", "photos"))
    return Replaced(people, photos, tuple(sorted(left_out)), tuple(sorted(gone)))


def _insert(db: sqlite3.Connection, table: str, columns: str, rows: Iterator[tuple[Any, ...]]) -> None:
    places = ", ".join("?" * len(columns.split(", ")))
    db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)


def _rows(db: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    cursor = db.execute(f"SELECT {columns} FROM {table} ORDER BY id")
    while rows := cursor.fetchmany(_AT_ONCE):
        yield from rows


def _ids(db: sqlite3.Connection, table: str) -> frozenset[str]:
    return frozenset(row[0] for row in db.execute(f"SELECT id FROM {table}"))
