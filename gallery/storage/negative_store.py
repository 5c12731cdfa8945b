"""NegativeStore: the faces of the gallery's file of which somebody said that they are not a person.

As GalleryDatabase: blocks for disk I/O, any thread, one at a time.
"""

import json
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from gallery.errors import NegativeNotFound
from gallery.keys.master_key import KeySource
from gallery.keys.vault import negative_chip_place, negative_landmarks_place, negative_template_place
from gallery.people import KeptNegative, NewNegative, NewTemplate, StoredPhoto, TemplateMark, Templates
from gallery.storage import audit
from gallery.storage.admission import must_exist
from gallery.storage.negatives import insert_negative, insert_templates
from gallery.storage.profiles import Broken
from gallery.storage.rows import moment, number, opened_templates, unpacked
from gallery.storage.template_store import TemplateStore
from gallery.storage.vacuum import ERASED, make_due
from recognition.arrays import F32

_READ = (
    "SELECT negative_templates.id, person_id, CAST(embedding AS BLOB), CAST(template_key AS BLOB) "
    "FROM negative_templates JOIN people ON people.id = person_id WHERE space = ? ORDER BY negative_templates.id"
)
_LACKING = (
    "chip IS NOT NULL AND NOT EXISTS (SELECT 1 FROM negative_templates WHERE negative_id = negatives.id AND space = ?)"
)
_PICTURES = (
    "SELECT negatives.id, person_id, source, template_key, chip, landmarks, quality FROM negatives "
    f"JOIN people ON people.id = person_id WHERE negatives.id > ? AND {_LACKING} ORDER BY negatives.id LIMIT ?"
)


