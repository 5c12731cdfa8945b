"""A file that is written whole or not at all: whoever reads sees the old one or the new one. Blocks for the disk.

What root writes is the folder's owner's: a command under sudo leaves nothing that the service's user can't read.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_LOOK_S = 0.02


class HeldByAnother(Exception):
    """Another command has the lock, for longer than was to be waited."""


@contextmanager
def replacing(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file to write, on the disk itself and in the place of `path` once the block has ended; else all is as before.

    `mode`: for its owner alone, unless told otherwise. Raises OSError.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)  # nothing that somebody else put there is followed, or given away
    try:
        with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode), "w+b") as file:
            _give_to_the_folders_owner(file.fileno(), path.parent)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):  # a disk that can't be written refuses that, too
            part.unlink()
        raise


@contextmanager
def held_alone(path: Path, *, within_s: float | None = None) -> Iterator[None]:
    """Nobody else who asks so changes the file meanwhile, in this process or another; the lock lies beside it.

    Raises HeldByAnother where it is not free within that time (None: however long it takes), and OSError.
    """
    lock = _lock_file(path.with_name(f"{path.name}.lock"))
    try:
        give_up_s = None if within_s is None else time.monotonic() + within_s
        while not _locked(lock, waits=give_up_s is None):
            if give_up_s is not None and time.monotonic() > give_up_s:
                raise HeldByAnother
            time.sleep(_LOOK_S)
        yield
    finally:
        os.close(lock)


def _lock_file(path: Path) -> int:
    try:
        made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _give_to_the_folders_owner(made, path.parent)
    except BaseException:
        os.close(made)
        raise
    return made


def _locked(descriptor: int, *, waits: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _give_to_the_folders_owner(descriptor: int, folder: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
