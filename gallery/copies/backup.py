"""The gallery written to a backup while it is used, and a backup put back in its place, used or not.

Blocks, for as long as the gallery is large; others read meanwhile. A backup of an encrypted gallery is encrypted under
the same master key, which is not in it.
"""

import glob
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gallery.copies.backup_copy import BackupCopy
from gallery.copies.bundle import target_error
from gallery.copies.seals import broken_seals
from gallery.errors import BackupUnreadable, GallerySealBroken, GalleryUnreadable, GalleryUnwritable
from gallery.keys.master_key import KeySource
from gallery.keys.vault import Vault
from gallery.storage.database import GalleryDatabase
from gallery.storage.new_file import INDEX, LOGS, check_whole, draft_of
from gallery.storage.replacing import Replaced
from recognition.whole_file import creating, folder_held, replacing, sync_folder

_MOST_TOLD = 20


def back_up(gallery: GalleryDatabase, target: Path) -> int:
    """Write all of the gallery to a new file, for its owner alone, whole or not at all; its size in bytes.

    Raises TargetExists, TargetUnwritable, and GalleryUnreadable or GallerySealBroken where the gallery is damaged: a
    restore would refuse what was copied.
    """
    try:
        with creating(target) as draft:
            gallery.write_copy(draft)
            _check_seals(gallery, draft)
            size = draft.stat().st_size
            gallery.record("backed_up", details={"bytes": size})
    except OSError as error:
        raise target_error(target, error) from None
    return size


def _check_seals(gallery: GalleryDatabase, draft: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{draft.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            broken = sorted(broken_seals(db, gallery.vault_of_copy(db)))
    except (sqlite3.Error, LookupError, TypeError, ValueError) as error:  # rows that are none of ours
        raise GalleryUnreadable(
            f"gallery {gallery.path} is damaged ({error}), and no backup is made of it: none could be restored; "
            "restore an earlier one: whosthere gallery restore FILE"
        ) from None
    if broken:
        whose = ", ".join(broken[:_MOST_TOLD]) + (f" and {len(broken) - _MOST_TOLD} more" * (len(broken) > _MOST_TOLD))
        raise GallerySealBroken(
            f"gallery {gallery.path}: what is kept of {whose} doesn't open, its bytes were changed, and no backup is "
            "made of it: none could be restored; restore an earlier one (whosthere gallery restore FILE), or forget "
            "these people by their ids and enrol them anew"
        )


@dataclass(frozen=True, slots=True)
class Restored:
    """`set_aside`: where the damaged gallery lies that was in the way. `forgotten_known` False: who was forgotten since
    the backup could not be read of it, or it was gone.
    """

    what: Replaced
    set_aside: Path | None = None
    forgotten_known: bool = True


def restore(path: Path, copy: BackupCopy, keys: KeySource | None, *, encrypt: bool, actor: str) -> Restored:
    """Put the backup's people in the place of all in the gallery of this path, or nobody.

    The gallery keeps its own audit log, list of the forgotten and key. One that is damaged is set aside, and where
    there is none one is made: of the backup itself. Raises BackupUnreadable (the gallery itself was given),
    GalleryTooNew, GalleryUnwritable and MasterKeyError.
    """
    if not path.exists():
        return _made_of(copy, path, keys, encrypt=encrypt, actor=actor)
    if path.samefile(copy.path):
        raise BackupUnreadable(f"{copy.path} is the gallery itself; give a file that gallery backup wrote")
    try:
        with GalleryDatabase(path, keys, encrypt=encrypt, actor=actor) as gallery:
            gallery.check()
            replaced = gallery.replace_people(copy.under)
            gallery.vacuum()  # what it can't do now it does when somebody is erased, or purged
            return Restored(replaced)
    except GalleryUnreadable:
        if not path.is_file():
            raise
    return _made_of(copy, path, keys, encrypt=encrypt, actor=actor)


def _made_of(copy: BackupCopy, path: Path, keys: KeySource | None, *, encrypt: bool, actor: str) -> Restored:
    """The backup itself becomes the gallery, its audit log and all; a damaged one in its place is set aside."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        forgotten = _forgotten_in(path)
        master = keys.for_new_store(path.parent) if encrypt and keys is not None else None
        copy.under(Vault(master))
        with draft_of(path) as draft:
            copy.write(draft)
            with GalleryDatabase(draft, keys, encrypt=encrypt, actor=actor) as gallery:
                replaced = gallery.forget_again(forgotten or ())
                gallery.vacuum()
            check_whole(draft)
            with folder_held(path.parent):
                aside = _set_aside(path)
                draft.replace(path)
            sync_folder(path.parent)
    except OSError as error:
        raise GalleryUnwritable(
            f"gallery {path} can't be written ({error.strerror}); make room, and let this user write its folder"
        ) from None
    return Restored(replaced, aside, forgotten is not None)


def _set_aside(path: Path) -> Path | None:
    """A second name for a damaged gallery, and for its log, which must not be laid over the next file: it goes. So does
    the log of one that is gone.
    """
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    begun = False
    for former in path.parent.glob(f"{glob.escape(path.name)}.damaged-*"):
        if path.exists() and former.samefile(path):  # by a restore that was killed
            aside, begun = former, True
    kept = None
    for end in ("", *LOGS):
        file, second = path.with_name(path.name + end), aside.with_name(aside.name + end)
        if file.exists() and (not end or file.stat().st_size):
            kept = kept or second
            if not (begun and second.exists()):
                _name_again(file, second)
    for end in (*LOGS, INDEX):
        path.with_name(path.name + end).unlink(missing_ok=True)
    return kept


def _name_again(file: Path, second: Path) -> None:
    try:
        second.hardlink_to(file)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links; the first name has to stay until the next file has it
        with file.open("rb") as source, replacing(second) as copied:
            shutil.copyfileobj(source, copied)


def _forgotten_in(path: Path) -> frozenset[str] | None:
    """Who was forgotten, as far as a damaged gallery still says; None where it doesn't, or there is none."""
    with suppress(sqlite3.Error):
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as db:
            return frozenset(row[0] for row in db.execute("SELECT id FROM forgotten"))
    return None
