"""The gallery's file opened: made in one piece, checked, brought up to date, with the vault that opens what is in it.

Blocks for disk I/O; called by PersonStore on whatever thread uses it.
"""

import glob
import logging
import sqlite3
from pathlib import Path

from gallery.errors import GalleryUnreadable, GalleryUnwritable, MasterKeyMissing
from gallery.keys.encryption import SealBroken
from gallery.keys.master_key import KeySource
from gallery.keys.vault import Vault
from gallery.storage.audit import append, seal
from gallery.storage.meta import KEY_ID, get_meta
from gallery.storage.migrations import bring_up_to_date
from gallery.storage.new_file import draft_of, put_in_place
from gallery.storage.schema import (
    BUSY_TIMEOUT_S,
    SCHEMA_VERSION,
    SEALED_SINCE,
    check_file,
    make_schema,
    seal_broken,
    translated,
    version_of,
)
from gallery.storage.vacuum import ENCRYPTED, is_due, vacuum
from recognition.whole_file import remove_left_over

log = logging.getLogger(__name__)


def open_database(path: Path, keys: KeySource | None, *, encrypt: bool, actor: str) -> tuple[sqlite3.Connection, Vault]:
    """The gallery of this file, made where there is none; only its owner may read it (biometric data).

    One of an older schema is brought to SCHEMA_VERSION; an older whosthere refuses it from then on. A plain one is
    encrypted where `encrypt` is set and there are keys, and vacuumed. Raises GalleryUnreadable, GalleryTooNew,
    GalleryUnwritable and MasterKeyError; a file that is refused is left as it is.
    """
    remove_left_over(path.parent, f"{glob.escape(path.name)}.????????.new*")  # of _create() and copies.backup.restore()
    if keys is not None:
        keys.remove_left_over()
    try:
        if not path.exists():
            _create(path, keys if encrypt else None, actor)
        if not path.is_file():
            raise GalleryUnreadable(f"gallery {path} is no file; check paths.data")
        if path.stat().st_size == 0:
            raise GalleryUnreadable(
                f"gallery {path} is empty (0 bytes); restore it from a backup, or delete it to begin anew"
            )
        logged = path.with_name(f"{path.name}-wal").exists()
    except OSError as error:
        raise _unusable(path, error) from None
    with translated(path):
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            check_file(db, path, logged=logged)
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA temp_store = MEMORY")
            vault = _prepared(db, path, keys, encrypt=encrypt, actor=actor)
        except OSError as error:
            db.close()
            raise _unusable(path, error) from None
        except SealBroken as broken:  # sealed, though the file says that it is plain
            db.close()
            raise seal_broken(path, broken) from None
        except BaseException:
            db.close()
            raise
    return db, vault


def vault_of(db: sqlite3.Connection, path: Path, keys: KeySource | None) -> Vault:
    """What opens this gallery. Raises MasterKeyError."""
    key_id = get_meta(db, KEY_ID) if version_of(db, path) >= SEALED_SINCE else None
    if key_id is None:
        return Vault(None)
    if keys is None:
        raise MasterKeyMissing(f"gallery {path} is encrypted under master key {key_id}; open it with that key")
    return Vault(keys.find(key_id))


def _prepared(db: sqlite3.Connection, path: Path, keys: KeySource | None, *, encrypt: bool, actor: str) -> Vault:
    while True:  # another process may be doing the same
        is_current = version_of(db, path) == SCHEMA_VERSION
        vault = vault_of(db, path, keys)
        sealing = keys if encrypt and vault.key_id is None else None
        if is_current and sealing is None:
            break
        vault = vault if sealing is None else Vault(sealing.for_new_store(path.parent))
        bring_up_to_date(db, path, vault, actor)
    if vault.key_id is None and _is_sealed(db):
        raise SealBroken("word for its key")
    if is_due(db, ENCRYPTED) and not vacuum(db, path):
        log.warning(
            "gallery %s is encrypted, and its file still holds pages of before: there is no room to write it anew, or "
            "it is being read; tried again the next time it is opened",
            path,
        )
    return vault


def _is_sealed(db: sqlite3.Connection) -> bool:
    """Whether there are people, and each has a key of their own."""
    (sealed,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM people) AND NOT EXISTS (SELECT 1 FROM people WHERE profile_key IS NULL)"
    ).fetchone()
    return bool(sealed)


def _create(path: Path, keys: KeySource | None, actor: str) -> None:
    """Make an empty gallery beside its place and link it in: who opens it meanwhile sees all or nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    vault = Vault(None if keys is None else keys.for_new_store(path.parent))
    with draft_of(path) as draft:
        with translated(path):
            db = sqlite3.connect(draft, isolation_level=None)
            try:
                make_schema(db, vault.key_id)
                append(db, actor, "made", details={"encrypted": vault.key_id is not None})
                seal(db, vault)
            finally:
                db.close()
        put_in_place(draft, path)  # where another process was first, its gallery is as good as ours


def _unusable(path: Path, error: OSError) -> GalleryUnwritable:
    return GalleryUnwritable(
        f"gallery {path} can't be used ({error.strerror}); free some room, let this user write its folder"
    )
