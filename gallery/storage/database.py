"""GalleryDatabase: the gallery's file with its vault, who uses it, and how: transactions, the audit log, keys, room.

Every method blocks for disk I/O: call it off the event loop. Any thread may, one at a time (a lock inside); other
processes may read and write the same file meanwhile, and put it under another key.
"""

import errno
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from gallery.errors import GalleryUnreadable, GalleryUnwritable
from gallery.keys.encryption import MasterKey, SealBroken
from gallery.keys.master_key import KeySource
from gallery.keys.vault import Vault
from gallery.storage import audit
from gallery.storage.admission import finish, tables_with
from gallery.storage.audit import AuditEntry
from gallery.storage.file_copy import copy_in_memory
from gallery.storage.meta import KEY_ID, get_meta
from gallery.storage.opening import open_database, vault_of
from gallery.storage.replacing import Replaced, forget_again, replace_people
from gallery.storage.resealing import reseal
from gallery.storage.schema import BUSY_TIMEOUT_S, seal_broken, snapshot, transaction, translated
from gallery.storage.vacuum import ENCRYPTED, ERASED, empty_log, is_due, make_due, vacuum

T = TypeVar("T")
_STEPS_BETWEEN_LOOKS = 100_000
_TARGET_FAILED = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}


class GalleryDatabase:
    """Any method may raise GalleryUnwritable (a full disk, say), GalleryUnreadable (a damaged file), MasterKeyError
    (the key is another one now, and not to be found), or GallerySealBroken.

    What fails leaves no trace: each call is one transaction.
    """

    def __init__(
        self,
        path: Path,
        keys: KeySource | None = None,
        *,
        actor: str = "somebody",
        encrypt: bool = True,
        in_memory: bool = False,
    ) -> None:
        """Opens the gallery, or makes an empty one; `in_memory`: a copy that can't be written.

        `keys` None: a plain one alone. `encrypt`: a new one is encrypted, and a plain one as soon as it is opened.
        `actor`: who is told to the audit log. Raises GalleryTooNew besides.
        """
        self.path = path
        self.in_memory = in_memory
        self.actor = actor
        self._keys = keys
        self._db, self._vault = (
            copy_in_memory(path, keys) if in_memory else open_database(path, keys, encrypt=encrypt, actor=actor)
        )
        self._lock = threading.Lock()
        self._interrupted = threading.Event()
        # SQLite forgets an interrupt that comes before its statement begins.
        self._db.set_progress_handler(self._interrupted.is_set, _STEPS_BETWEEN_LOOKS)
        self._commits = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        with self._lock:
            self._db.close()

    @property
    def key_id(self) -> str | None:
        """Which master key it was under when it was last used; None: it is plain."""
        return self._vault.key_id

    def check(self, *tables: str) -> None:
        """Read the whole file, or these tables, and hold it to its own structure. Raises GalleryUnreadable."""
        for what in tables or ("1",):  # 1: the first complaint is enough
            verdict = self._rows(f"PRAGMA quick_check({what})")[0][0]
            if verdict != "ok":
                told = " ".join(verdict.split())  # SQLite says it in two lines
                raise GalleryUnreadable(
                    f"gallery {self.path} is damaged ({told}); restore it from a backup: whosthere gallery restore FILE"
                )

    def interrupt(self) -> None:
        """End what another thread reads or writes just now, or is about to: there it raises sqlite3.OperationalError.
        What remains is close().
        """
        self._interrupted.set()
        self._db.interrupt()

    def checkpoint(self) -> None:
        """Carry the log over into the file, as far as nobody reads it and there is room."""
        self._rows("PRAGMA wal_checkpoint(PASSIVE)")

    def data_version(self) -> int:
        """A number that is another one after every commit, by this store or by any other process.

        Read it before what it stands for, so that a commit between the two shows the next time.
        """
        return int(self._rows("PRAGMA data_version")[0][0]) + self._commits

    # Room: what was erased, and was not overwritten on the spot.

    @property
    def is_vacuum_due(self) -> bool:
        """Whether somebody was erased, and vacuum() has not been through yet."""
        with self._lock, translated(self.path):
            return is_due(self._db)

    def vacuum(self) -> bool:
        """Write the file anew without what was erased. False where it can't be done now: no room, or others use it.

        Takes as long as the file is large; others read meanwhile, and wait to write.
        """
        with self._lock:
            self._commits += 1
            return vacuum(self._db, self.path)

    def tables_with(self, person_ids: Collection[str]) -> list[str]:
        """The tables that hold one of these ids, but the list of the forgotten and the audit log."""
        with self._lock, translated(self.path):
            return tables_with(self._db, person_ids)

    # Ids that are nobody's any more.

    def forgotten(self) -> frozenset[str]:
        """The ids of everybody who was forgotten."""
        return frozenset(row[0] for row in self._rows("SELECT id FROM forgotten"))

    def unfinished(self) -> frozenset[str]:
        """Those of them of whom something may be left elsewhere: their erasure goes on, or was cut off."""
        return frozenset(row[0] for row in self._rows("SELECT id FROM forgotten WHERE unfinished"))

    def finish(self, person_ids: Iterable[str]) -> None:
        """They are erased everywhere."""
        with self._transaction() as db:
            finish(db, person_ids)

    def former_ids(self, person_id: str) -> list[str]:
        """The ids that were merged into this one: kept visits may name them."""
        return [row[0] for row in self._rows("SELECT id FROM merged WHERE person_id = ? ORDER BY id", person_id)]

    def merged(self) -> Mapping[str, str]:
        """Every id that was merged away, with the one that it stands for."""
        return dict(self._rows("SELECT id, person_id FROM merged"))

    # Copies.

    def write_copy(self, target: Path) -> None:
        """All of it, as of now, into an empty file; others read and write meanwhile. Raises OSError (no room there)."""
        with self._lock:
            try:
                self._db.execute("VACUUM INTO ?", (str(target),))
            except sqlite3.Error as error:
                if error.sqlite_errorcode & 0xFF in _TARGET_FAILED:
                    raise OSError(errno.EIO, f"{error}") from None
                with translated(self.path):
                    raise

    def vault_of_copy(self, copy: sqlite3.Connection) -> Vault:
        """What opens a copy of this gallery. Raises MasterKeyError."""
        return vault_of(copy, self.path, self._keys)

    def replace_people(self, other: Callable[[Vault], sqlite3.Connection]) -> Replaced:
        """Put everybody of another gallery in the place of all. `other`: its database, sealed as this vault seals.

        Raises what it raises.
        """
        other(self._vault)  # most of the work, while others write
        with self._transaction() as db:
            replaced = replace_people(db, other(self._vault))
            self._restored(db, replaced)
        self.empty_log()
        return replaced

    def forget_again(self, forgotten: Iterable[str]) -> Replaced:
        """A backup becomes the gallery: whoever was forgotten, by it or by these ids, goes."""
        with self._transaction() as db:
            replaced = forget_again(db, forgotten)
            self._restored(db, replaced)
        return replaced

    def _restored(self, db: sqlite3.Connection, replaced: Replaced) -> None:
        figures = {"people": replaced.people, "left_out": len(replaced.left_out), "gone": len(replaced.gone)}
        audit.append(db, self.actor, "restored", details=figures)
        for person_id in replaced.gone:
            audit.append(db, self.actor, "gone", person_id, {"why": "restored"})
        make_due(db, ERASED)

    # Who did what.

    def record(self, action: str, person_id: str | None = None, details: Mapping[str, Any] = {}) -> None:
        """Tell the audit log of what was done outside the gallery's own rows (an export, a backup). No names."""
        with self._transaction() as db:
            audit.append(db, self.actor, action, person_id, details)

    def audit_entries(self, person_id: str | None = None, after: int = 0, limit: int | None = None) -> list[AuditEntry]:
        """The oldest first, all or those about one person; `limit` of those whose numbers come after `after`."""
        with self._lock, translated(self.path):
            return audit.entries(self._db, person_id, after, limit)

    def last_entry(self) -> tuple[int, str] | None:
        """Number and hash of the last entry of the audit log; None where it has none."""
        rows = self._rows("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")
        return rows[0] if rows else None

    def has_entry(self, entry: tuple[int, str]) -> bool:
        """Whether this is the gallery, gone on, that this entry (see last_entry()) was the last of."""
        return self._rows("SELECT hash FROM audit WHERE id = ?", entry[0]) == [(entry[1],)]

    def last_written_at(self) -> float | None:
        """When the audit log's newest entry was written, Unix time in s; None where there is none."""
        with self._lock, translated(self.path):
            return audit.newest_at(self._db)

    def audit_broken(self) -> int | None:
        """The number of the first entry of the audit log that was changed or is missing; None where it is whole."""
        with self._lock, translated(self.path), snapshot(self._db):
            self._take_key(self._db)
            return audit.first_broken(self._db, self._vault)

    # Keys.

    def rekey(self, master: MasterKey | None) -> str | None:
        """Put everything under this master key (None: make it plain), in one transaction, unless it is.

        Returns the id of the one that it was under. Other processes take the new one as soon as they meet it; what was
        sealed by the former one is in the file until vacuum(). Raises MasterKeyError where the present key is not to
        be found.
        """
        vault = Vault(master)
        with self._transaction(vault) as db:
            former = self._vault.key_id
            if former != vault.key_id:
                reseal(db, self._vault, vault)
                audit.append(db, self.actor, "rekeyed", details={"key": vault.key_id, "former_key": former})
                make_due(db, ENCRYPTED)
        self._vault = vault
        return former

    # SQLite.

    def _rows(self, query: str, *values: str | int | bytes | None) -> list[tuple[Any, ...]]:
        with self._lock, translated(self.path):
            return self._db.execute(query, values).fetchall()

    def _count(self, what: str, *values: str) -> int:
        return int(self._rows(f"SELECT count(*) FROM {what}", *values)[0][0])

    def _opening(self, work: Callable[[], T]) -> T:
        """What `work` reads and opens; again where another process has put the gallery under another key meanwhile."""
        while True:
            try:
                return work()
            except SealBroken as broken:
                if not self._follows_key():
                    raise seal_broken(self.path, broken) from None

    def _follows_key(self) -> bool:
        """Take the key that the gallery is under now; whether it is another one."""
        with self._lock, translated(self.path):
            return self._take_key(self._db)

    def _has_other_key(self, vault: Vault) -> bool:
        """Whether what this vault did not open may open with the one of now."""
        return self._follows_key() or self._vault is not vault

    def _take_key(self, db: sqlite3.Connection) -> bool:
        if get_meta(db, KEY_ID) == self._vault.key_id:
            return False
        self._vault = vault_of(db, self.path, self._keys)
        return True

    @contextmanager
    def _transaction(self, becoming: Vault | None = None) -> Iterator[sqlite3.Connection]:
        """`becoming`: what the gallery is under at its end, where that is another vault."""
        with self._lock, translated(self.path):
            try:
                with transaction(self._db):
                    self._take_key(self._db)
                    was_sealed = audit.is_sealed(self._db, self._vault)
                    yield self._db
                    if was_sealed:  # else it stays broken for all to see
                        audit.seal(self._db, becoming or self._vault)
            except SealBroken as broken:
                raise seal_broken(self.path, broken) from None
            self._commits += 1

    def empty_log(self, within_s: float = BUSY_TIMEOUT_S) -> bool:
        """Empty the log, which holds what was erased; False where somebody reads it that long, or there is no room."""
        try:
            with self._lock, translated(self.path):
                return empty_log(self._db, within_s)
        except GalleryUnwritable:  # what was to be written is
            return False
