"""Zip files from outside: a path in, the names and bytes of their files out, within limits. Blocks for the reads.

Nothing is ever extracted under a name that the archive chose.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from recognition.errors import ArchiveInvalid, CodedError, WeightsMissing


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive of `content` may hold at most, unpacked; no file may grow more than `ratio`-fold."""

    content: str
    files: int
    file_bytes: int
    total_bytes: int
    ratio: int


# Weights hardly shrink; a file that grows a hundredfold is no network.
WEIGHTS = Limits("weights", files=200, file_bytes=1 << 30, total_bytes=3 << 30, ratio=100)


class Archive:
    """Made by open_archive() alone."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self.names = tuple(info.filename for info in archive.infolist() if not info.is_dir())

    def size_of(self, name: str) -> int:
        """How many bytes a file says that it has. Raises KeyError."""
        return self._archive.getinfo(name).file_size

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises ArchiveInvalid where they are damaged, and KeyError."""
        try:
            return self._archive.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
            raise ArchiveInvalid(f"{self._path}: {name} in it is damaged; get the archive again") from None


@contextmanager
def open_archive(
    path: Path, limits: Limits | None = None, missing: type[CodedError] = WeightsMissing, file: BinaryIO | None = None
) -> Iterator[Archive]:
    """Open and look through a zip file; limits None: those of weights. `file`: it is open, and only called `path`.

    Raises `missing` (no such file, or one that may not be read) and ArchiveInvalid.
    """
    try:
        archive = zipfile.ZipFile(path if file is None else file)
    except FileNotFoundError:
        raise missing(f"{path}: there is no such file; check the path") from None
    except OSError as error:
        raise missing(f"{path} can't be read ({error.strerror}); check the path") from None
    except (zipfile.BadZipFile, NotImplementedError):
        raise ArchiveInvalid(f"{path} is no zip file, or is cut short; get it again") from None
    with archive:
        _refuse_unsafe(path, archive.infolist(), limits or WEIGHTS)
        yield Archive(path, archive)


def _refuse_unsafe(path: Path, files: list[zipfile.ZipInfo], limits: Limits) -> None:
    names = [file.filename for file in files]
    if len(names) > limits.files or len(set(names)) != len(names):
        raise ArchiveInvalid(
            f"{path} holds {len(names)} files, or one name twice: it is no archive of {limits.content}"
        )
    for file in files:
        parts = PurePosixPath(file.filename).parts
        if file.filename.startswith("/") or "\\" in file.filename or ".." in parts or ":" in file.filename:
            raise ArchiveInvalid(f"{path}: a file in it wants to be put outside ({file.filename!r}); don't trust it")
        if stat.S_ISLNK(file.external_attr >> 16):
            raise ArchiveInvalid(f"{path}: {file.filename} in it is a link; don't trust it")
        if file.flag_bits & 1:
            raise ArchiveInvalid(f"{path}: {file.filename} in it is encrypted; unpack and pack it again without")
        if file.file_size > limits.file_bytes or file.file_size > limits.ratio * max(file.compress_size, 1024):
            raise ArchiveInvalid(
                f"{path}: {file.filename} in it would unpack to {file.file_size} bytes; don't trust it"
            )
    if sum(file.file_size for file in files) > limits.total_bytes:
        raise ArchiveInvalid(f"{path} would unpack to more than {limits.total_bytes >> 20} MiB; don't trust it")
