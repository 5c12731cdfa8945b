"""Zip files from outside: a path in, the names and bytes of their files out, within limits. Blocks for the reads.

Nothing is ever extracted under a name that the archive chose.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from recognition.errors import ArchiveInvalid, WeightsMissing

MAX_FILES = 200
MAX_FILE_BYTES = 1 << 30
MAX_BYTES = 3 << 30
# Weights hardly shrink; a file that grows a hundredfold is no network.
MAX_RATIO = 100


class Archive:
    """Made by open_archive() alone."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self.names = tuple(info.filename for info in archive.infolist() if not info.is_dir())

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises ArchiveInvalid where they are damaged."""
        try:
            return self._archive.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
            raise ArchiveInvalid(f"{self._path}: {name} in it is damaged; get the archive again") from None


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open and look through a zip file. Raises WeightsMissing (no such file) and ArchiveInvalid."""
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_unsafe(path, archive.infolist())
            yield Archive(path, archive)
    except FileNotFoundError:
        raise WeightsMissing(f"{path}: there is no such file; check the path") from None
    except zipfile.BadZipFile:
        raise ArchiveInvalid(f"{path} is no zip file, or is cut short; get it again") from None


def _refuse_unsafe(path: Path, files: list[zipfile.ZipInfo]) -> None:
    names = [file.filename for file in files]
    if len(names) > MAX_FILES or len(set(names)) != len(names):
        raise ArchiveInvalid(f"{path} holds {len(names)} files, or one name twice: it is no archive of weights")
    for file in files:
        parts = PurePosixPath(file.filename).parts
        if file.filename.startswith("/") or "\\" in file.filename or ".." in parts or ":" in file.filename:
            raise ArchiveInvalid(f"{path}: a file in it wants to be put outside ({file.filename!r}); don't trust it")
        if stat.S_ISLNK(file.external_attr >> 16):
            raise ArchiveInvalid(f"{path}: {file.filename} in it is a link; don't trust it")
        if file.flag_bits & 1:
            raise ArchiveInvalid(f"{path}: {file.filename} in it is encrypted; unpack and pack it again without")
        if file.file_size > MAX_FILE_BYTES or file.file_size > MAX_RATIO * max(file.compress_size, 1024):
            raise ArchiveInvalid(
                f"{path}: {file.filename} in it would unpack to {file.file_size} bytes; don't trust it"
            )
    if sum(file.file_size for file in files) > MAX_BYTES:
        raise ArchiveInvalid(f"{path} would unpack to more than {MAX_BYTES >> 30} GiB; don't trust it")
