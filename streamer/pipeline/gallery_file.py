"""The gallery's file as the running service holds it: full disks at the start, files that are deleted or replaced;
and what has changed in it.

GalleryFile blocks for disk I/O; on the gallery's thread.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gallery.errors import GalleryError, GalleryMissing, GalleryUnwritable
from gallery.keys.master_key import KeySource
from gallery.people import Profile
from gallery.storage.file_copy import identity_of
from gallery.storage.store import PersonStore
from recognition.errors import CodedError
from streamer.process import readable_store_of
from streamer.settings import Settings

log = logging.getLogger(__name__)

RETRY_S = 1.0
_LARGE_LOG_BYTES = 64 << 20
_SERVED = ("people", "templates")  # by far the most of a file are chips


class GalleryFile:
    """`store` is what to read; `trouble` why it is not the file at `path`, or None; `was_replaced`: the last time that
    `store` became another one, so had the file. Who was enrolled is the caller's to keep: what can't be used closes
    the store.
    """

    def __init__(self, path: Path, keys: KeySource | None = None, *, encrypt: bool = True) -> None:
        """Opens the gallery; in memory where it can't be written. `keys`, `encrypt`: as PersonStore has them.

        Raises GalleryError.
        """
        self.path = path
        self._keys, self._encrypt = keys, encrypt
        self.trouble: GalleryError | None = None
        self._retry_at_s = time.monotonic() + RETRY_S
        self.was_replaced = False
        try:
            self.store = self._open()
        except GalleryUnwritable as error:
            self.store = PersonStore(path, keys, in_memory=True)
            self.trouble = error
        if self.trouble is not None:
            log.error(
                "%s; until then %d people are served from memory, and nobody can be enrolled",
                self.trouble,
                self.store.count(),
                extra={"code": self.trouble.code},
            )
        self._identity = identity_of(path)
        self._is_closed = False
        self._has_people = self.store.count() > 0
        self._log_identity = self._log_now()

    def _open(self) -> PersonStore:
        return PersonStore(self.path, self._keys, actor="service", encrypt=self._encrypt)

    @property
    def _log_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

    def close(self) -> None:
        self._is_closed = True
        self.store.close()

    def readable(self) -> PersonStore:
        """`store`; raises `trouble` where it is closed because the file is another one."""
        if self._is_closed and self.trouble is not None:
            raise self.trouble
        return self.store

    def look(self, *, thorough: bool = False) -> bool:
        """Notice what became of the file; whether `store` is another one now. `thorough`: one that was written over is
        read whole before it is served.
        """
        if self.store.in_memory:
            if time.monotonic() < self._retry_at_s:
                return False
            self._retry_at_s = time.monotonic() + RETRY_S
            return self._reopened(same=True, thorough=thorough)
        identity = identity_of(self.path)
        if identity is None:
            self._give_up()
            self.trouble = GalleryMissing(
                f"gallery {self.path} is gone; put it back, or restart the service to begin without anybody"
            )
            return False
        if identity == self._identity and not self._is_closed:
            self.trouble = None
            return False
        same = not self._is_closed and self._identity is not None and identity[:2] == self._identity[:2]
        return self._reopened(same=same, thorough=thorough)

    def settle(self, people: int) -> None:
        """So many people were read of the file. Carry the log over into it: who copies it, or copies another one over
        it, finds it whole. A log as large as that of a file written anew is carried over, and emptied, by who wrote it,
        who would wait for us.
        """
        self._has_people = people > 0
        log_file = identity_of(self._log_path)
        if log_file is not None and log_file[2] > _LARGE_LOG_BYTES:
            return
        if not self.store.in_memory and self.trouble is None and identity_of(self.path) == self._identity:
            with suppress(GalleryUnwritable):  # there is room another time
                self.store.checkpoint()
            self._identity = identity_of(self.path)

    def _reopened(self, *, same: bool, thorough: bool) -> bool:
        identity = identity_of(self.path)
        try:
            if not same:
                self._give_up()
            store = self._open()
            try:
                store.check(*(_SERVED if same and not thorough else ()))
                self._refuse_nobody(store, same=same)
            except GalleryError:
                store.close()
                raise
        except GalleryError as error:
            self.trouble = error
            return False
        self.was_replaced = not same
        self.close()
        store.take_over(self.store)
        self.store, self.trouble, self._identity = store, None, identity
        self._is_closed, self._has_people, self._log_identity = False, store.count() > 0, self._log_now()
        return True

    def _give_up(self) -> None:
        """Our file is gone from its place; its log is not, and SQLite would lay it over the next file there."""
        if self._is_closed:
            return
        self.close()
        if self._log_identity is not None and self._log_now() == self._log_identity:
            for end in ("-wal", "-shm"):
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)

    def _log_now(self) -> tuple[int, int] | None:
        identity = identity_of(self._log_path)
        return None if identity is None else identity[:2]

    def _refuse_nobody(self, store: PersonStore, *, same: bool) -> None:
        """Any command makes an empty gallery where there is none, and that does not mean that all are forgotten."""
        if not same and self._has_people and not store.count():
            raise GalleryMissing(
                f"gallery {self.path} was replaced by an empty one; put it back, or restart the service to begin "
                "without anybody"
            )


async def damage_of(settings: Settings) -> CodedError | None:
    """What is wrong with the gallery's file, which is read whole for it, on threads of its own; None: nothing."""
    try:
        store = await asyncio.to_thread(readable_store_of, settings)
        try:
            await asyncio.to_thread(store.check)
        except asyncio.CancelledError:
            store.interrupt()
            raise
        finally:
            await asyncio.to_thread(store.close)
    except CodedError as error:
        return error
    return None


@dataclass(frozen=True, slots=True)
class GalleryChange:
    """What the store says now, made ready on its thread: the loop would stand still over so many. By id: the profiles,
    the thresholds of those who have one, by space; ignored: who is never told of; gone: who was there before;
    forgotten: everybody who ever was; unreadable: who is enrolled and left out, at least in part, left_out: what is to
    be said of them; merged: ids that stand for somebody else's; renamed: who has another name, by id, or was merged
    since, and whose id is theirs now."""

    profiles: Mapping[str, Profile]
    thresholds: Mapping[str, Mapping[str, float]]
    ignored: frozenset[str]
    gone: set[str]
    forgotten: frozenset[str]
    unreadable: frozenset[str]
    left_out: CodedError | None
    merged: Mapping[str, str]
    renamed: Mapping[str, str]


def renamed(
    before: Mapping[str, Profile], now: Mapping[str, Profile], merged_since: Mapping[str, str]
) -> Mapping[str, str]:
    """Ids of who has another name by now, and of who was merged: whose id is theirs now, by id."""
    other_names = {who: who for who, one in now.items() if who in before and before[who].name != one.name}
    return other_names | dict(merged_since)
