"""Staging: files that get into the weights folder together or not at all. Blocks for the writes.

They are written to a folder of the same file system first and moved at the end: weights before the specs that name
them, so that even a power cut leaves no spec without its weights.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recognition.errors import WeightsFolderUnwritable


class Staging:
    """Made by staging() alone. Paths are relative to the weights folder."""

    def __init__(self, folder: Path, stage: Path) -> None:
        self.folder = folder
        self._stage = stage
        self._files: list[Path] = []

    def write(self, relative: Path | str, data: bytes) -> Path:
        """Write one file, to the disk itself; it is in place after commit()."""
        path = self._stage / "files" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._files.append(Path(relative))
        return path

    def scratch(self, relative: Path | str, data: bytes) -> Path:
        """Write a file that is only to be read back: commit() leaves it behind."""
        path = self._stage / "scratch" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def commit(self) -> None:
        """Move everything into place; if that fails, nothing new stays there."""
        moved: list[Path] = []
        try:
            for relative in sorted(self._files, key=lambda path: "specs" in path.parts):
                target = self.folder / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                new = not target.exists()
                os.replace(self._stage / "files" / relative, target)
                if new:
                    moved.append(target)
        except OSError:
            for target in moved:
                target.unlink(missing_ok=True)
            raise


@contextmanager
def staging(folder: Path) -> Iterator[Staging]:
    """A Staging for this weights folder; what was not committed is gone at the end. Raises WeightsFolderUnwritable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".import-", dir=folder))
        try:
            yield Staging(folder, stage)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise WeightsFolderUnwritable(
            f"weights folder {folder} can't be written ({error.strerror}); make room, or name another folder first "
            "in paths.models; nothing was changed"
        ) from None
