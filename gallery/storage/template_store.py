"""TemplateStore: the templates of the gallery's file, by embedding space, and the photos that lack one.

As GalleryDatabase: blocks for disk I/O, any thread, one at a time.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gallery.errors import PhotoNotFound
from gallery.keys.encryption import Cipher, SealBroken
from gallery.keys.master_key import KeySource
from gallery.keys.vault import Vault, chip_place, landmarks_place
from gallery.people import KeptPhoto, KeptTemplate, NewTemplate, StoredPhoto, TemplateMark, Templates, TemplateStamps
from gallery.storage import audit
from gallery.storage.admission import must_exist
from gallery.storage.database import GalleryDatabase
from gallery.storage.meta import get_calibrations, set_calibrations
from gallery.storage.profiles import Broken, OpenedProfiles, OpenedTemplates, Unopened
from gallery.storage.rows import (
    moment,
    number,
    opened_templates,
    replace_template,
    spoilt_photo,
    stored_photo,
    unpacked,
)
from gallery.storage.schema import translated
from gallery.storage.vacuum import ERASED, make_due
from recognition.arrays import F32
from recognition.errors import EmbeddingSpaceMismatch

_PHOTOS_AT_ONCE = 32
# Of a photo whose chip was not kept none can be made.
_READ = (
    "SELECT templates.id, person_id, CAST(embedding AS BLOB), CAST(template_key AS BLOB), "
    "CAST(profile_key AS BLOB), CAST(profile AS BLOB) FROM templates "
    "JOIN people ON people.id = person_id WHERE space = ? AND templates.id > ? ORDER BY templates.id LIMIT ?"
)
_PHOTOS_LACKING = (
    "SELECT photos.id, person_id, digest, template_key, chip, landmarks, quality FROM photos "
    "JOIN people ON people.id = person_id WHERE photos.id > ? AND {lacking} ORDER BY photos.id LIMIT ?"
)
_LACKING = "chip IS NOT NULL AND NOT EXISTS (SELECT 1 FROM templates WHERE photo_id = photos.id AND space = ?)"


class TemplateStore(GalleryDatabase):
    """Raises as GalleryDatabase does."""

    def __init__(
        self,
        path: Path,
        keys: KeySource | None = None,
        *,
        actor: str = "somebody",
        encrypt: bool = True,
        in_memory: bool = False,
    ) -> None:
        super().__init__(path, keys, actor=actor, encrypt=encrypt, in_memory=in_memory)
        self._opened = OpenedProfiles()
        self._opened_templates = OpenedTemplates()
        self._unopened = Unopened()

    def templates(self, space: str, after_id: int = 0, most: int = -1) -> Templates:
        """The templates of a space, by id, those with an id above `after_id` alone, and of these `most` (-1: all).

        What does not open, and whoever's profile does not, is left out: see `unreadable`. Raises EmbeddingSpaceMismatch
        where their sizes differ.
        """
        while True:
            vault = self._vault
            opened, last_id, broken = self._templates(vault, space, after_id, most)
            if not broken or not self._has_other_key(vault):
                break
        self._unopened.met_templates(space, after_id, last_id, broken)
        if len({len(embedding) for *_, embedding in opened}) > 1:
            raise EmbeddingSpaceMismatch(
                f"gallery {self.path} holds templates of different sizes for {space}; enrol those people anew"
            )
        ids = np.array([row[0] for row in opened], np.int64)
        return Templates(space, ids, tuple(row[1] for row in opened), unpacked([row[2] for row in opened]))

    def _templates(
        self, vault: Vault, space: str, after_id: int, most: int
    ) -> tuple[list[tuple[int, str, bytes]], int | None, dict[int, tuple[str, str]]]:
        """(id, person_id, embedding), up to which id was read (None: to the last), and what does not open, by id."""
        opened: list[tuple[int, str, bytes]] = []
        broken: dict[int, tuple[str, str]] = {}
        while True:
            wanted = most - len(opened) if most >= 0 else -1
            rows = self._rows(_READ, space, after_id, wanted)
            nobody: dict[str, str] = {}
            self._opened.of({row[1]: (row[1], *row[4:]) for row in rows}.values(), vault, broken=nobody)
            for row in rows:
                if str(row[1]) in nobody:
                    broken[row[0]] = (str(row[1]), nobody[str(row[1])])
            opened += opened_templates(vault, space, (row[:4] for row in rows if row[0] not in broken), broken)
            if len(rows) != wanted:
                return opened, None, broken
            after_id = rows[-1][0] if rows else after_id
            if len(opened) >= most:
                return opened, after_id, broken

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Who was left out, by id, wholly or in part, since something of them does not open: what that is. As people(),
        profiles(), newest_photos() and templates() met it last.
        """
        if not self._unopened.people:
            return {}
        self._unopened.keep_templates({row[0] for row in self._rows("SELECT id FROM templates")})
        enrolled = {str(row[0]) for row in self._rows("SELECT id FROM people")}
        return {who: what for who, what in self._unopened.people.items() if who in enrolled}

    def all_templates(self, space: str) -> Templates:
        """As templates(), and kept in memory: the next time only what was written meanwhile is read and opened."""
        mark = self.template_mark(space)
        return self._opened_templates.of(
            space,
            mark,
            lambda after_id: self.templates(space, after_id),
            lambda: not self._unopened.has_templates(space),
        )

    def template_mark(self, space: str) -> TemplateMark:
        """Another one after every change to this space's templates. No template is read for it."""
        return self._mark("templates", space)

    def _mark(self, table: str, space: str) -> TemplateMark:
        count, newest = self._rows(
            f"SELECT count(*), (SELECT seq FROM sqlite_sequence WHERE name = '{table}') FROM {table} WHERE space = ?",
            space,
        )[0]
        return TemplateMark(count, newest or 0)

    def template_stamps(self, space: str, after_id: int = 0) -> TemplateStamps:
        """By id, rising, those with an id above `after_id` alone."""
        query = (
            "SELECT id, person_id, coalesce(substr(CAST(embedding AS BLOB), 2, 16), x'') FROM templates "
            "WHERE space = ? AND id > ? ORDER BY id"
        )
        return TemplateStamps.of(self._rows(query, space, after_id))

    def sizes(self) -> list[tuple[str, int, int]]:
        """(space, how many numbers its templates have, how many people have such)."""
        query = "SELECT space, dim, count(DISTINCT person_id) FROM templates GROUP BY space, dim"
        return [(str(space), int(dim), int(people)) for space, dim, people in self._rows(query)]

    def digests(self, person_id: str, space: str) -> frozenset[str]:
        """SHA-256 (hex) of the photos of a person that have their template in this space."""
        rows = self._rows(
            "SELECT digest FROM photos JOIN templates ON photo_id = photos.id WHERE photos.person_id = ? AND space = ?",
            person_id,
            space,
        )
        return frozenset(row[0] for row in rows)

    def templates_by_person(self, space: str) -> dict[str, int]:
        """How many templates each person has in this space, of those who have some."""
        query = "SELECT person_id, count(*) FROM templates WHERE space = ? GROUP BY person_id"
        return {str(who): int(count) for who, count in self._rows(query, space)}

    def uncovered(self, space: str) -> int:
        """How many people have photos, but no template in this space: nobody could name them by it."""
        return self._count(
            "people WHERE EXISTS (SELECT 1 FROM photos WHERE person_id = people.id) "
            "AND NOT EXISTS (SELECT 1 FROM templates WHERE person_id = people.id AND space = ?)",
            space,
        )

    def count_without_template(self, space: str) -> int:
        """How many photos have no template in this space, and a chip of which one can be made."""
        return self._count(f"photos WHERE {_LACKING}", space)

    def photos_without_template(self, space: str) -> Iterator[StoredPhoto]:
        """Photos that another model's space has no template for yet, by id; add_template() between is fine."""
        return self._pictures(_PHOTOS_LACKING.format(lacking=_LACKING), space, chip_place, landmarks_place)

    def _pictures(
        self, query: str, space: str, chip_at: Callable[[str, str], str], landmarks_at: Callable[[str, str], str]
    ) -> Iterator[StoredPhoto]:
        """Rows with an id above the query's first value, of this space, so many; where their blobs are sealed."""
        last_id = 0
        while rows := self._rows(query, last_id, space, _PHOTOS_AT_ONCE):
            vault = self._vault
            ciphers = [_cipher(vault, row[1], row[3]) for row in rows]
            if None in ciphers and self._has_other_key(vault):
                continue
            for (key, person_id, which, _, chip, landmarks, quality), cipher in zip(rows, ciphers, strict=True):
                if cipher is None:
                    yield spoilt_photo(key, person_id)
                    continue
                sealed = (chip, chip_at(person_id, which)), (landmarks, landmarks_at(person_id, which))
                yield stored_photo(key, person_id, cipher, *sealed, quality)
            last_id = rows[-1][0]

    def add_template(self, photo_id: int, space: str, signature: str, embedding: F32, quality: float) -> bool:
        """Keep the (d,) float32 unit vector of a photo; one that it had in this space is replaced.

        `signature` says what models made it. False where the photo is gone (its person was forgotten
        meanwhile). Raises EmbeddingSpaceMismatch.
        """
        template = NewTemplate(space, signature, embedding)
        with self._transaction() as db:
            return replace_template(db, photo_id, self._vault, template, quality, time.time())

    # Calibrations.

    def calibrations(self) -> dict[str, str | None]:
        """By space, the documents that keep_calibrations() was given; None: its bytes were changed since."""
        self._follows_key()
        with self._lock, translated(self.path):
            return get_calibrations(self._db, self._vault)

    def keep_calibrations(self, documents: Mapping[str, str | None], details: Mapping[str, Any]) -> None:
        """By space, in the place of what there was; None: there is none any more. `details`: for the audit log."""
        with self._transaction() as db:
            set_calibrations(db, self._vault, documents)
            audit.append(db, self.actor, "calibrated", details=details)

    # Photos.

    def photos(self, person_id: str) -> list[KeptPhoto]:
        """What is kept of a person, in the order of enrolment; nothing where nobody has this id."""
        spaces: dict[int, list[str]] = {}
        for photo_id, space in self._rows(
            "SELECT photo_id, space FROM templates WHERE person_id = ? ORDER BY space", person_id
        ):
            spaces.setdefault(photo_id, []).append(space)
        rows = self._rows("SELECT id, quality, added_at, digest FROM photos WHERE person_id = ? ORDER BY id", person_id)

        def read() -> list[KeptPhoto]:
            return [
                KeptPhoto(
                    key,
                    number(quality, f"quality of photo {key} of {person_id}"),
                    moment(at, f"time of photo {key} of {person_id}"),
                    str(digest),
                    tuple(spaces.get(key, ())),
                )
                for key, quality, at, digest in rows
            ]

        return self._opening(read)

    def chip(self, person_id: str, photo_id: int) -> bytes | None:
        """The JPEG that is kept of a photo; None where none was to be kept. Raises PhotoNotFound."""

        def read() -> bytes | None:
            rows = self._rows(
                "SELECT digest, chip, template_key FROM photos JOIN people ON people.id = person_id "
                "WHERE photos.id = ? AND person_id = ?",
                photo_id,
                person_id,
            )
            if not rows:
                raise no_photo(person_id, photo_id)
            ((digest, chip, wrapped),) = rows
            cipher = self._vault.template_cipher(person_id, wrapped)
            return None if chip is None else cipher.open(chip, chip_place(person_id, str(digest)))

        return self._opening(read)

    def kept_templates(self, person_id: str) -> list[KeptTemplate]:
        """All of a person's, by photo and space; nothing where nobody has this id."""
        rows = self._rows(
            "SELECT photo_id, space, dim, signature, quality, source, created_at FROM templates WHERE person_id = ? "
            "ORDER BY photo_id, space",
            person_id,
        )

        def read() -> list[KeptTemplate]:
            found = []
            for photo_id, space, dim, signature, quality, source, at in rows:
                what = f"template of photo {photo_id} of {person_id}"
                found.append(
                    KeptTemplate(
                        int(photo_id),
                        str(space),
                        int(number(dim, what)),
                        str(signature),
                        number(quality, what),
                        str(source),
                        moment(at, what),
                    )
                )
            return found

        return self._opening(read)

    def newest_photos(self) -> Mapping[str, float]:
        """When the newest photo of each person was added, Unix time in s; who has none is not listed. Infinity where
        that can't be read: nobody's time is over by it (see `unreadable`).
        """
        broken, found = Broken(), {}
        for person_id, at in self._rows("SELECT person_id, max(added_at) FROM photos GROUP BY person_id"):
            try:
                found[person_id] = moment(at, f"time of a photo of {person_id}")
            except SealBroken as error:
                broken[str(person_id)] = str(error)
                found[person_id] = math.inf
        self._unopened.met("photos", broken)
        return found

    def remove_photo(self, person_id: str, photo_id: int) -> bool:
        """Erase one photo of a person with its templates, overwritten as forget() does.

        Raises PersonNotFound, PhotoNotFound.
        """
        with self._transaction() as db:
            must_exist(db, person_id)
            removed = db.execute("DELETE FROM photos WHERE id = ? AND person_id = ?", (photo_id, person_id)).rowcount
            if not removed:
                raise no_photo(person_id, photo_id)
            make_due(db, ERASED)
            audit.append(db, self.actor, "photo_removed", person_id, {"photo": photo_id})
        return self.empty_log()


def no_photo(person_id: str, photo_id: int) -> PhotoNotFound:
    return PhotoNotFound(
        f"{person_id} has no photo {photo_id}; see whosthere people photos {person_id} for the numbers"
    )


def _cipher(vault: Vault, person_id: str, wrapped: bytes | None) -> Cipher | None:
    """None where the key does not open."""
    try:
        return vault.template_cipher(person_id, wrapped)
    except SealBroken:
        return None
