"""Galleries as earlier versions left them, with everybody in clear, and pages of somebody whom they had let go."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from gallery.people import NewPhoto
from gallery.storage.rows import jpeg, packed
from tests.gallery.storage.former_galleries import RELEASED, insert_person_as_3
from tests.kills.states import DATA, gallery_of

People = Mapping[str, Sequence[NewPhoto]]


def write_old_gallery(home: Path, version: int, people: People, let_go: str) -> None:
    """A plain gallery of version 1, 2 or 3; `let_go`, one of the people, was erased without being overwritten."""
    (home / DATA).mkdir(mode=0o700)
    path = gallery_of(home)
    path.touch(0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(RELEASED[version])
        db.execute("PRAGMA foreign_keys = ON")
        for number, (name, photos) in enumerate(people.items()):
            person_id = f"p{number:012}"
            if version == 3:
                insert_person_as_3(db, person_id, name)
            else:
                db.execute("INSERT INTO people VALUES (?, ?, 1.0)", (person_id, name))
            _insert_photos(db, version, person_id, photos)
            if name == let_go:
                db.execute("DELETE FROM people WHERE id = ?", (person_id,))


def _insert_photos(db: sqlite3.Connection, version: int, person_id: str, photos: Sequence[NewPhoto]) -> None:
    plain = b"\0" if version == 3 else b""
    for photo in photos:
        assert photo.chip is not None
        chip, landmarks = plain + jpeg(photo.chip), plain + packed(photo.landmarks)
        row = (person_id, chip, landmarks, photo.quality, photo.digest)
        photo_id = db.execute(
            "INSERT INTO photos (person_id, chip, landmarks, quality, digest, added_at) VALUES (?, ?, ?, ?, ?, 1.0)",
            row,
        ).lastrowid
        for template in photo.templates:
            values = (photo_id, person_id, template.space, plain + packed(template.embedding), photo.quality)
            if version == 3:
                db.execute(
                    "INSERT INTO templates (photo_id, person_id, space, embedding, quality, dim, signature, source, "
                    "created_at) VALUES (?, ?, ?, ?, ?, ?, '', '', 1.0)",
                    (*values, len(template.embedding)),
                )
                continue
            db.execute(
                "INSERT INTO templates (photo_id, person_id, space, embedding, quality) VALUES (?, ?, ?, ?, ?)", values
            )