class NegativeStore(TemplateStore):
    """Raises as GalleryDatabase does. `keep_chips` False: of new faces none is kept."""

    def __init__(
        self,
        path: Path,
        keys: KeySource | None = None,
        *,
        actor: str = "somebody",
        encrypt: bool = True,
        keep_chips: bool = True,
        in_memory: bool = False,
    ) -> None:
        super().__init__(path, keys, actor=actor, encrypt=encrypt, in_memory=in_memory)
        self._keep_chips = keep_chips
        self._opened_negatives: dict[str, tuple[TemplateMark, Templates]] = {}

    def negatives(self, space: str) -> Templates:
        """All faces of a space that are not somebody, by id; `person_ids`: whom each is not. Kept in memory: read again
        where something has changed alone. What does not open is left out: see `unreadable`.
        """
        mark = self.negative_mark(space)
        former, kept = self._opened_negatives.get(space, (None, None))
        if kept is None or former != mark:
            kept = self._read_negatives(space)
            self._opened_negatives[space] = mark, kept
        return kept

    def negative_mark(self, space: str) -> TemplateMark:
        """Another one after every change to this space's negatives. None is read for it."""
        return self._mark("negative_templates", space)

    def _read_negatives(self, space: str) -> Templates:
        while True:
            vault, broken = self._vault, dict[int, tuple[str, str]]()
            opened = opened_templates(vault, space, self._rows(_READ, space), broken, negative_template_place)
            for number_, person_id, embedding in opened:
                if len(embedding) != len(opened[0][2]):
                    broken[number_] = person_id, negative_template_place(person_id, space)
            opened = [row for row in opened if row[0] not in broken]
            if not broken or not self._has_other_key(vault):
                break
        self._unopened.met(f"negatives of {space}", Broken(broken.values()))
        ids = np.array([row[0] for row in opened], np.int64)
        return Templates(space, ids, tuple(row[1] for row in opened), unpacked([row[2] for row in opened]))

    def list_negatives(self, person_id: str) -> list[KeptNegative]:
        """What is kept of a person's, the oldest first; nothing where nobody has this id."""
        spaces: dict[int, set[str]] = {}
        for negative_id, space in self._rows(
            "SELECT negative_id, space FROM negative_templates WHERE person_id = ?", person_id
        ):
            spaces.setdefault(negative_id, set()).add(space)
        rows = self._rows(
            "SELECT id, quality, source, created_at FROM negatives WHERE person_id = ? ORDER BY id", person_id
        )

        def read() -> list[KeptNegative]:
            return [
                KeptNegative(
                    key,
                    person_id,
                    number(quality, f"quality of negative {key} of {person_id}"),
                    str(source),
                    moment(at, f"time of negative {key} of {person_id}"),
                    tuple(sorted(spaces.get(key, ()))),
                )
                for key, quality, source, at in rows
            ]

        return self._opening(read)

    def count_negatives(self, person_id: str | None = None) -> int:
        """How many are kept, of everybody or of one person."""
        return (
            self._count("negatives") if person_id is None else self._count("negatives WHERE person_id = ?", person_id)
        )

    def add_negative(self, person_id: str, negative: NewNegative) -> KeptNegative:
        """As add_negatives()."""
        (kept,) = self.add_negatives(person_id, [negative])
        return kept

    def add_negatives(self, person_id: str, negatives: Sequence[NewNegative]) -> list[KeptNegative]:
        """These faces are not that person: all are kept, or none. One of the same source stays, and gets the templates
        of spaces that it lacks.

        Raises PersonNotFound and EmbeddingSpaceMismatch.
        """
        with self._transaction() as db:
            (wrapped,) = must_exist(db, person_id, "template_key")
            faces, now = self._vault.template_cipher(person_id, wrapped), time.time()
            for negative in negatives:
                if insert_negative(db, person_id, faces, negative, now, keep_chip=self._keep_chips):
                    audit.append(db, self.actor, "negative_added", person_id, {"source": negative.source})
        kept = {one.source: one for one in self.list_negatives(person_id)}
        return [kept[negative.source] for negative in negatives]

    def negative_rows(self, person_id: str, sources: Collection[str]) -> frozenset[int]:
        """Which of negatives()' ids are of a person's faces of these sources, in all spaces."""
        found = self._rows(
            "SELECT negative_templates.id FROM negative_templates JOIN negatives ON negatives.id = negative_id "
            "WHERE negatives.person_id = ? AND source IN (SELECT value FROM json_each(?))",
            person_id,
            json.dumps(sorted(sources)),
        )
        return frozenset(row[0] for row in found)

    def negative_chip(self, person_id: str, negative_id: int) -> bytes | None:
        """The JPEG that is kept of such a face; None where none was to be kept. Raises NegativeNotFound."""

        def read() -> bytes | None:
            rows = self._rows(
                "SELECT source, chip, template_key FROM negatives JOIN people ON people.id = person_id "
                "WHERE negatives.id = ? AND person_id = ?",
                negative_id,
                person_id,
            )
            if not rows:
                raise no_negative(person_id, negative_id)
            ((source, chip, wrapped),) = rows
            cipher = self._vault.template_cipher(person_id, wrapped)
            return None if chip is None else cipher.open(chip, negative_chip_place(person_id, str(source)))

        return self._opening(read)

    def remove_negative(self, person_id: str, negative_id: int) -> bool:
        """As remove_negatives()."""
        return self.remove_negatives(person_id, [negative_id])

    def remove_negatives(self, person_id: str, negative_ids: Sequence[int]) -> bool:
        """They may be that person after all: erased, all or none, overwritten as forget() does. Raises PersonNotFound
        and NegativeNotFound.
        """
        with self._transaction() as db:
            must_exist(db, person_id)
            for number_ in negative_ids:
                removed = db.execute("DELETE FROM negatives WHERE id = ? AND person_id = ?", (number_, person_id))
                if not removed.rowcount:
                    raise no_negative(person_id, number_)
                audit.append(db, self.actor, "negative_removed", person_id, {"negative": number_})
            make_due(db, ERASED)
        return self.empty_log()

    def remove_negatives_of(self, person_id: str, sources: Collection[str]) -> int:
        """What was seen there is that person after all; how many negatives that were. As remove_negatives()."""
        if not sources:
            return 0
        with self._transaction() as db:
            removed = db.execute(
                "DELETE FROM negatives WHERE person_id = ? AND source IN (SELECT value FROM json_each(?)) RETURNING id",
                (person_id, json.dumps(sorted(sources))),
            ).fetchall()
            if removed:
                make_due(db, ERASED)
            for (number_,) in removed:
                details = {"negative": number_, "why": "said to be the person after all"}
                audit.append(db, self.actor, "negative_removed", person_id, details)
        if removed:
            self.empty_log()
        return len(removed)

    def drop_negatives(self, sources: Collection[str]) -> int:
        """What was seen there is not to be kept any more, whoever it is not; how many that were."""
        with self._transaction() as db:
            dropped = db.execute(
                "DELETE FROM negatives WHERE source IN (SELECT value FROM json_each(?)) RETURNING person_id",
                (json.dumps(sorted(sources)),),
            ).fetchall()
            if dropped:
                make_due(db, ERASED)
            for person_id in sorted({row[0] for row in dropped}):
                audit.append(db, self.actor, "negative_removed", person_id, {"why": "visit erased"})
        return len(dropped)

    # Spaces that came later.

    def count_negatives_without_template(self, space: str) -> int:
        """How many have no template in this space, and a chip of which one can be made."""
        return self._count(f"negatives WHERE {_LACKING}", space)

    def lacking(self, space: str) -> tuple[int, int]:
        """uncovered() people, and negatives that have no template in this space and could have one."""
        return self.uncovered(space), self.count_negatives_without_template(space)

    def negatives_without_template(self, space: str) -> Iterator[StoredPhoto]:
        """As photos_without_template(); add_negative_template() between is fine."""
        return self._pictures(_PICTURES, space, negative_chip_place, negative_landmarks_place)

    def add_negative_template(self, negative_id: int, space: str, signature: str, embedding: F32) -> bool:
        """Keep the (d,) float32 unit vector of one of them, made of its chip. False where it is gone, or has one.

        Raises EmbeddingSpaceMismatch.
        """
        template = NewTemplate(space, signature, embedding)
        with self._transaction() as db:
            owner = db.execute(
                "SELECT people.id, template_key FROM negatives JOIN people ON people.id = person_id "
                f"WHERE negatives.id = ? AND {_LACKING}",
                (negative_id, space),
            ).fetchone()
            if owner is None:
                return False
            faces = self._vault.template_cipher(*owner)
            insert_templates(db, negative_id, owner[0], faces, [template], time.time())
        return True


def no_negative(person_id: str, negative_id: int) -> NegativeNotFound:
    return NegativeNotFound(
        f"{person_id} has no negative {negative_id}; see whosthere people show {person_id} for the numbers"
    )
