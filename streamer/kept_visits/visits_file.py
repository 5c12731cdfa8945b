"""The SQLite file of kept visits: written by the service; read, erased and given another key by commands as well.

Changes go in, each call one transaction; visits come out. Blocks; for one thread at a time. Other processes may use
the same file meanwhile (WAL).
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from gallery.keys.encryption import Cipher, MasterKey, new_key
from gallery.keys.master_key import KeySource
from gallery.storage.schema import transaction
from streamer.errors import VisitNotFound
from streamer.events.event import IdentityEvent
from streamer.kept_visits import said
from streamer.kept_visits.visit import KeptVisit, Limits, Pictures, Said, Unnamed, VisitChange, VisitFace
from streamer.kept_visits.visit_rows import (
    VISIT,
    read_faces,
    read_faces_of,
    read_pictures,
    read_visit,
    seal_anew,
    write_messages,
    write_visit,
)
from streamer.kept_visits.visits_schema import (
    SYNCHRONOUS,
    StoreKey,
    bring_up_to_date,
    keep_key,
    meta,
    open_database,
    store_key,
    translated,
    was_old,
)
from streamer.steady import UNSET_BEFORE

_NOTICED_S = 1.0  # two clocks drift apart by less
_OF_THESE = "event_id IN (SELECT value FROM json_each(?))"
_NOT_NAMED_BY_HAND = "event_id NOT IN (SELECT event_id FROM said WHERE is_named AND person_id IS NOT NULL)"
_OF_PEOPLE = "event_id IN (SELECT event_id FROM visit_people WHERE person_id IN (SELECT value FROM json_each(?)))"
_OLDEST = "event_id IN (SELECT event_id FROM visits ORDER BY began_at LIMIT max(1, (SELECT count(*) FROM visits) / 50))"


class VisitsFile:
    """`make`: the service's, where there is none.

    Opening raises KeptVisitsMissing, KeptVisitsDamaged, KeptVisitsTooNew and KeptVisitsUnwritable. Erasing needs no
    key; what reads or writes visits raises MasterKeyMissing and MasterKeyWrong. Any method may raise KeptVisitsDamaged
    and KeptVisitsUnwritable, and leaves nothing of what failed.
    """

    def __init__(self, path: Path, keys: KeySource | None, *, make: bool = False) -> None:
        self.path = path
        self._keys = keys
        self._db = open_database(path, make=make)
        self._place = _place_of(path)
        self._key: StoreKey | None = None
        self._cipher = Cipher(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @property
    def is_in_place(self) -> bool:
        """Whether the file at `path` is the one that is open."""
        return _place_of(self.path) == self._place

    @property
    def used_bytes(self) -> int:
        """What is in use of the file; what was freed goes back to the disk by tidy()."""
        with translated(self.path):
            pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
            return pages * self._number("PRAGMA page_size")

    # Written by the service.

    def unlock(self, *, encrypt: bool) -> None:
        """Get its key; a plain one gets one, if `encrypt`; an older file is brought up to date. Raises MasterKeyMissing
        and MasterKeyWrong.
        """
        with translated(self.path):
            if was_old(self._db):
                with transaction(self._db):
                    bring_up_to_date(self._db)
            if encrypt and self._keys is not None and self._wrapped() is None:
                with self._exchanging():
                    if self._wrapped() is None:  # a rotation may have been here since
                        self._put_under(self._keys.for_new_store(self.path.parent))
                self.tidy()
            self._follow_key()

    def write(self, changes: Sequence[VisitChange], boot: str = "") -> set[str]:
        """All of them, of this boot of the machine; returns the visits that are gone: erased or purged meanwhile."""
        with translated(self.path), transaction(self._db):
            self._follow_key()
            return {change.event_id for change in changes if not write_visit(self._db, self._cipher, change, boot)}

    def end(self, event: IdentityEvent) -> bool:
        """An `end` of a visit that a run before left open, whenever that is told; False where it is not kept."""
        with translated(self.path), transaction(self._db):
            self._follow_key()
            found = self._db.execute(
                "UPDATE visits SET seen_at = ?1, ended_at = ?1 WHERE event_id = ?2", (event.captured_at, event.event_id)
            ).rowcount
            if found:
                write_messages(self._db, self._cipher, event.event_id, [event])
        return bool(found)

    def take_over(self) -> None:
        """Whatever visits a run before left open are over."""
        with translated(self.path), transaction(self._db):
            self._db.execute("UPDATE visits SET ended_at = seen_at WHERE ended_at IS NULL")

    def follow_clock(self, boot: str, ahead_s: float) -> None:
        """Move the visits of this boot where the wall clock was set since; it is so far ahead of the steady one."""
        if not boot:
            return
        with translated(self.path), transaction(self._db):
            self._db.execute(
                "UPDATE visits SET began_at = began_at + by_s, seen_at = seen_at + by_s, ended_at = ended_at + by_s,"
                " set_s = set_s + by_s FROM (SELECT event_id AS id, began_s + ?1 - began_at AS by_s FROM visits"
                " WHERE boot = ?2 AND began_s IS NOT NULL) WHERE event_id = id AND abs(by_s) >= ?3",
                (ahead_s, boot, _NOTICED_S),
            )

    # Said of them afterwards.

    def name(self, event_ids: Collection[str], person_id: str | None, at: float) -> None:
        """These visits are this person's, whoever their messages named; None: nobody's who is enrolled."""
        with translated(self.path), transaction(self._db):
            bring_up_to_date(self._db)
            said.name(self._db, event_ids, person_id, at)

    def ignore(self, event_ids: Collection[str], at: float) -> None:
        """Those of them that are nobody's are not to be reviewed."""
        with translated(self.path), transaction(self._db):
            bring_up_to_date(self._db)
            said.ignore(self._db, event_ids, at)

    def unignore(self, event_ids: Collection[str]) -> None:
        """Those of them that were ignored are to be reviewed again."""
        with translated(self.path), transaction(self._db):
            bring_up_to_date(self._db)
            said.unignore(self._db, event_ids)

    def whose(self, event_ids: Collection[str]) -> dict[str, tuple[bool, Said | None]]:
        """Of those that are kept: whether they are somebody's, and what was said of them."""
        with translated(self.path):
            return said.whose(self._db, event_ids)

    def unnamed(self) -> list[Unnamed]:
        """All that are nobody's, the earliest first."""
        with translated(self.path):
            return said.unnamed(self._db)

    def by_camera(self, event_ids: Collection[str]) -> dict[str, list[str]]:
        """Those of them that are kept, by the camera that saw them."""
        with translated(self.path):
            return said.by_camera(self._db, event_ids)

    def best_quality(self, event_ids: Collection[str]) -> dict[str, float]:
        """How good the best face is of each that has one."""
        with translated(self.path):
            return dict(said.best_quality(self._db, event_ids))

    # Erased, by the service and by commands; tidy() erases what is left in the log.

    def erase(self, event_ids: Collection[str], *, spares_named: bool = False) -> int:
        """These visits; how many there were. spares_named: but those of which somebody said whose they are."""
        where = f"{_OF_THESE} AND {_NOT_NAMED_BY_HAND}" if spares_named else _OF_THESE
        with translated(self.path), transaction(self._db):
            return self._delete(where, orjson.dumps(list(event_ids)).decode())

    def forget(self, person_ids: Collection[str]) -> int:
        """Every visit that names one of them, whole, also where somebody else was named later; how many there were."""
        with translated(self.path), transaction(self._db):
            return self._delete(_OF_PEOPLE, orjson.dumps(list(person_ids)).decode())

    def aged(self, now_at: float, limits: Limits) -> int:
        """How many purge() would erase for their age."""
        where, values = _age(now_at, limits)
        with translated(self.path):
            return self._number(f"SELECT count(*) FROM visits WHERE {where}", values)

    def purge(self, now_at: float, limits: Limits) -> int:
        """Those that were kept for long enough, then the oldest until the rest takes no more room than it may.

        Returns how many. By a clock that was never set nothing is old.
        """
        where, values = _age(now_at, limits)
        with translated(self.path), transaction(self._db):
            gone = self._delete(where, *values)
        while self.used_bytes > limits.most_bytes:
            with translated(self.path), transaction(self._db):
                step = self._delete(_OLDEST)
            gone += step
            if not step:
                break
        return gone

    def tidy(self) -> bool:
        """Give what was freed back to the disk, and empty the log, which holds what was erased.

        False where somebody reads it: it is to be done again.
        """
        with translated(self.path):
            self._db.executescript("PRAGMA incremental_vacuum")  # execute() takes one step of it: a page
            (busy, _, _) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    # Read.

    def search(
        self, since_at: float, until_at: float, camera: str | None = None, people: Collection[str] | None = None
    ) -> Iterator[KeptVisit]:
        """Visits of that time, of a camera, of any of these people, the earliest first."""
        where, values = _asked(since_at, until_at, None if camera is None else [camera], people)
        query = f"SELECT {VISIT} FROM visits WHERE {where} ORDER BY began_at"
        with translated(self.path):
            rows = self._db.execute(query, values).fetchall()
            self._follow_key()
        for row in rows:
            with translated(self.path):
                visit = read_visit(self._db, self._cipher, row)
            yield visit

    def newest(
        self,
        since_at: float,
        until_at: float,
        cameras: Collection[str] | None,
        people: Collection[str] | None,
        place: tuple[float, str] | None,
        most: int,
    ) -> list[KeptVisit]:
        """Visits of that time, of any of these cameras and people, the latest first: from the one of this began_at and
        event_id on, and so many at most."""
        where, values = _asked(since_at, until_at, cameras, people)
        if place is not None:
            where += " AND (began_at, event_id) <= (?, ?)"
            values += place
        query = f"SELECT {VISIT} FROM visits WHERE {where} ORDER BY began_at DESC, event_id DESC LIMIT ?"
        with translated(self.path):
            rows = self._db.execute(query, (*values, most)).fetchall()
            self._follow_key()
            return [read_visit(self._db, self._cipher, row) for row in rows]

    def visit(self, event_id: str) -> KeptVisit:
        """Raises VisitNotFound."""
        with translated(self.path):
            row = self._db.execute(f"SELECT {VISIT} FROM visits WHERE event_id = ?", (event_id,)).fetchone()
            if row is None:
                raise VisitNotFound(
                    f"no visit {event_id} is kept; `whosthere events --since 8h` lists those that are, of cameras with "
                    "snapshots"
                )
            self._follow_key()
            return read_visit(self._db, self._cipher, row)

    def pictures(self, event_id: str) -> Pictures | None:
        """None where there are none: the visit is gone, nothing good was seen of it, or they can't be opened."""
        with translated(self.path):
            self._follow_key()
            return read_pictures(self._db, self._cipher, event_id)

    def faces(self, event_id: str) -> tuple[VisitFace, ...]:
        """Its best faces, the best first."""
        with translated(self.path):
            self._follow_key()
            return read_faces(self._db, self._cipher, event_id)

    def faces_of(self, event_ids: Sequence[str]) -> dict[str, list[VisitFace]]:
        """The same of many visits; those without a face are left out."""
        with translated(self.path):
            self._follow_key()
            return read_faces_of(self._db, self._cipher, event_ids)

    def ids_of(self, person_ids: Collection[str]) -> list[str]:
        """The visits that name one of them anywhere."""
        with translated(self.path):
            rows = self._db.execute(
                f"SELECT event_id FROM visits WHERE {_OF_PEOPLE}", (orjson.dumps(list(person_ids)).decode(),)
            )
            return [str(row[0]) for row in rows]

    def count_of(self, person_id: str) -> int:
        """In how many visits a person's id stands anywhere."""
        with translated(self.path):
            return self._number("SELECT count(*) FROM visit_people WHERE person_id = ?", (person_id,))

    # Keys.

    @property
    def key_id(self) -> str | None:
        """Of the master key that it is under; None: it is plain."""
        with translated(self.path):
            found = meta(self._db, "key_id")
        return None if found is None else str(found)

    def rekey(self, new: MasterKey | None) -> bool:
        """Put it under this master key, whatever it was under; None: make it plain. May be done again.

        Under another master key the file's own key stays, and with it what is sealed; a running service goes on. To
        make it plain, or encrypt it, it is written whole, in one transaction. False: what was sealed before is in the
        log until tidy().
        """
        with translated(self.path):
            with self._exchanging():
                self._put_under(new)
            return self.tidy()

    @contextmanager
    def _exchanging(self) -> Iterator[None]:
        """A transaction that is on the disk when it is over: the former key may go then."""
        self._db.execute("PRAGMA synchronous = FULL")
        try:
            with transaction(self._db):
                yield
        finally:
            self._db.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")

    def _put_under(self, master: MasterKey | None) -> None:
        self._follow_key()
        before = self._key.key if self._key else None
        key = None if master is None else before or new_key()
        keep_key(self._db, master, key)
        if (before is None) != (key is None):
            seal_anew(self._db, Cipher(before), Cipher(key))
        self._key, self._cipher = StoreKey(key, self._wrapped()), Cipher(key)

    def _follow_key(self) -> None:
        """Get it, and again where another process has exchanged it."""
        if self._key is None or self._wrapped() != self._key.wrapped:
            self._key = store_key(self._db, self.path, self._keys)
            self._cipher = Cipher(self._key.key)

    def _wrapped(self) -> object:
        return meta(self._db, "store_key")

    # SQLite.

    def _delete(self, where: str, *values: str | float) -> int:
        return self._db.execute(f"DELETE FROM visits WHERE {where}", values).rowcount

    def _number(self, query: str, values: Sequence[str | float] = ()) -> int:
        return int(self._db.execute(query, values).fetchone()[0])


def _asked(
    since_at: float, until_at: float, cameras: Collection[str] | None, people: Collection[str] | None
) -> tuple[str, tuple[str | float, ...]]:
    """Which visits are of that time, of any of these cameras, and of these people; None: of any."""
    where, values = "began_at <= ? AND coalesce(ended_at, 1e12) >= ?", (until_at, since_at)
    texts: list[str] = []
    if cameras is not None:
        where += " AND camera IN (SELECT value FROM json_each(?))"
        texts.append(orjson.dumps(list(cameras)).decode())
    if people is not None:
        where += f" AND {_OF_PEOPLE}"
        texts.append(orjson.dumps(list(people)).decode())
    return where, (*values, *texts)


def _age(now_at: float, limits: Limits) -> tuple[str, tuple[float, ...]]:
    """Which visits were kept for long enough."""
    if now_at < UNSET_BEFORE:
        return "0", ()
    unknown_before = now_at - limits.unknown_s if limits.unknown_s else float("inf")
    return "coalesce(ended_at, seen_at) < iif(is_known, ?, ?)", (now_at - limits.keep_s, unknown_before)


def _place_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
