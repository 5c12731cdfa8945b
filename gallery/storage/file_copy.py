"""The gallery's file from outside: whether it is still the same one, and a copy of it in memory. Blocks."""

import sqlite3
from contextlib import closing
from pathlib import Path

from gallery.keys.master_key import KeySource
from gallery.keys.vault import Vault
from gallery.storage.migrations import bring_up_to_date
from gallery.storage.opening import vault_of
from gallery.storage.schema import BUSY_TIMEOUT_S, SCHEMA_VERSION, check_file, make_schema, translated

Identity = tuple[int, int, int, int]

_MAGIC, _VERSION_AT = b"SQLite format 3\0", slice(60, 64)  # SQLite's file format, 1.3: user_version, big-endian


def identity_of(path: Path) -> Identity | None:
    """Which file this is, and as of when: another one after it was replaced, written over, or its log carried over
    into it. None where there is none.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def schema_of(path: Path) -> int | None:
    """The version that a database's file says it has, without opening it as one; None where there is none."""
    try:
        with path.open("rb") as file:
            head = file.read(_VERSION_AT.stop)
    except OSError:
        return None
    is_database = len(head) == _VERSION_AT.stop and head.startswith(_MAGIC)
    return int.from_bytes(head[_VERSION_AT], "big") if is_database else None


def is_of_before(path: Path) -> bool:
    """Whether it is a gallery of an older schema, which opening it would bring up to date; False for what is none."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=BUSY_TIMEOUT_S, uri=True)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        return False
    return 0 < int(version) < SCHEMA_VERSION


def copy_in_memory(path: Path, keys: KeySource | None) -> tuple[sqlite3.Connection, Vault]:
    """What the gallery holds, to be read only; nobody where there is no file. Needs no room on the disk.

    One that is plain stays so: no key is made for it. Raises GalleryUnreadable, GalleryTooNew, MasterKeyError, and
    GalleryUnwritable where another process uses the file.
    """
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        if path.exists():
            with translated(path), closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as db:
                db.execute("PRAGMA locking_mode = EXCLUSIVE")  # no file beside it, for which there may be no room
                check_file(db, path, logged=True)
                db.backup(memory)
            bring_up_to_date(memory, path, vault_of(memory, path, keys), "nobody")
        else:
            make_schema(memory)
        vault = vault_of(memory, path, keys)
        memory.execute("PRAGMA query_only = ON")
    except BaseException:
        memory.close()
        raise
    return memory, vault
