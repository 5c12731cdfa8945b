"""PersonStore: people, enrolment photos and templates in one SQLite file (WAL), the source of truth.

Every method blocks for disk I/O: call it off the event loop. Any thread may, one at a time (a lock inside);
other processes may read and write the same file meanwhile.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from gallery.errors import (
    GalleryUnreadable,
    GalleryUnwritable,
    NameTaken,
    PersonAmbiguous,
    PersonNotFound,
    PhotoNotFound,
)
from gallery.people import (
    KeptPhoto,
    NewPhoto,
    NewTemplate,
    Person,
    StoredPhoto,
    TemplateMark,
    Templates,
    TemplateStamps,
    clean_name,
    name_key,
    new_person_id,
)
from gallery.storage.file_copy import copy_in_memory
from gallery.storage.rows import insert_photos, jpeg, replace_template, stored_photo, unpacked
from gallery.storage.schema import open_database, transaction, translated
from recognition.arrays import F32
from recognition.errors import EmbeddingSpaceMismatch
from recognition.near_names import did_you_mean

_PHOTOS_AT_ONCE = 32
_LACKING = "NOT EXISTS (SELECT 1 FROM templates WHERE photo_id = photos.id AND space = ?)"


class PersonStore:
    """Any method may raise GalleryUnwritable (a full disk, say) or GalleryUnreadable (a damaged file).

    What fails leaves no trace: each call is one transaction.
    """

    def __init__(self, path: Path, *, in_memory: bool = False) -> None:
        """Opens the gallery, or makes an empty one; `in_memory`: a copy that can't be written. Raises GalleryTooNew
        besides.
        """
        self.path = path
        self.in_memory = in_memory
        self._db = copy_in_memory(path) if in_memory else open_database(path)
        self._lock = threading.Lock()
        self._commits = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        with self._lock:
            self._db.close()

    def check(self) -> None:
        """Read the whole file and hold it to its own structure. Raises GalleryUnreadable."""
        (verdict,) = self._rows("PRAGMA quick_check(1)")[0]
        if verdict != "ok":
            raise GalleryUnreadable(f"gallery {self.path} is damaged ({verdict}); restore it from a backup")

    def checkpoint(self) -> None:
        """Carry the log over into the file, as far as nobody reads it and there is room."""
        self._rows("PRAGMA wal_checkpoint(PASSIVE)")

    def data_version(self) -> int:
        """A number that is another one after every commit, by this store or by any other process.

        Read it before what it stands for, so that a commit between the two shows the next time.
        """
        return int(self._rows("PRAGMA data_version")[0][0]) + self._commits

    # People.

    def people(self) -> list[Person]:
        """Everybody, by name."""
        return self._people("")

    def find(self, name_or_id: str) -> Person:
        """The person of this id, or else of this name, or else of one that differs by capitals and blanks alone.

        Raises PersonNotFound, which names the nearest, PersonAmbiguous where several share the name, and
        NameInvalid.
        """
        found = self._people("WHERE id = ?", name_or_id.strip().lower())
        if not found:
            found = self._people("WHERE name = ?", clean_name(name_or_id))
        if not found:
            key = name_key(name_or_id)
            found = [person for person in self.people() if name_key(person.name) == key]
        if not found:
            raise PersonNotFound(f"nobody called {name_or_id!r} is enrolled{self._nearest(name_or_id)}")
        if len(found) > 1:
            people = ", ".join(f"{person.id} ({person.name})" for person in found)
            raise PersonAmbiguous(f"{len(found)} people are called {name_or_id!r}; give the id, one of {people}")
        return found[0]

    def name_of(self, person_id: str) -> str | None:
        """The display name; None where nobody has this id (any more)."""
        rows = self._rows("SELECT name FROM people WHERE id = ?", person_id)
        return str(rows[0][0]) if rows else None

    def check_free(self, name: str) -> None:
        """Raises NameTaken where the name of a new person would be somebody's already, but for capitals and blanks."""
        with self._lock, translated(self.path):
            _must_be_free(self._db, name)

    def add_person(self, name: str, photos: Sequence[NewPhoto] = ()) -> Person:
        """Enrol a new person with these photos, all or nothing.

        Raises NameInvalid, NameTaken and EmbeddingSpaceMismatch.
        """
        name, person_id, now = clean_name(name), new_person_id(), time.time()
        chips = [jpeg(photo.chip) for photo in photos]
        with self._transaction() as db:
            _must_be_free(db, name)
            db.execute("INSERT INTO people VALUES (?, ?, ?)", (person_id, name, now))
            insert_photos(db, person_id, zip(photos, chips, strict=True), now)
        return self._person(person_id)

    def add_photos(self, person_id: str, photos: Sequence[NewPhoto]) -> Person:
        """Add photos and their templates to a person, all or nothing.

        A photo that the person has already (same digest) is not kept twice; it only gets its templates of the
        spaces in which it has none yet. Raises PersonNotFound and EmbeddingSpaceMismatch.
        """
        chips = [jpeg(photo.chip) for photo in photos]
        with self._transaction() as db:
            self._must_exist(db, person_id)
            insert_photos(db, person_id, zip(photos, chips, strict=True), time.time())
        return self._person(person_id)

    def rename(self, person_id: str, name: str) -> Person:
        """Give a person another name. Raises PersonNotFound, NameInvalid and NameTaken."""
        name = clean_name(name)
        with self._transaction() as db:
            self._must_exist(db, person_id)
            _must_be_free(db, name, person_id)
            db.execute("UPDATE people SET name = ? WHERE id = ?", (name, person_id))
        return self._person(person_id)

    def forget(self, person_id: str) -> bool:
        """Erase a person, photos and templates, overwritten in file and log alike. Raises PersonNotFound.

        False where another process read the gallery for so long that the log could not be emptied: its pages
        go at the next forget() or when the last process closes the gallery. What a disk keeps of blocks that
        were given back is beyond SQLite.
        """
        with self._transaction() as db:
            self._must_exist(db, person_id)
            db.execute("DELETE FROM people WHERE id = ?", (person_id,))
        return self._emptied()

    # Photos.

    def photos(self, person_id: str) -> list[KeptPhoto]:
        """What is kept of a person, in the order of enrolment; nothing where nobody has this id."""
        spaces: dict[int, list[str]] = {}
        for photo_id, space in self._rows(
            "SELECT photo_id, space FROM templates WHERE person_id = ? ORDER BY space", person_id
        ):
            spaces.setdefault(photo_id, []).append(space)
        rows = self._rows("SELECT id, quality, added_at, digest FROM photos WHERE person_id = ? ORDER BY id", person_id)
        return [KeptPhoto(key, quality, at, digest, tuple(spaces.get(key, ()))) for key, quality, at, digest in rows]

    def remove_photo(self, person_id: str, photo_id: int) -> bool:
        """Erase one photo of a person with its templates, as forget() does. Raises PersonNotFound, PhotoNotFound."""
        with self._transaction() as db:
            self._must_exist(db, person_id)
            removed = db.execute("DELETE FROM photos WHERE id = ? AND person_id = ?", (photo_id, person_id)).rowcount
            if not removed:
                raise PhotoNotFound(
                    f"{person_id} has no photo {photo_id}; see whosthere people photos {person_id} for the numbers"
                )
        return self._emptied()

    # Templates.

    def templates(self, space: str, after_id: int = 0, most: int = -1) -> Templates:
        """The templates of a space, by id, those with an id above `after_id` alone, and of these `most` (-1: all).

        Raises EmbeddingSpaceMismatch where their sizes differ.
        """
        rows = self._rows(
            "SELECT id, person_id, embedding FROM templates WHERE space = ? AND id > ? ORDER BY id LIMIT ?",
            space,
            after_id,
            most,
        )
        sizes = {len(row[2]) for row in rows}
        if len(sizes) > 1:
            raise EmbeddingSpaceMismatch(
                f"gallery {self.path} holds templates of different sizes for {space}; enrol those people anew"
            )
        ids = np.array([row[0] for row in rows], np.int64)
        return Templates(space, ids, tuple(row[1] for row in rows), unpacked([row[2] for row in rows]))

    def template_mark(self, space: str) -> TemplateMark:
        """Another one after every change to this space's templates. No template is read for it."""
        count, newest = self._rows(
            "SELECT count(*), (SELECT seq FROM sqlite_sequence WHERE name = 'templates') FROM templates "
            "WHERE space = ?",
            space,
        )[0]
        return TemplateMark(count, newest or 0)

    def template_stamps(self, space: str, after_id: int = 0) -> TemplateStamps:
        """By id, rising, those with an id above `after_id` alone."""
        query = "SELECT id, substr(embedding, 2, 16) FROM templates WHERE space = ? AND id > ? ORDER BY id"
        return TemplateStamps.of(self._rows(query, space, after_id))

    def digests(self, person_id: str, space: str) -> frozenset[str]:
        """SHA-256 (hex) of the photos of a person that have their template in this space."""
        rows = self._rows(
            "SELECT digest FROM photos JOIN templates ON photo_id = photos.id WHERE photos.person_id = ? AND space = ?",
            person_id,
            space,
        )
        return frozenset(row[0] for row in rows)

    def uncovered(self, space: str) -> int:
        """How many people have photos, but no template in this space: nobody could name them by it."""
        return self._count(
            "people WHERE EXISTS (SELECT 1 FROM photos WHERE person_id = people.id) "
            "AND NOT EXISTS (SELECT 1 FROM templates WHERE person_id = people.id AND space = ?)",
            space,
        )

    def count_without_template(self, space: str) -> int:
        """How many photos have no template in this space."""
        return self._count(f"photos WHERE {_LACKING}", space)

    def photos_without_template(self, space: str) -> Iterator[StoredPhoto]:
        """Photos that another model's space has no template for yet, by id; add_template() between is fine."""
        last_id = 0
        while rows := self._rows(
            "SELECT id, person_id, chip, landmarks, quality FROM photos "
            f"WHERE id > ? AND {_LACKING} ORDER BY id LIMIT ?",
            last_id,
            space,
            _PHOTOS_AT_ONCE,
        ):
            yield from (stored_photo(*row) for row in rows)
            last_id = rows[-1][0]

    def add_template(self, photo_id: int, space: str, signature: str, embedding: F32, quality: float) -> bool:
        """Keep the (d,) float32 unit vector of a photo; one that it had in this space is replaced.

        `signature` says what models made it. False where the photo is gone (its person was forgotten
        meanwhile). Raises EmbeddingSpaceMismatch.
        """
        template = NewTemplate(space, signature, embedding)
        with self._transaction() as db:
            return replace_template(db, photo_id, template, quality)

    # SQLite.

    def _rows(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        with self._lock, translated(self.path):
            return self._db.execute(query, values).fetchall()

    def _count(self, what: str, space: str) -> int:
        return int(self._rows(f"SELECT count(*) FROM {what}", space)[0][0])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self.path):
            with transaction(self._db):
                yield self._db
            self._commits += 1

    def _emptied(self) -> bool:
        """Empty the log, which holds what was erased; False where somebody reads it."""
        (busy, _, _) = self._rows("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        return not busy

    def _people(self, where: str, *values: str) -> list[Person]:
        people = self._rows(
            "SELECT id, name, created_at, (SELECT count(*) FROM photos WHERE person_id = people.id) "
            f"FROM people {where} ORDER BY name, id",
            *values,
        )
        counts: dict[str, dict[str, int]] = {}
        only = "" if not where else f"WHERE person_id IN (SELECT id FROM people {where})"
        for person_id, space, count in self._rows(
            f"SELECT person_id, space, count(*) FROM templates {only} GROUP BY person_id, space", *values
        ):
            counts.setdefault(person_id, {})[space] = count
        return [Person(key, name, at, photos, counts.get(key, {})) for key, name, at, photos in people]

    def _person(self, person_id: str) -> Person:
        found = self._people("WHERE id = ?", person_id)
        if not found:
            raise PersonNotFound(f"person {person_id} was forgotten meanwhile; enrol the person anew")
        return found[0]

    def _must_exist(self, db: sqlite3.Connection, person_id: str) -> None:
        if db.execute("SELECT 1 FROM people WHERE id = ?", (person_id,)).fetchone() is None:
            raise PersonNotFound(f"nobody with the id {person_id} is enrolled; see whosthere people list")

    def _nearest(self, name: str) -> str:
        names = [str(row[0]) for row in self._rows("SELECT DISTINCT name FROM people ORDER BY name")]
        if not names:
            return "; nobody is yet"
        return did_you_mean(name, names, "see whosthere people list")


def open_to_read(path: Path) -> PersonStore:
    """The gallery; a copy in memory where it can't be written. Raises GalleryError."""
    try:
        return PersonStore(path)
    except GalleryUnwritable:
        return PersonStore(path, in_memory=True)


def _must_be_free(db: sqlite3.Connection, name: str, person_id: str = "") -> None:
    """Raises NameTaken where somebody but this person has the name, or one as good as it."""
    key = name_key(name)
    for taken_by, taken in db.execute("SELECT id, name FROM people"):
        if taken_by != person_id and name_key(taken) == key:
            raise NameTaken(
                f"{taken!r} is enrolled already ({taken_by}): give a name that differs from it by more than capitals "
                "and blanks; photos are added to that person by exactly this name"
            )
