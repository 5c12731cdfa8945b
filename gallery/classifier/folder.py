"""The folder of a classifier's files: all of one run or, while a new one comes, all of the one before. Blocks for disk.

A run lies whole beside its files' places before it takes them one by one; until it has, readers get it from there.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gallery.classifier.errors import ClassifierDamaged, ClassifierMissing, ClassifierStale
from gallery.errors import TargetUnwritable
from recognition.whole_file import folder_held, replacing, sync_folder

CLASSIFIER, PEOPLE, CONFIG, METRICS, VERSION = FILES = (
    "classifier.pkl",
    "person_id_mapping.json",
    "embedding_config.json",
    "metrics.json",
    "version.txt",
)
STALE = "classifier.stale"
_WHOLE = ".classifier-whole"
_MOST_BYTES = 2**31


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put a run's files in the place of those before. Raises TargetUnwritable: nothing has changed then, or all."""
    made = not folder.exists()
    draft = folder / f".classifier-{secrets.token_hex(4)}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_drafts(folder, older_than_s=3600.0)
        try:
            draft.mkdir(mode=0o700)
            for name in FILES:
                with replacing(draft / name) as file:
                    file.write(files[name])
            sync_folder(draft)
            with folder_held(folder):
                _settle(folder)
                draft.rename(folder / _WHOLE)
                sync_folder(folder)
                _settle(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        if made:
            with suppress(OSError):
                folder.rmdir()
        raise TargetUnwritable(
            f"classifier folder {folder} can't be written ({error.strerror}); make room there or give another --out"
        ) from None


def read(folder: Path) -> dict[str, bytes]:
    """All five, by name, in bytes. Raises ClassifierMissing, ClassifierStale."""
    whole = folder / _WHOLE
    try:
        with suppress(FileNotFoundError):
            return _all_of(whole)
        if (folder / STALE).exists():
            raise ClassifierStale(
                f"classifier {folder} knew somebody who was forgotten since, and is not used; run: whosthere train"
            )
        return _all_of(folder)
    except FileNotFoundError as error:
        raise ClassifierMissing(
            f"classifier {folder} has no {Path(str(error.filename)).name}; run: whosthere train"
        ) from None
    except OSError as error:
        raise ClassifierMissing(
            f"classifier {folder} can't be read ({error.strerror}); let this user read it"
        ) from None


def stamp(folder: Path) -> tuple[object, ...]:
    """Changes whenever what read() gives may have."""
    found = []
    for path in (folder / _WHOLE, folder / STALE, *(folder / name for name in FILES)):
        try:
            seen = path.stat()
            found.append((seen.st_ino, seen.st_mtime_ns, seen.st_size))
        except OSError:
            found.append((0, 0, 0))
    return tuple(found)


def people_of(folder: Path) -> frozenset[str]:
    """Whom the folder's classifier knows, by the ids that it was trained with.

    Raises ClassifierMissing, ClassifierStale, ClassifierDamaged.
    """
    try:
        return frozenset(str(person) for person in json.loads(read(folder)[PEOPLE]).values())
    except (AttributeError, ValueError):
        raise ClassifierDamaged(f"classifier {folder}: {PEOPLE} can't be understood; train anew") from None


def has_faces(folder: Path) -> bool:
    """Whether something made of people's faces, or who they are, is there, though it may be no whole classifier."""
    return any((folder / name).exists() for name in (CLASSIFIER, PEOPLE, _WHOLE))


def erase_drafts(folder: Path) -> None:
    """What trainings have left that were killed."""
    _remove_drafts(folder, older_than_s=0.0)


def make_stale(folder: Path) -> None:
    """Nobody uses it from now on; what is made of people's faces, and who they are, is deleted. Raises OSError."""
    with folder_held(folder):
        try:
            _settle(folder)
        except FileNotFoundError:  # of the run that lies whole somebody has taken a part
            (folder / _WHOLE).rename(folder / f".classifier-{secrets.token_hex(4)}.old")
        _remove_drafts(folder, older_than_s=0.0)
        with replacing(folder / STALE) as file:
            file.write(b"somebody whom this classifier knew was forgotten; train anew\n")
        for name in (CLASSIFIER, PEOPLE):
            (folder / name).unlink(missing_ok=True)
        sync_folder(folder)


def _settle(folder: Path) -> None:
    """Give the run that lies whole its place, if there is one."""
    whole = folder / _WHOLE
    if not whole.is_dir():
        return
    for name in FILES:
        with replacing(folder / name) as file:
            file.write((whole / name).read_bytes())
    (folder / STALE).unlink(missing_ok=True)
    sync_folder(folder)
    old = folder / f".classifier-{secrets.token_hex(4)}.old"
    os.rename(whole, old)
    shutil.rmtree(old, ignore_errors=True)


def _remove_drafts(folder: Path, older_than_s: float) -> None:
    """What trainings that were killed have left of people's faces; with 0 that of one that writes now, too."""
    for left in folder.glob(".classifier-*.*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime >= older_than_s:
                shutil.rmtree(left)


def _all_of(folder: Path) -> dict[str, bytes]:
    found = {}
    for name in FILES:
        with (folder / name).open("rb") as file:
            found[name] = file.read(_MOST_BYTES)
    return found
