"""Galleries as earlier versions left them, with everybody in clear, and pages of somebody whom they had let go."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from gallery.people import NewPhoto
from gallery.storage.rows import jpeg, packed
from tests.gallery.storage.former_galleries import RELEASED
from tests.kills.states import DATA, gallery_of

People = Mapping[str, Sequence[NewPhoto]]


def write_old_gallery(home: Path, version: int, people: People, let_go: str) -> None:
    """A gallery of version 1 or 2; `let_go`, one of the people, was erased without being overwritten."""
    (home / DATA).mkdir(mode=0o700)
    path = gallery_of(home)
    path.touch(0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(RELEASED[version])
        db.execute("PRAGMA foreign_keys = ON")
        for number, (name, photos) in enumerate(people.items()):
            _insert(db, f"p{number:012}", name, photos)
            if name == let_go:
                db.execute("DELETE FROM people WHERE name = ?", (name,))


def _insert(db: sqlite3.Connection, person_id: str, name: str, photos: Sequence[NewPhoto]) -> None:
    db.execute("INSERT INTO people VALUES (?, ?, 1.0)", (person_id, name))
    for photo in photos:
        assert photo.chip is not None
        row = (person_id, jpeg(photo.chip), packed(photo.landmarks), photo.quality, photo.digest)
        photo_id = db.execute(
            "INSERT INTO photos (person_id, chip, landmarks, quality, digest, added_at) VALUES (?, ?, ?, ?, ?, 1.0)",
            row,
        ).lastrowid
        for template in photo.templates:
            db.execute(
                "INSERT INTO templates (photo_id, person_id, space, embedding, quality) VALUES (?, ?, ?, ?, ?)",
                (photo_id, person_id, template.space, packed(template.embedding), photo.quality),
            )
