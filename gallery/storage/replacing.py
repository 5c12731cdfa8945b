"""Everybody in the gallery gives way to those of another one's database, in the caller's transaction. Blocks."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from gallery.storage.admission import learn
from gallery.storage.meta import replace_calibrations

_AT_ONCE = 1000
_PEOPLE = "id, created_at, name_tag, external_tag, profile_key, template_key, profile"
_PHOTOS = "id, person_id, chip, landmarks, quality, digest, added_at"
_TEMPLATES = "id, photo_id, person_id, space, dim, embedding, quality, signature, source, created_at"
_NEGATIVES = "id, person_id, chip, landmarks, quality, source, created_at"
_NEGATIVE_TEMPLATES = "id, negative_id, person_id, space, dim, embedding, signature, created_at"
_MERGED = "id, person_id, at"


@dataclass(frozen=True, slots=True)
class Replaced:
    """`left_out`: the ids of those who came, but were forgotten; `gone`: of those who were here, and did not come.

    `uncalibrated`: the embedding spaces that had a calibration here, and came without.
    """

    people: int
    photos: int
    left_out: tuple[str, ...]
    gone: tuple[str, ...]
    uncalibrated: tuple[str, ...] = ()


def replace_people(db: sqlite3.Connection, other: sqlite3.Connection) -> Replaced:
    """`other` is sealed as `db` is, and of today's schema. Photos and templates get numbers that were never given;
    whoever was forgotten in one of the two comes in neither.
    """
    before, coming = _ids(db, "people"), _ids(other, "people")
    learn(db, _ids(other, "forgotten"))
    forgotten = _ids(db, "forgotten")
    learn(db, _merged_into(db, forgotten) | _merged_into(other, forgotten))
    db.execute("DELETE FROM people")
    given = dict(db.execute("SELECT name, seq FROM sqlite_sequence"))
    _insert(db, "people", _PEOPLE, (row for row in _rows(other, "people", _PEOPLE) if row[0] not in forgotten))
    merged = (row for row in _rows(other, "merged", _MERGED) if not forgotten.intersection(row[:2]))
    _insert(db, "merged", _MERGED, merged)
    pictures = ("photos", _PHOTOS, "templates", _TEMPLATES)
    for above, columns, below, below_columns in (
        pictures,
        ("negatives", _NEGATIVES, "negative_templates", _NEGATIVE_TEMPLATES),
    ):
        first, first_below = given.get(above, 0), given.get(below, 0)
        rows = (
            (number + first, person_id, *row)
            for number, person_id, *row in _rows(other, above, columns)
            if person_id not in forgotten
        )
        _insert(db, above, columns, rows)
        rows = (
            (number + first_below, row_above + first, person_id, *row)
            for number, row_above, person_id, *row in _rows(other, below, below_columns)
            if person_id not in forgotten
        )
        _insert(db, below, below_columns, rows)
    uncalibrated = replace_calibrations(db, other)
    return replace(_replaced(db, coming & forgotten, before - coming), uncalibrated=tuple(sorted(uncalibrated)))


def forget_again(db: sqlite3.Connection, forgotten: Iterable[str]) -> Replaced:
    """The same for a gallery that is the other one itself: of those in it whoever was forgotten goes."""
    learn(db, forgotten)
    learn(db, _merged_into(db, _ids(db, "forgotten")))
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


def _merged_into(db: sqlite3.Connection, people: frozenset[str]) -> frozenset[str]:
    return frozenset(
        former for former, person_id in db.execute("SELECT id, person_id FROM merged") if person_id in people
    )


def _ids(db: sqlite3.Connection, table: str) -> frozenset[str]:
    return frozenset(row[0] for row in db.execute(f"SELECT id FROM {table}"))
