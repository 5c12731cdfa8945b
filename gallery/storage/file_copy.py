"""The gallery's file from outside: whether it is still the same one, and a copy of it in memory. Blocks."""

import sqlite3
from contextlib import closing
from pathlib import Path

from gallery.storage.schema import BUSY_TIMEOUT_S, check_file, make_schema, migrate, translated

Identity = tuple[int, int, int, int]


def identity_of(path: Path) -> Identity | None:
    """Which file this is, and as of when: another one after it was replaced, written over, or its log carried over
    into it. None where there is none.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def copy_in_memory(path: Path) -> sqlite3.Connection:
    """What the gallery holds, to be read only; nobody where there is no file. Needs no room on the disk.

    Raises GalleryUnreadable, GalleryTooNew, and GalleryUnwritable where another process uses the file.
    """
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        if path.exists():
            with translated(path), closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as db:
                db.execute("PRAGMA locking_mode = EXCLUSIVE")  # no file beside it, for which there may be no room
                check_file(db, path, logged=True)
                db.backup(memory)
            migrate(memory, path)
        else:
            make_schema(memory)
        memory.execute("PRAGMA query_only = ON")
    except BaseException:
        memory.close()
        raise
    return memory
