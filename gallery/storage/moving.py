"""All that is kept of one person, read from the gallery's rows in clear, and written as rows of a gallery.

Blocks; within PersonStore's lock or transaction. Who opens a blob may meet SealBroken.
"""

import sqlite3

from gallery.keys.vault import Vault, chip_place, landmarks_place, profile_place, template_place
from gallery.people import Profile
from gallery.portable import PortablePerson, PortablePhoto, PortableTemplate
from gallery.storage.admission import must_exist
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


def insert_person(db: sqlite3.Connection, vault: Vault, person: PortablePerson) -> None:
    """Somebody who comes from elsewhere, under new keys. Raises EmbeddingSpaceMismatch."""
    wrapped = insert_row(db, vault, person.id, person.profile, person.created_at)
    faces = vault.template_cipher(person.id, wrapped)
    for photo in person.photos:
        photo_id = db.execute(
            "INSERT INTO photos (person_id, chip, landmarks, quality, digest, added_at) VALUES (?, ?, ?, ?, ?, ?)",
            (
                person.id,
                None if photo.jpeg is None else faces.seal(photo.jpeg, chip_place(person.id, photo.digest)),
                faces.seal(packed(photo.landmarks), landmarks_place(person.id, photo.digest)),
                photo.quality,
                photo.digest,
                photo.added_at,
            ),
        ).lastrowid
        for template in photo.templates:
            row = template_row(db, photo_id or 0, person.id, faces, template, template.quality)
            db.execute(KEEP_FORMER, (*row, template.source, template.created_at))
