"""What was erased leaves the file: pages written anew, the log emptied. Blocks, for as long as the file is large.

What a disk keeps of blocks that were given back is beyond SQLite.
"""

import secrets
import sqlite3
from pathlib import Path

from gallery.errors import GalleryUnwritable
from gallery.storage.meta import get_meta, set_meta
from gallery.storage.schema import BUSY_TIMEOUT_S, transaction, translated

_DUE = "vacuum_due"  # why, and a number drawn each time: whoever is done sees whether it is due again
# Why: the whole gallery was written anew (done when it is opened next), or somebody was erased (done by who erases).
ENCRYPTED, ERASED = "encrypted", "erased"
_IN_MEMORY_BYTES = 256 << 20  # a file that is larger is written to the system's temporary folder meanwhile


def make_due(db: sqlite3.Connection, why: str) -> None:
    """Note it, in the transaction that makes it so. Where the whole is to be written anew, that stays the reason."""
    why = ENCRYPTED if is_due(db, ENCRYPTED) else why
    set_meta(db, _DUE, f"{why} {secrets.token_hex(8)}")


def is_due(db: sqlite3.Connection, why: str = "") -> bool:
    """Whether it is, or is for this reason."""
    due = get_meta(db, _DUE)
    return due is not None and due.startswith(why)


def empty_log(db: sqlite3.Connection, within_s: float = BUSY_TIMEOUT_S) -> bool:
    """Carry the log over into the file and empty it; False where somebody reads what it holds for so long."""
    db.execute(f"PRAGMA busy_timeout = {round(within_s * 1000)}")
    try:
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")
    return not busy


def vacuum(db: sqlite3.Connection, path: Path) -> bool:
    """Write the file anew. False where there is no room, or somebody reads or writes for too long: it stays due.

    So it does where somebody else has made it due meanwhile.
    """
    try:
        with translated(path):
            before = get_meta(db, _DUE)
            store = "MEMORY" if path.stat().st_size <= _IN_MEMORY_BYTES else "FILE"
            db.execute(f"PRAGMA temp_store = {store}")
            try:
                db.execute("VACUUM")
            finally:
                db.execute("PRAGMA temp_store = MEMORY")
            if not empty_log(db):
                return False
            with transaction(db):
                if get_meta(db, _DUE) != before:
                    return False
                set_meta(db, _DUE, None)
            return empty_log(db)
    except (GalleryUnwritable, OSError):  # OSError: it is gone from its place, or can't be looked at
        return False
