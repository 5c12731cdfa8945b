"""Faces of which somebody said that they are not a person, though they look like it, as rows of the gallery's file.

Sealed under the keys of the person whom they are not, and erased with that person. Blocks; within the caller's
transaction. Who opens a blob may meet SealBroken.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

from gallery.keys.encryption import Cipher
from gallery.keys.vault import Vault, negative_chip_place, negative_landmarks_place, negative_template_place
from gallery.people import NewNegative, NewTemplate
from gallery.storage.rows import check_size, opened_templates, packed, unpacked


def insert_negative(
    db: sqlite3.Connection, person_id: str, faces: Cipher, negative: NewNegative, at: float, *, keep_chip: bool = True
) -> bool:
    """False where one of this source is there: it gets templates of spaces that it lacks alone."""
    source, jpeg = negative.source, negative.jpeg if keep_chip else None
    find = "SELECT id FROM negatives WHERE person_id = ? AND source = ?"
    is_new = db.execute(find, (person_id, source)).fetchone() is None
    if is_new:
        db.execute(
            "INSERT INTO negatives (person_id, chip, landmarks, quality, source, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            (
                person_id,
                None if jpeg is None else faces.seal(jpeg, negative_chip_place(person_id, source)),
                faces.seal(packed(negative.landmarks), negative_landmarks_place(person_id, source)),
                negative.quality,
                source,
                at,
            ),
        )
    (key,) = db.execute(find, (person_id, source)).fetchone()
    there = {row[0] for row in db.execute("SELECT space FROM negative_templates WHERE negative_id = ?", (key,))}
    insert_templates(db, key, person_id, faces, [one for one in negative.templates if one.space not in there], at)
    return is_new


def insert_templates(
    db: sqlite3.Connection, key: int, person_id: str, faces: Cipher, templates: Iterable[NewTemplate], at: float
) -> None:
    for template in templates:
        space, dim = template.space, len(template.embedding)
        check_size(db, space, dim)
        sealed = faces.seal(packed(template.embedding), negative_template_place(person_id, space))
        db.execute(
            "INSERT INTO negative_templates (negative_id, person_id, space, dim, embedding, signature, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key, person_id, space, dim, sealed, template.signature, at),
        )


def drop_alike(
    db: sqlite3.Connection,
    vault: Vault,
    faces: Mapping[str, Sequence[bytes]],
    thresholds: Mapping[str, float],
    where: str,
    whose: str,
) -> int:
    """Erase the negatives that show somebody: one of these faces, packed, by space, in a space that has a threshold,
    from that cosine on. `where` is of the columns of negative_templates, `whose` its value. How many there were.

    What is of another size is not compared: galleries of before may have such.
    """
    alike: set[int] = set()
    for space in faces.keys() & thresholds.keys():
        rows = db.execute(
            "SELECT negative_id, person_id, CAST(embedding AS BLOB), CAST(template_key AS BLOB) FROM "
            f"negative_templates JOIN people ON people.id = person_id WHERE space = ? AND {where}",
            (space, whose),
        ).fetchall()
        opened = opened_templates(vault, space, rows, {}, negative_template_place)
        for size in {len(face) for face in faces[space]}:
            rows = [row for row in opened if len(row[2]) == size]
            shown = unpacked([face for face in faces[space] if len(face) == size])
            near = (unpacked([row[2] for row in rows]).reshape(-1, shown.shape[1]) @ shown.T).max(axis=1)
            alike.update(row[0] for row, cosine in zip(rows, near.tolist(), strict=True) if cosine >= thresholds[space])
    db.executemany("DELETE FROM negatives WHERE id = ?", ((key,) for key in alike))
    return len(alike)


def drop_who_shows(db: sqlite3.Connection, vault: Vault, person_id: str, thresholds: Mapping[str, float]) -> int:
    """Erase the negatives of others that show this person, by what opens of the person's templates: as drop_alike()."""
    faces = {}
    query = (
        "SELECT templates.id, person_id, CAST(embedding AS BLOB), CAST(template_key AS BLOB) FROM templates "
        "JOIN people ON people.id = person_id WHERE person_id = ? AND space = ?"
    )
    for (space,) in db.execute("SELECT DISTINCT space FROM templates WHERE person_id = ?", (person_id,)).fetchall():
        opened = opened_templates(vault, space, db.execute(query, (person_id, space)), {})
        faces[space] = [row[2] for row in opened]
    return drop_alike(db, vault, faces, thresholds, "person_id != ?", person_id)


def drop_sources(db: sqlite3.Connection, person_id: str, sources: Iterable[str]) -> None:
    """What was seen there is that person after all."""
    db.executemany(
        "DELETE FROM negatives WHERE person_id = ? AND source = ?", ((person_id, source) for source in sources)
    )


def reseal_negatives(db: sqlite3.Connection, whose: str, opening: Cipher, to: str, sealing: Cipher) -> None:
    """From one person's key to another key of theirs, or to another person's: of one source the latter's own stays.

    A row of templates gets a number that none had: who follows them by number sees it. Raises SealBroken.
    """

    def again(blob: bytes | None, place: Callable[[str, str], str], which: str) -> bytes | None:
        return None if blob is None else sealing.seal(opening.open(blob, place(whose, which)), place(to, which))

    for key, source in db.execute("SELECT id, source FROM negatives WHERE person_id = ?", (whose,)).fetchall():
        chip, landmarks = db.execute("SELECT chip, landmarks FROM negatives WHERE id = ?", (key,)).fetchone()
        moved = db.execute(
            "UPDATE OR IGNORE negatives SET person_id = ?, chip = ?, landmarks = ? WHERE id = ?",
            (to, again(chip, negative_chip_place, source), again(landmarks, negative_landmarks_place, source), key),
        ).rowcount
        if not moved:  # goes with its owner
            continue
        rows = db.execute(
            "SELECT id, negative_id, space, dim, embedding, signature, created_at FROM negative_templates "
            "WHERE negative_id = ? ORDER BY id",
            (key,),
        ).fetchall()
        for number_, negative_id, space, dim, embedding, signature, at in rows:
            sealed = again(embedding, negative_template_place, space)
            if whose == to:
                db.execute("UPDATE negative_templates SET embedding = ? WHERE id = ?", (sealed, number_))
                continue
            db.execute("DELETE FROM negative_templates WHERE id = ?", (number_,))
            db.execute(
                "INSERT INTO negative_templates (negative_id, person_id, space, dim, embedding, signature, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (negative_id, to, space, dim, sealed, signature, at),
            )
