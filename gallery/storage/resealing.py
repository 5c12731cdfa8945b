"""From one vault to another: keys wrapped anew, or, where one of the two is plain, everything sealed or opened.

Within the caller's transaction; blocks, seconds for 100k people.
"""

import secrets
import sqlite3

from gallery.keys.encryption import SealBroken
from gallery.keys.vault import PersonKeys, Vault, chip_place, landmarks_place, profile_place, template_place
from gallery.storage import audit
from gallery.storage.meta import KEY_ID, reseal_calibrations, set_meta
from gallery.storage.negatives import reseal_negatives
from gallery.storage.rows import profile_from


def reseal(db: sqlite3.Connection, former: Vault, vault: Vault) -> None:
    """All people, with their tags, calibrations, the file's own word for its key, and for the end of a whole audit log.

    Raises SealBroken where keys don't open, and on the way to or from a plain gallery anything: what can't be opened
    would be lost.
    """
    was_sealed = audit.is_sealed(db, former)
    if former.key_id is not None and vault.key_id is not None:
        _rewrap(db, former, vault)
    else:
        _reseal(db, former, vault)
    reseal_calibrations(db, former, vault)
    set_meta(db, KEY_ID, vault.key_id)
    if was_sealed:
        audit.seal(db, vault)


def _people(db: sqlite3.Connection) -> list[tuple[str, PersonKeys, bytes]]:
    rows = db.execute(
        "SELECT id, CAST(profile_key AS BLOB), CAST(template_key AS BLOB), CAST(profile AS BLOB) FROM people"
    ).fetchall()
    return [(person_id, PersonKeys(*keys), profile) for person_id, *keys, profile in rows]


def _rewrap(db: sqlite3.Connection, former: Vault, vault: Vault) -> None:
    """What the keys seal stays as it is."""
    rows = []
    for person_id, keys, sealed in _people(db):
        wrapped = vault.rewrapped(person_id, keys, former)
        try:
            plain = former.profile_cipher(person_id, keys.profile).open(sealed, profile_place(person_id))
        except SealBroken:  # stays as it is, and goes on being told
            plain = b""
        rows.append((*_tags(vault, plain, person_id), *wrapped, person_id))
    db.executemany(
        "UPDATE people SET name_tag = ?, external_tag = ?, profile_key = ?, template_key = ? WHERE id = ?", rows
    )


def _reseal(db: sqlite3.Connection, former: Vault, vault: Vault) -> None:
    people = _people(db)
    for person_id, keys, sealed in people:
        old = former.profile_cipher(person_id, keys.profile)
        fresh = vault.new_keys(person_id)
        plain = old.open(sealed, profile_place(person_id))
        db.execute(
            "UPDATE people SET name_tag = ?, external_tag = ?, profile_key = ?, template_key = ?, profile = ? "
            "WHERE id = ?",
            (
                *_tags(vault, plain, person_id),
                *fresh,
                vault.profile_cipher(person_id, fresh.profile).seal(plain, profile_place(person_id)),
                person_id,
            ),
        )
        _reseal_faces(db, person_id, (former, keys), (vault, fresh))


def _tags(vault: Vault, packed: bytes, person_id: str) -> tuple[bytes, bytes | None]:
    """Of a profile; where that is none any more, tags that no name has."""
    try:
        profile = profile_from(packed, person_id)
    except SealBroken:
        return secrets.token_bytes(32), None
    return vault.name_tag(profile.name), vault.external_tag(profile.external_id)


def _reseal_faces(
    db: sqlite3.Connection, person_id: str, old: tuple[Vault, PersonKeys], new: tuple[Vault, PersonKeys]
) -> None:
    (former, keys), (vault, fresh) = old, new
    opening = former.template_cipher(person_id, keys.template)
    sealing = vault.template_cipher(person_id, fresh.template)

    def again(blob: bytes | None, place: str) -> bytes | None:
        return None if blob is None else sealing.seal(opening.open(blob, place), place)

    photos = db.execute("SELECT id, digest FROM photos WHERE person_id = ?", (person_id,)).fetchall()
    for photo_id, digest in photos:
        chip, landmarks = db.execute("SELECT chip, landmarks FROM photos WHERE id = ?", (photo_id,)).fetchone()
        db.execute(
            "UPDATE photos SET chip = ?, landmarks = ? WHERE id = ?",
            (
                again(chip, chip_place(person_id, digest)),
                again(landmarks, landmarks_place(person_id, digest)),
                photo_id,
            ),
        )
    templates = db.execute("SELECT id, space, embedding FROM templates WHERE person_id = ?", (person_id,)).fetchall()
    db.executemany(
        "UPDATE templates SET embedding = ? WHERE id = ?",
        [(again(blob, template_place(person_id, space)), number) for number, space, blob in templates],
    )
    reseal_negatives(db, person_id, opening, person_id, sealing)
