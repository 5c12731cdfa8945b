"""All that is kept of one person, read from the gallery's rows in clear, and written as rows, of another person, too.

Blocks; within PersonStore's lock or transaction. Who opens a blob may meet SealBroken.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from gallery.keys.encryption import Cipher
from gallery.keys.vault import Vault, chip_place, landmarks_place, profile_place, template_place
from gallery.people import Profile
from gallery.portable import PortablePerson, PortablePhoto, PortableTemplate
from gallery.storage.admission import must_exist
from gallery.storage.negatives import drop_alike, reseal_negatives
from gallery.storage.rows import (
    KEEP_FORMER,
    moment,
    number,
    packed,
    packed_profile,
    profile_from,
    template_row,
    unpacked,
)


def read_person(db: sqlite3.Connection, vault: Vault, person_id: str) -> PortablePerson:
    """Raises PersonNotFound and SealBroken."""
    created_at, wrapped, faces_wrapped, sealed = must_exist(
        db, person_id, "created_at, profile_key, template_key, profile"
    )
    profile = profile_from(vault.profile_cipher(person_id, wrapped).open(sealed, profile_place(person_id)), person_id)
    faces = vault.template_cipher(person_id, faces_wrapped)
    made: dict[int, list[PortableTemplate]] = {}
    for photo_id, space, embedding, quality, signature, source, at in db.execute(
        "SELECT photo_id, space, embedding, quality, signature, source, created_at FROM templates "
        "WHERE person_id = ? ORDER BY id",
        (person_id,),
    ):
        (vector,) = unpacked([faces.open(embedding, template_place(person_id, space))])
        about = template_place(person_id, space)
        made.setdefault(photo_id, []).append(
            PortableTemplate(space, signature, vector, number(quality, about), source, moment(at, about))
        )
    photos = []
    for photo_id, chip, landmarks, quality, digest, added_at in db.execute(
        "SELECT id, chip, landmarks, quality, digest, added_at FROM photos WHERE person_id = ? ORDER BY id",
        (person_id,),
    ):
        jpeg = None if chip is None else faces.open(chip, chip_place(person_id, digest))
        (points,) = unpacked([faces.open(landmarks, landmarks_place(person_id, digest))])
        photos.append(
            PortablePhoto(
                jpeg,
                points.reshape(5, 2),
                number(quality, f"quality of photo {photo_id} of {person_id}"),
                digest,
                moment(added_at, f"time of photo {photo_id} of {person_id}"),
                tuple(made.get(photo_id, ())),
            )
        )
    return PortablePerson(person_id, profile, moment(created_at, f"time of enrolment of {person_id}"), tuple(photos))


def insert_row(
    db: sqlite3.Connection, vault: Vault, person_id: str, profile: Profile, created_at: float
) -> bytes | None:
    """A new person's row, under keys of their own; the wrapped one of their faces."""
    keys = vault.new_keys(person_id)
    sealed = vault.profile_cipher(person_id, keys.profile).seal(packed_profile(profile), profile_place(person_id))
    tags = vault.name_tag(profile.name), vault.external_tag(profile.external_id)
    db.execute("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?)", (person_id, created_at, *tags, *keys, sealed))
    return keys.template


def update_row(db: sqlite3.Connection, vault: Vault, person_id: str, wrapped: bytes | None, profile: Profile) -> None:
    """Something else is said of a person, whose wrapped key this is."""
    sealed = vault.profile_cipher(person_id, wrapped).seal(packed_profile(profile), profile_place(person_id))
    tags = vault.name_tag(profile.name), vault.external_tag(profile.external_id)
    db.execute("UPDATE people SET name_tag = ?, external_tag = ?, profile = ? WHERE id = ?", (*tags, sealed, person_id))


def insert_person(db: sqlite3.Connection, vault: Vault, person: PortablePerson) -> None:
    """Somebody who comes from elsewhere, under new keys. Raises EmbeddingSpaceMismatch."""
    wrapped = insert_row(db, vault, person.id, person.profile, person.created_at)
    _insert_photos(db, person.id, vault.template_cipher(person.id, wrapped), person.photos)


def _insert_photos(db: sqlite3.Connection, person_id: str, faces: Cipher, photos: Iterable[PortablePhoto]) -> int:
    """A photo that is there gets the templates of spaces that it lacks. How many were not there."""
    added = 0
    for photo in photos:
        added += db.execute(
            "INSERT INTO photos (person_id, chip, landmarks, quality, digest, added_at) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (person_id, digest) DO NOTHING",
            (
                person_id,
                None if photo.jpeg is None else faces.seal(photo.jpeg, chip_place(person_id, photo.digest)),
                faces.seal(packed(photo.landmarks), landmarks_place(person_id, photo.digest)),
                photo.quality,
                photo.digest,
                photo.added_at,
            ),
        ).rowcount
        (photo_id,) = db.execute(
            "SELECT id FROM photos WHERE person_id = ? AND digest = ?", (person_id, photo.digest)
        ).fetchone()
        for template in photo.templates:
            row = template_row(db, photo_id, person_id, faces, template, template.quality)
            db.execute(KEEP_FORMER, (*row, template.source, template.created_at))
    return added


def merge_faces(
    db: sqlite3.Connection, vault: Vault, person_id: str, into_id: str, thresholds: Mapping[str, float]
) -> tuple[int, int]:
    """The photos and negatives of one person become another's; then the first one's row may go.

    Negatives of either that show the other, by space from a cosine of `thresholds` on, were wrong: they are erased. How
    many photos came, and how many negatives were erased. Raises PersonNotFound and EmbeddingSpaceMismatch.
    """
    person, into = read_person(db, vault, person_id), read_person(db, vault, into_id)
    wrong = sum(
        drop_alike(db, vault, faces_of(shown), thresholds, "negative_templates.person_id = ?", whose.id)
        for shown, whose in ((person, into), (into, person))
    )
    opening, sealing = (
        vault.template_cipher(one, *must_exist(db, one, "template_key")) for one in (person_id, into_id)
    )
    added = _insert_photos(db, into_id, sealing, person.photos)
    reseal_negatives(db, person_id, opening, into_id, sealing)
    return added, wrong


def split_photos(
    db: sqlite3.Connection, vault: Vault, person_id: str, photo_ids: Collection[int], anew: PortablePerson
) -> None:
    """These photos of a person, and what was made of them, become those of a new one. Raises PersonNotFound."""
    ids = [row[0] for row in db.execute("SELECT id FROM photos WHERE person_id = ? ORDER BY id", (person_id,))]
    photos = read_person(db, vault, person_id).photos
    moved = tuple(photo for key, photo in zip(ids, photos, strict=True) if key in photo_ids)
    db.executemany("DELETE FROM photos WHERE id = ?", ((key,) for key in photo_ids))
    insert_person(db, vault, replace(anew, photos=moved))


def faces_of(person: PortablePerson) -> dict[str, list[bytes]]:
    """By space, the person's templates, packed."""
    found: dict[str, list[bytes]] = {}
    for photo in person.photos:
        for template in photo.templates:
            found.setdefault(template.space, []).append(packed(template.embedding))
    return found
