"""A new SQLite file: made beside its place, and put there whole, where a former one's log may lie.

Blocks for disk I/O.
"""

import errno
import fcntl
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recognition.whole_file import folder_held, give_to_the_folders_owner, named

LOGS, INDEX = ("-wal", "-journal"), "-shm"
_HELD_BYTE = 128  # of the index: SQLite holds it as long as it has the file open


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, for the folder's owner alone. It is gone after the block, unless it was put in its
    place, with whatever SQLite had beside it. Raises OSError.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            give_to_the_folders_owner(descriptor, path.parent)
        finally:
            os.close(descriptor)
        yield draft
    finally:
        for left in path.parent.glob(f"{glob.escape(draft.name)}*"):
            left.unlink(missing_ok=True)


def put_in_place(draft: Path, path: Path) -> None:
    """Where nothing is; a file that another process has put there stays.

    SQLite would lay the log of a file that is gone over the new one: it goes. Raises OSError, also where somebody has
    the file that is gone open still, and where the draft is not whole.
    """
    check_whole(draft)
    with folder_held(path.parent):
        if os.path.lexists(path):
            return
        _remove_log_of_former(path)
        named(draft, path)


def check_whole(draft: Path) -> None:
    """Of a draft that SQLite has closed: that all of it is in the file itself. Closing tells nobody where there was no
    room to carry the log over, and a file without its log is a damaged one. Raises OSError.
    """
    log = draft.with_name(draft.name + LOGS[0])
    if log.exists() and log.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _remove_log_of_former(path: Path) -> None:
    index = path.with_name(path.name + INDEX)
    if _is_open(index):
        raise OSError(errno.EBUSY, "it is gone, and another process has it open still: end that one, or put it back")
    for left in (*(path.with_name(path.name + end) for end in LOGS), index):
        left.unlink(missing_ok=True)


def _is_open(index: Path) -> bool:
    with suppress(FileNotFoundError), index.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _HELD_BYTE)
        except (BlockingIOError, PermissionError):
            return True
    return False
