"""The outbox's file as its writer holds it: opened, opened again where that failed, exchanged where it is damaged.

Everything blocks; on the writer thread.
"""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from streamer.errors import OutboxDamaged, OutboxUnwritable
from streamer.events.damage import Contents, read_aside, set_aside, side_files
from streamer.events.outbox_file import OutboxFile
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_S = 1.0
# A disk that damages what is written would otherwise be filled with what was set aside.
RENEW_S = 60.0


class HeldFile:
    """`open_file` opens the file at `path`, made where there is none. `set_aside` says what became of a damaged one.

    While its folder is away, or can't be read, the file stays open and is not used. Methods raise what OutboxFile
    raises, and OSError where a damaged file can't be renamed.
    """

    def __init__(
        self, path: Path, open_file: Callable[[], OutboxFile], now: Callable[[], float], metrics: Metrics
    ) -> None:
        self._path = path
        self._open_file = open_file
        self._now = now
        self._metrics = metrics
        self.file: OutboxFile | None = None
        self.set_aside = ""
        self._saved: Contents | None = None  # of a damaged file, until another one has it
        self._saved_of: tuple[int, int] | None = None  # which one that was
        self._lost: int | None = None  # how many of its messages could not be read; None: nobody knows
        self._is_away = False
        self._retry_at_s = 0.0
        self._renew_at_s = 0.0

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def open(self) -> OutboxFile:
        """A file to write, set aside first what is damaged."""
        self._retry_at_s = time.monotonic() + RETRY_S
        try:
            self.file = self._open_whole()
        except OutboxDamaged as damage:
            self._retry_at_s = time.monotonic() + RENEW_S  # should the new one be damaged, too
            self._put_aside(damage)
            self.file = self._open_whole()
        return self.file

    def use(self, act: Callable[[OutboxFile], T]) -> T:
        """What act() gives; of a new file where this one turns out to be damaged."""
        if self.file is None:
            raise OutboxUnwritable(f"outbox {self._path} can't be opened")
        if self._is_away:
            raise OutboxUnwritable(f"outbox {self._path} can't be found")
        try:
            return act(self.file)
        except OutboxDamaged as damage:
            return act(self._renew(damage))

    def use_anyway(self) -> None:
        """At the end a file that is away, and not deleted, takes what waits: it may be back at the next start."""
        if self.file is not None and self.file.identity is not None:
            self._is_away = False

    def look(self) -> None:
        """Open the file where that failed before; notice where somebody has deleted or replaced it."""
        if self.file is None:
            if time.monotonic() >= self._retry_at_s:
                self.open()
            return
        self._is_away = True
        try:
            is_in_place = self.file.is_in_place
        except OSError as error:
            raise OutboxUnwritable(f"outbox {self._path} can't be found ({error.strerror})") from None
        self._is_away = False
        if not is_in_place:
            self._renew(OutboxDamaged(f"outbox {self._path} was deleted or replaced"))

    def _open_whole(self) -> OutboxFile:
        """With what was saved in it: it goes into a file that is made now, or is there where the same one is back."""
        is_there = os.path.lexists(self._path)
        file = self._open_file()
        if self._saved is None:
            return file
        if is_there and file.identity != self._saved_of:
            file.close()
            raise OutboxDamaged(f"outbox {self._path} was replaced")
        if not is_there:
            try:
                file.restore(self._saved, self._now())
            except BaseException:
                self._discard(file)
                raise
        self._saved = None
        return file

    def _discard(self, file: OutboxFile) -> None:
        """One that was made in vain; else the next one to open would be it, without what was saved."""
        is_ours = False
        with suppress(OSError):
            is_ours = file.is_in_place
        file.close()
        with suppress(OSError):
            for left in (self._path, *side_files(self._path)) if is_ours else ():
                left.unlink(missing_ok=True)

    def _renew(self, damage: OutboxDamaged) -> OutboxFile:
        if time.monotonic() < self._renew_at_s:
            raise damage
        self._renew_at_s = time.monotonic() + RENEW_S
        self._put_aside(damage)
        return self.open()

    def _put_aside(self, damage: OutboxDamaged) -> None:
        """Rename the damaged file, read what can be read of it, say so."""
        file, self.file = self.file, None
        if file is not None:
            self._saved, self._saved_of = file.contents(), file.identity
            self._lost = max(file.count - len(self._saved.pending), 0)
        try:
            aside = set_aside(self._path)
        finally:
            if file is not None:
                file.close()  # only now: it may write, and deletes its log by name
        if self._saved is None:
            self._saved, self._saved_of, self._lost = read_aside(aside), None, None
        what = _what_became(aside, self._saved, self._lost)
        self.set_aside = f"{'damaged' if os.path.lexists(aside) else 'deleted'}, {what}"
        self._metrics.outbox_errors.labels(code=OutboxDamaged.code).inc()
        log.error("%s: %s; a new one is used", damage, what, extra={"code": OutboxDamaged.code})


def _what_became(aside: Path, saved: Contents, lost: int | None) -> str:
    """Of an outbox: which files are kept, what of it goes on, what is lost (None: nobody knows), what to do."""
    beside = [file.name for file in side_files(aside) if os.path.lexists(file)]
    kept = [aside.name] * os.path.lexists(aside) + beside
    left = f"set aside as {', '.join(kept)}" if kept else "nothing is left to set aside"
    parts = [left, f"saved: {len(saved.pending)} waiting messages, {len(saved.open_visits)} open visits"]
    gone = f"{lost} waiting messages" if lost else "nothing" if lost == 0 else "what else waited in it"
    parts.append(f"lost: {gone}")
    if not os.path.lexists(aside):
        parts.append("leave outbox.db alone, or stop the service before it is moved")
    else:
        parts.append("check the disk")
    if kept:
        parts.append(f"delete {', '.join(kept)} when you no longer want {'it' if len(kept) == 1 else 'them'}")
    return "; ".join(parts)
