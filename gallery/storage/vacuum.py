"""What was erased leaves the file: pages written anew, the log emptied. Blocks, for as long as the file is large.

What a disk keeps of blocks that were given back is beyond SQLite.
"""

import sqlite3
from pathlib import Path

from gallery.errors import GalleryUnwritable
from gallery.storage.meta import set_meta
from gallery.storage.schema import BUSY_TIMEOUT_S, transaction, translated

VACUUM_DUE = "vacuum_due"
# Why: the whole gallery was written anew (done when it is opened next), or somebody was erased (done by who erases).
ENCRYPTED, ERASED = "encrypted", "erased"
_IN_MEMORY_BYTES = 256 << 20  # a file that is larger is written to the system's temporary folder meanwhile


def empty_log(db: sqlite3.Connection, within_s: float = BUSY_TIMEOUT_S) -> bool:
    """Carry the log over into the file and empty it; False where somebody reads what it holds for so long."""
    db.execute(f"PRAGMA busy_timeout = {round(within_s * 1000)}")
    try:
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")
    return not busy


def vacuum(db: sqlite3.Connection, path: Path) -> bool:
    """Write the file anew. False where there is no room, or somebody reads or writes for too long: it stays due."""
    try:
        with translated(path):
            store = "MEMORY" if path.stat().st_size <= _IN_MEMORY_BYTES else "FILE"
            db.execute(f"PRAGMA temp_store = {store}")
            try:
                db.execute("VACUUM")
            finally:
                db.execute("PRAGMA temp_store = MEMORY")
            if not empty_log(db):
                return False
            with transaction(db):
                set_meta(db, VACUUM_DUE, None)
            return empty_log(db)
    except (GalleryUnwritable, OSError):  # OSError: it is gone from its place, or can't be looked at
        return False
