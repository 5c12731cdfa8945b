"""A file that is written whole or not at all: whoever reads sees the old one or the new one. Blocks for the disk.

What root writes is the folder's owner's: a command under sudo leaves nothing that the service's user can't read.
"""

import errno
import fcntl
import glob
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_LOOK_S = 0.02
_LEFT_OVER_AFTER_S = 3600.0


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
            give_to_the_folders_owner(file.fileno(), path.parent)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):  # a disk that can't be written refuses that, too
            part.unlink()
        raise


@contextmanager
def creating(path: Path) -> Iterator[Path]:
    """A new file, for its owner alone: the block fills the one that comes out, which is empty and lies beside `path`.

    It gets its name once the block has ended and all of it is on the disk, and is gone where that fails. Nothing is
    written over: raises FileExistsError, also where another process was faster, and OSError. What a process that was
    killed has left of the same file is removed, an hour later.
    """
    _refuse_existing(path)
    remove_left_over(path.parent, f".{glob.escape(path.name)}.*.new")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        with open(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "rb") as file:
            give_to_the_folders_owner(file.fileno(), path.parent)
            yield draft
            os.fsync(file.fileno())
        with folder_held(path.parent):
            if not named(draft, path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    finally:
        with suppress(OSError):  # a disk that can't be written refuses that, too
            draft.unlink()


@contextmanager
def folder_held(folder: Path) -> Iterator[None]:
    """Nobody else who asks so gives a name in this folder meanwhile, for moments alone; nothing lies there for it.

    Where a file system has no such locks it goes on without. Raises OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def named(draft: Path, path: Path) -> bool:
    """Give a whole file its name, also in the folder on the disk; False where something bears it: that stays.

    Called within folder_held(), since a file system without hard links can't refuse by itself. Raises OSError.
    """
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    except OSError:
        if os.path.lexists(path):
            return False
        draft.replace(path)
    sync_folder(path.parent)
    return True


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


def remove_left_over(folder: Path, pattern: str) -> None:
    """What killed processes have left of files that were to become whole: those of such a name, an hour later."""
    for left in folder.glob(pattern):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_OVER_AFTER_S:
                left.unlink()


@contextmanager
def creating_unseen(path: Path) -> Iterator[Path]:
    """The same for what is in clear, and may not be left lying about: until all of it is on the disk it has no name,
    and whoever kills this process leaves nothing. On a file system that has no such files: as creating().
    """
    _refuse_existing(path)
    try:
        descriptor = os.open(path.parent, os.O_RDWR | os.O_TMPFILE, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
        with creating(path) as draft:
            yield draft
        return
    nameless = Path(f"/proc/self/fd/{descriptor}")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        give_to_the_folders_owner(descriptor, path.parent)
        yield nameless
        os.fsync(descriptor)
        os.link(nameless, path.name, dst_dir_fd=folder)  # with a folder's descriptor it follows the link that this is
    finally:
        os.close(folder)
        os.close(descriptor)
    sync_folder(path.parent)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def sync_folder(folder: Path) -> None:
    """A name is on the disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # file systems that can't
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock_file(path: Path) -> int:
    try:
        made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        give_to_the_folders_owner(made, path.parent)
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


def give_to_the_folders_owner(descriptor: int, folder: Path) -> None:
    """What root makes in somebody's folder is theirs."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
