import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gallery.classifier.errors import TrainingSourceLocked, TrainingSourceUnusable
from gallery.classifier.sources import MOST_BLOB_BYTES, FaceTable

PNG = b"\x89PNG"


def made(path: Path, columns: str, *rows: tuple[object, ...]) -> Path:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE face ({columns})")
        for row in rows:
            db.execute(f"INSERT INTO face VALUES ({', '.join('?' * len(row))})", row)
    db.close()
    return path


def read(path: Path) -> list[tuple[bool, str | None, bytes | None]]:
    table = FaceTable(path)
    try:
        assert table.count() == len(list(table.rows()))
        return [(row.is_verified, row.person_id, row.crop) for row in table.rows()]
    finally:
        table.close()


@pytest.mark.parametrize(
    ("verified", "counts"),
    [(1, True), (0, False), (None, False), ("true", True), ("yes", True), ("0", False), ("no", False), (2, False)],
)
def test_verified_is_what_the_column_says(tmp_path, verified, counts):
    path = made(tmp_path / "f.db", "face_crop_blob BLOB, person_id INT, verified", (PNG, 7, verified), (PNG, None, 1))

    assert read(path) == [(counts, "7", PNG), (False, None, PNG)]


def test_without_the_column_who_has_a_person_is_verified(tmp_path):
    path = made(tmp_path / "f.db", "person_id, face_crop_blob", (3, PNG), (None, PNG), ("ada", PNG))

    assert read(path) == [(True, "3", PNG), (False, None, PNG), (True, "ada", PNG)]


@pytest.mark.parametrize("crop", ["text", 5, None, b"", 1.5, b"x" * (MOST_BLOB_BYTES + 1)])
def test_what_is_no_blob_is_no_crop(tmp_path, crop):
    assert read(made(tmp_path / "f.db", "face_crop_blob, person_id", (crop, 1))) == [(True, "1", None)]


@pytest.mark.parametrize("person", [b"\x01\x02", 1.5, "", "  ", "a\nb", "x" * 101])
def test_what_is_no_id_is_nobodys(tmp_path, person):
    assert read(made(tmp_path / "f.db", "face_crop_blob, person_id", (PNG, person))) == [(True, None, PNG)]


def test_many_rows_come_once_each_in_their_order(tmp_path):
    path = made(tmp_path / "f.db", "face_crop_blob, person_id", *((PNG, number) for number in range(300)))

    assert [person for _, person, _ in read(path)] == [str(number) for number in range(300)]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("CREATE TABLE other (x)", "has no table `face`"),
        ("CREATE TABLE face (x)", "has no face_crop_blob and no person_id"),
        ("CREATE TABLE face (face_crop_blob, name)", "has no person_id"),
        ("CREATE VIEW face AS SELECT 1 AS face_crop_blob, 2 AS person_id", "has a view `face`"),
        ("CREATE TABLE face (face_crop_blob, person_id INT PRIMARY KEY) WITHOUT ROWID", "rowid"),
    ],
)
def test_another_table_is_refused(tmp_path, sql, why):
    with closing(sqlite3.connect(tmp_path / "f.db")) as db, db:
        db.execute(sql)
    db.close()
    with pytest.raises(TrainingSourceUnusable, match=why):
        FaceTable(tmp_path / "f.db")


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "text").write_bytes(b"no database at all, and long enough to be looked at " * 40)
    for path in (tmp_path / "missing", tmp_path, tmp_path / "text"):
        with pytest.raises(TrainingSourceUnusable):
            FaceTable(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["text"], "nothing is made by looking"


def test_a_locked_one_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr("gallery.classifier.sources._BUSY_S", 0.01)
    path = made(tmp_path / "f.db", "face_crop_blob, person_id", (PNG, 1))
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TrainingSourceLocked, match="locked by another program"):
        FaceTable(path)
    writer.close()
    assert read(path) == [(True, "1", PNG)]
