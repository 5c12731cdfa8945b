"""Whether all that a gallery's database holds of people opens. Blocks, for as long as there is much."""

import sqlite3

from gallery.keys.encryption import Cipher, SealBroken
from gallery.keys.vault import (
    Vault,
    chip_place,
    landmarks_place,
    negative_chip_place,
    negative_landmarks_place,
    negative_template_place,
    profile_place,
    template_place,
)


def broken_seals(db: sqlite3.Connection, vault: Vault) -> dict[str, SealBroken]:
    """By the person's id what doesn't open, the first of each: AES-GCM tells a byte that was changed, which SQLite does
    not. Rows that are none of ours raise LookupError, TypeError, ValueError or sqlite3.Error.
    """
    ciphers: dict[str, Cipher] = {}
    broken: dict[str, SealBroken] = {}
    for person_id, profile_key, template_key, profile in db.execute(
        "SELECT id, profile_key, template_key, profile FROM people"
    ):
        try:
            vault.profile_cipher(person_id, profile_key).open(profile, profile_place(person_id))
            ciphers[person_id] = vault.template_cipher(person_id, template_key)
        except SealBroken as error:
            broken[person_id] = error

    def look(person_id: str, sealed: bytes, place: str) -> None:
        if person_id in broken:
            return
        try:
            ciphers[person_id].open(sealed, place)
        except SealBroken as error:
            broken[person_id] = error

    for pictures, chip_at, landmarks_at in (
        ("digest, chip, landmarks FROM photos", chip_place, landmarks_place),
        ("source, chip, landmarks FROM negatives", negative_chip_place, negative_landmarks_place),
    ):
        for person_id, which, chip, landmarks in db.execute(f"SELECT person_id, {pictures}"):
            look(person_id, landmarks, landmarks_at(person_id, which))
            if chip is not None:
                look(person_id, chip, chip_at(person_id, which))
    for table, place in (("templates", template_place), ("negative_templates", negative_template_place)):
        for person_id, space, embedding in db.execute(f"SELECT person_id, space, embedding FROM {table}"):
            look(person_id, embedding, place(person_id, space))
    return broken
