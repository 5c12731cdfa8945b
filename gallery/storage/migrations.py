"""From the schema of any released version to today's, and from a plain gallery to an encrypted one: one transaction.

Blocks for disk I/O; nothing is changed where any of it fails.
"""

import sqlite3
from pathlib import Path

from gallery.keys.vault import PLAIN, Vault
from gallery.people import Profile
from gallery.storage.audit import append, is_sealed, seal
from gallery.storage.meta import KEY_ID, get_meta
from gallery.storage.resealing import reseal
from gallery.storage.rows import packed_profile
from gallery.storage.schema import SCHEMA_VERSION, SEALED_SINCE, SINCE_4, TABLES_OF_3, transaction, version_of
from gallery.storage.vacuum import ENCRYPTED, make_due


def bring_up_to_date(db: sqlite3.Connection, path: Path, vault: Vault, actor: str) -> None:
    """Bring the file to SCHEMA_VERSION, and a plain one under the vault's key where that has one; of one that is
    encrypted it is the vault.

    Does nothing where another process has done it. The file holds pages of before until it is vacuumed, which is noted
    in it. Raises GalleryTooNew.
    """
    with transaction(db):
        version = version_of(db, path)
        was_sealed = SEALED_SINCE <= version < SCHEMA_VERSION and is_sealed(db, vault)
        for former in range(version, SCHEMA_VERSION):
            _STEPS[former](db)
        if version < SCHEMA_VERSION:
            append(db, actor, "upgraded", details={"from_schema": version, "to_schema": SCHEMA_VERSION})
            make_due(db, ENCRYPTED)
        if vault.key_id is not None and get_meta(db, KEY_ID) is None:
            reseal(db, Vault(None), vault)
            append(db, actor, "encrypted", details={"key": vault.key_id})
            seal(db, vault)
            make_due(db, ENCRYPTED)
        elif was_sealed:
            seal(db, vault)
        if version < SCHEMA_VERSION:
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _to_2(db: sqlite3.Connection) -> None:
    """What made a template of version 1 is not known: ''."""
    db.execute("ALTER TABLE templates ADD COLUMN signature TEXT NOT NULL DEFAULT ''")


def _to_3(db: sqlite3.Connection) -> None:
    """Blobs, still plain, say so; names become profiles. A template is as old as its photo, more is not known."""
    db.create_function("plain", 1, lambda blob: PLAIN.seal(blob, ""), deterministic=True)
    db.create_function("plain_tag", 1, Vault(None).name_tag, deterministic=True)
    db.create_function("plain_profile", 1, lambda name: PLAIN.seal(packed_profile(Profile(name)), ""))
    tables = ("templates", "photos", "people")
    for index in ("people_by_name", "templates_by_space", "templates_by_person"):
        db.execute(f"DROP INDEX {index}")
    for table in tables:
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_2")
    for statement in TABLES_OF_3:
        db.execute(statement)
    db.execute(
        "INSERT INTO people SELECT id, created_at, plain_tag(name), NULL, NULL, NULL, plain_profile(name) FROM people_2"
    )
    db.execute(
        "INSERT INTO photos SELECT id, person_id, plain(chip), plain(landmarks), quality, digest, added_at "
        "FROM photos_2"
    )
    db.execute(
        "INSERT INTO templates SELECT templates_2.id, photo_id, templates_2.person_id, space, length(embedding) / 4, "
        "plain(embedding), templates_2.quality, signature, '', added_at FROM templates_2 JOIN photos_2 "
        "ON photos_2.id = photo_id"
    )
    for table in tables:  # the numbers that were given away, too, of rows that are gone
        db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        db.execute("UPDATE sqlite_sequence SET name = ? WHERE name = ?", (table, f"{table}_2"))
        db.execute(f"DROP TABLE {table}_2")
    for function in ("plain", "plain_tag", "plain_profile"):
        db.create_function(function, 1, None)


def _to_4(db: sqlite3.Connection) -> None:
    """Nobody has said of a face that it is not somebody's, and nobody was merged."""
    for statement in SINCE_4:
        db.execute(statement)
    # The first galleries of schema 3 were made before erasures could be cut off.
    if "unfinished" not in {row[1] for row in db.execute("PRAGMA table_info(forgotten)")}:
        db.execute("ALTER TABLE forgotten ADD COLUMN unfinished INTEGER NOT NULL DEFAULT 0")


_STEPS = {1: _to_2, 2: _to_3, 3: _to_4}
