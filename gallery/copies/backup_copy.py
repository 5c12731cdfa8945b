"""A backup opened again, looked through before anything is done with it. Blocks, for as long as it is large."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from gallery.copies.seals import broken_seals
from gallery.errors import BackupUnreadable, GalleryUnreadable, GalleryUnwritable, MasterKeyError
from gallery.keys.encryption import SealBroken
from gallery.keys.master_key import KeySource
from gallery.keys.vault import Vault
from gallery.storage.meta import KEY_ID, get_meta
from gallery.storage.migrations import bring_up_to_date
from gallery.storage.opening import vault_of
from gallery.storage.resealing import reseal
from gallery.storage.schema import BUSY_TIMEOUT_S, check_file, transaction

_MORE = "give another backup; the gallery is as it was"


class BackupCopy:
    """What a backup holds, in a temporary database that goes with the process: checked, to the last sealed blob, and
    brought to today's schema. `db` is its connection, `vault` opens it.
    """

    def __init__(self, path: Path, keys: KeySource | None) -> None:
        """keys: where the backup's master key may be. Raises BackupUnreadable, GalleryTooNew and MasterKeyError."""
        self.path = path
        self.db = sqlite3.connect("", isolation_level=None)
        try:
            with self._told():
                _copy(path, self.db)
                self.db.execute("PRAGMA trusted_schema = OFF")
                self.vault = self._own_vault(keys)
                bring_up_to_date(self.db, path, self.vault, "nobody")
                self._check_structure()
                self._check_seals()
        except BaseException:
            self.db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.db.close()

    def under(self, vault: Vault) -> sqlite3.Connection:
        """`db`, sealed from now on as a gallery of this vault is. Raises BackupUnreadable."""
        if vault.key_id != self.vault.key_id:
            with self._told(), transaction(self.db):
                reseal(self.db, self.vault, vault)
        self.vault = vault
        return self.db

    def write(self, target: Path) -> None:
        """All of it into an empty file. Raises OSError where there is no room."""
        try:
            self.db.execute("VACUUM INTO ?", (str(target),))
        except sqlite3.OperationalError as error:
            raise OSError(errno.ENOSPC, str(error)) from None

    def people(self) -> int:
        """How many are in it."""
        return int(self.db.execute("SELECT count(*) FROM people").fetchone()[0])

    def _own_vault(self, keys: KeySource | None) -> Vault:
        try:
            return vault_of(self.db, self.path, keys)
        except MasterKeyError as error:
            raise type(error)(
                f"backup {self.path} is encrypted under master key {get_meta(self.db, KEY_ID)}, which is not the one "
                "here; give a copy of that one with --key-file, or put it back"
            ) from None

    def _check_structure(self) -> None:
        (verdict,) = self.db.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok" or self.db.execute("PRAGMA foreign_key_check").fetchone():
            told = " ".join(verdict.split())  # SQLite says it in two lines
            raise BackupUnreadable(f"backup {self.path} is damaged ({told}); {_MORE}")

    def _check_seals(self) -> None:
        for broken in broken_seals(self.db, self.vault).values():
            raise broken

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SealBroken as broken:
            raise BackupUnreadable(
                f"backup {self.path}: the {broken} doesn't open, its bytes were changed; {_MORE}"
            ) from None
        except GalleryUnreadable:
            raise BackupUnreadable(f"backup {self.path} is no gallery's, or was cut short; {_MORE}") from None
        except (sqlite3.Error, LookupError, TypeError, ValueError) as error:  # rows that are none of ours
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise GalleryUnwritable(
                    f"backup {self.path}: no room for a copy of it in the folder for temporary files; make some, or "
                    "name another folder in the variable SQLITE_TMPDIR"
                ) from None
            raise BackupUnreadable(f"backup {self.path} can't be read ({error}); {_MORE}") from None


def _copy(path: Path, target: sqlite3.Connection) -> None:
    """Raises BackupUnreadable, GalleryUnreadable, GalleryTooNew and sqlite3.Error."""
    if not path.is_file():
        raise BackupUnreadable(f"backup {path} is not there, or no file; check the path")
    logged = path.with_name(f"{path.name}-wal").exists()
    # immutable: no file is made beside it; it may lie where nobody may write. One with a log needs more.
    how = "mode=ro" if logged else "mode=ro&immutable=1"
    address = f"file:{quote(str(path.absolute()))}?{how}"
    with closing(sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S)) as db:
        check_file(db, path, logged=logged)
        db.backup(target)
