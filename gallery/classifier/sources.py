"""Where verified faces come from: a SQLite file's table `face`, or the gallery. Blocks for disk I/O; reads alone.

Of the table: `face_crop_blob` (the bytes of an image), `person_id`, and `verified` where that column exists; without it
every row with a person_id counts as verified.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gallery.classifier.errors import TrainingSourceLocked, TrainingSourceUnusable

TABLE = "face"
MOST_BLOB_BYTES = 32 * 2**20
LONGEST_ID = 100
_BUSY_S = 5.0
_ROWS_AT_ONCE = 64
_YES = ("1", "true", "t", "yes", "y")


@dataclass(frozen=True, slots=True)
class FaceRow:
    """One row: its number in the table; the crop's bytes and the person's id, None where the row is corrupt.

    `is_verified`: somebody has said whose face it is.
    """

    number: int
    is_verified: bool
    person_id: str | None
    crop: bytes | None


class FaceTable:
    """The table `face` of a SQLite file, opened for reading; close() it."""

    def __init__(self, path: Path) -> None:
        """Raises TrainingSourceUnusable, TrainingSourceLocked."""
        self._path = path
        if not path.is_file():
            raise TrainingSourceUnusable(
                f"training source {path} is no file; give a SQLite file, or leave --source out"
            )
        try:
            self._db = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_S, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._refusal(error) from None
        try:
            self._columns = self._look()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def count(self) -> int:
        """How many rows there are. Raises as rows() does."""
        return int(self._read(f"SELECT count(*) FROM {TABLE}")[0][0])

    def rows(self) -> Iterator[FaceRow]:
        """All rows, by their number; between a few of them others may write.

        Raises TrainingSourceLocked, TrainingSourceUnusable.
        """
        verified = "verified" if "verified" in self._columns else "NULL"
        crop = f"CASE WHEN length(face_crop_blob) <= {MOST_BLOB_BYTES} THEN face_crop_blob END"
        query = f"SELECT rowid, {crop}, person_id, {verified} FROM {TABLE} WHERE rowid > ? ORDER BY rowid LIMIT ?"
        after = -(2**63)
        while rows := self._read(query, after, _ROWS_AT_ONCE):
            for row in rows:
                yield self._row(*row)
            after = rows[-1][0]

    def _row(self, number: int, crop: object, person_id: object, verified: object) -> FaceRow:
        is_verified = person_id is not None and ("verified" not in self._columns or _is_yes(verified))
        return FaceRow(number, is_verified, _id_of(person_id), crop if isinstance(crop, bytes) and crop else None)

    def _look(self) -> frozenset[str]:
        """Its columns. Raises as __init__ does."""
        self._db.execute("PRAGMA trusted_schema = OFF")
        kinds = self._read("SELECT type FROM sqlite_master WHERE lower(name) = ? AND type IN ('table', 'view')", TABLE)
        if kinds != [("table",)]:
            what = "has a view `face`" if kinds else "has no table `face`"
            raise TrainingSourceUnusable(
                f"training source {self._path} {what}; want a table face with face_crop_blob and person_id"
            )
        columns = frozenset(str(row[1]).lower() for row in self._read(f"PRAGMA table_info({TABLE})"))
        if missing := sorted({"face_crop_blob", "person_id"} - columns):
            raise TrainingSourceUnusable(
                f"training source {self._path}: table face has no {' and no '.join(missing)}; add what is missing"
            )
        self._read(f"SELECT rowid FROM {TABLE} LIMIT 1")
        return columns

    def _read(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._refusal(error) from None

    def _refusal(self, error: sqlite3.Error) -> TrainingSourceLocked | TrainingSourceUnusable:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return TrainingSourceLocked(
                f"training source {self._path} is locked by another program; try again when that has ended"
            )
        return TrainingSourceUnusable(f"training source {self._path} can't be read as SQLite ({error}); give another")


def _is_yes(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _YES
    return isinstance(value, int | float) and value == 1


def _id_of(value: object) -> str | None:
    """As text; None for what is none: no number, no text, or too much of it."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and value.isprintable() and 0 < len(value.strip()) <= LONGEST_ID:
        return value.strip()
    return None
