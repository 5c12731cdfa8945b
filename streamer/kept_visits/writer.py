"""The writer of kept visits: what waits for the disk, and the thread that makes pictures and writes, in groups.

Jobs come in from the loop, under a lock that is never held while the thread works; nothing goes back but figures.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from gallery.errors import MasterKeyMissing, MasterKeyWrong
from gallery.keys.master_key import KeySource
from streamer.errors import KeptVisitsDamaged, KeptVisitsTooNew, KeptVisitsUnwritable
from streamer.events.event import IdentityEvent
from streamer.kept_visits.held_visits import HeldVisits
from streamer.kept_visits.jobs import Ended, Forgotten, Gone, Job, Refused, Seen, Stepped, Told
from streamer.kept_visits.pictures import Chip, Scene
from streamer.kept_visits.sheet import Sheet
from streamer.kept_visits.visit import Limits, VisitChange
from streamer.kept_visits.visits_file import VisitsFile
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

MOST_JOBS = 1_000
MOST_FRAMES = 8  # that wait to be looked at; each is some MB
MOST_WAITING = 64  # visits that wait for a disk that is full or fails
GROUP_S = 1.0  # what is told is written within; by then a visit's first good faces have been seen
PURGE_S = 3600.0
QUEUE_FULL = "queue_full"
LOSSES = (
    *(KeptVisitsUnwritable.code, KeptVisitsDamaged.code, KeptVisitsTooNew.code),
    *(MasterKeyMissing.code, MasterKeyWrong.code, QUEUE_FULL),
)


@dataclass(slots=True)
class _Due:
    """What is to be done to the file besides writing visits."""

    forget: set[str] = field(default_factory=set)
    erase: set[str] = field(default_factory=set)
    ends: deque[IdentityEvent] = field(default_factory=lambda: deque(maxlen=MOST_JOBS))
    stepped: bool = False
    tidying: bool = False

    def __bool__(self) -> bool:
        return bool(self.forget or self.erase or self.ends or self.stepped or self.tidying)


class VisitsWriter:
    """run() is the thread; the rest is called on the loop and never waits. now: the steady clock, unix_s: the other."""

    def __init__(
        self,
        path: Path,
        keys: KeySource | None,
        *,
        encrypt: bool,
        limits: Limits,
        metrics: Metrics,
        boot: str,
        now: Callable[[], float],
        unix_s: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._metrics = metrics
        self._boot = boot
        self._now = now
        self._unix_s = unix_s
        # All of these are shared by the loop and the thread, under this lock.
        self._wake = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._frames = 0
        self._is_closing = False
        # The thread's own; the loop looks at held.trouble and self._waiting.
        self.held = HeldVisits(path, keys, encrypt=encrypt, began=self._begin)
        self._sheets: dict[int, Sheet] = {}
        self._waiting = 0
        self._due = _Due()
        self._has_begun = False
        self._write_at_s: float | None = None
        self._purge_at_s = now() + PURGE_S
        for code in LOSSES:
            metrics.visits_lost.labels(code=code)

    # On the loop.

    @property
    def refusal(self) -> str:
        """Why no visit can be taken now, as a stable code; empty where one can."""
        trouble = self.held.trouble
        if trouble is not None and (self.held.file is None or self._waiting >= MOST_WAITING or not trouble.retryable):
            return trouble.code
        return QUEUE_FULL if len(self._jobs) >= MOST_JOBS else ""

    def want(self) -> None:
        """There are visits to keep from now on."""
        with self._wake:
            self.held.want()
            self._wake.notify()

    def put(self, job: Job) -> bool:
        """False where it was not taken: a visit's faces and messages where too much waits; the rest always is."""
        with self._wake:
            has_picture = isinstance(job, Seen) and job.image is not None
            if isinstance(job, Seen | Told) and len(self._jobs) >= MOST_JOBS:
                return False
            if has_picture and self._frames >= MOST_FRAMES:
                return False
            self._frames += has_picture
            self._jobs.append(job)
            self._wake.notify()
        return True

    def close(self) -> None:
        """What waits is written, and run() returns."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()

    # On the thread.

    def run(self) -> None:
        """Until close()."""
        try:
            while self._once():
                pass
        finally:
            self.held.close()

    def _once(self) -> bool:
        self.held.look()
        with self._wake:
            self._wake.wait_for(self._has_work, self._pause_s())
            jobs, self._jobs, self._frames = self._jobs, deque(), 0
            is_closing = self._is_closing
        self.held.look()
        scenes: dict[int, Scene] = {}
        while jobs:
            self._do(jobs.popleft(), scenes)
        now_s = self._now()
        if is_closing or (self._write_at_s is not None and now_s >= self._write_at_s):
            self._write(now_s)
        if now_s >= self._purge_at_s:
            self._purge_at_s = now_s + PURGE_S
            self.held.use(self._purge)
        if is_closing and self._waiting:
            self._metrics.visits_lost.labels(code=self.refusal or QUEUE_FULL).inc(self._waiting)
            log.error("%d visits could not be written and are not kept", self._waiting)
        return not is_closing

    def _has_work(self) -> bool:
        return bool(self._jobs) or self._is_closing or self.held.retry_in_s <= 0.0

    def _pause_s(self) -> float | None:
        until_s = self._purge_at_s if self._write_at_s is None else min(self._purge_at_s, self._write_at_s)
        return max(min(until_s - self._now(), self.held.retry_in_s), 0.0)

    def _begin(self, file: VisitsFile) -> None:
        """A file was opened; this run's first may have visits that the run before left open."""
        if not self._has_begun:
            file.take_over()
        self._has_begun = True
        file.follow_clock(self._boot, self._unix_s() - self._now())
        for sheet in self._sheets.values():
            sheet.is_written = sheet.has_scene = False
        self._purge(file)

    def _purge(self, file: VisitsFile) -> None:
        if gone := file.purge(self._unix_s(), self._limits):
            file.tidy()
            log.info("%d kept visits were kept for long enough, or made room for newer ones", gone)
        self._metrics.visits_bytes.set(file.used_bytes)

    def _do(self, job: Job, scenes: dict[int, Scene]) -> None:
        match job:
            case Seen():
                sheet = self._sheets.setdefault(job.track, Sheet())
                sheet.add_face(job.face, *_pictures(job, scenes))
                return
            case Told():
                self._sheets.setdefault(job.track, Sheet()).tell(job.messages, job.began_s)
            case Gone():
                known = self._sheets.get(job.track)
                if known is not None and not known.is_over:
                    del self._sheets[job.track]
                return
            case Refused():
                self._drop(job.track)
            case Forgotten():
                self._due.forget |= job.person_ids
                for track in [key for key, sheet in self._sheets.items() if sheet.people & job.person_ids]:
                    self._drop(track)
            case Ended():
                self._due.ends.append(job.event)
            case Stepped():
                self._due.stepped = True
            case _:
                assert_never(job)
        self._write_soon(0.0 if isinstance(job, Refused | Forgotten) else GROUP_S)

    def _drop(self, track: int) -> None:
        sheet = self._sheets.pop(track, None)
        if sheet is not None and sheet.is_written and sheet.event_id is not None:
            self._due.erase.add(sheet.event_id)

    def _write_soon(self, within_s: float) -> None:
        at_s = self._now() + within_s
        self._write_at_s = at_s if self._write_at_s is None else min(self._write_at_s, at_s)

    def _write(self, now_s: float) -> None:
        """All that waits. What can't be written now stays, and is tried again soon."""
        self._write_at_s = None
        changes = {track: change for track, sheet in self._sheets.items() if (change := sheet.change(now_s))}
        if not self.held.is_wanted and self.held.file is None and self.held.trouble is None:
            self._due = _Due()  # there is no file: nothing to erase, nothing to end
        if not changes and not self._due:
            return
        if self.held.use(lambda file: self._work_off(file, changes)):
            self.held.works()
            if self._due:  # somebody reads the log
                self._write_soon(GROUP_S)
        else:
            self._write_soon(GROUP_S)
        for track in [key for key, sheet in self._sheets.items() if sheet.is_over and not sheet.unwritten]:
            del self._sheets[track]
        self._waiting = sum(bool(sheet.unwritten) for sheet in self._sheets.values())

    def _work_off(self, file: VisitsFile, changes: dict[int, VisitChange]) -> None:
        """Each step for itself: what is done is not done again where a later one fails."""
        due = self._due
        if due.forget or due.erase:
            file.forget(due.forget)
            file.erase(due.erase, spares_named=True)  # forget() has erased what it must, whoever was named by hand
            due.forget, due.erase, due.tidying = set(), set(), True
        if due.tidying:
            due.tidying = not file.tidy()
        if due.stepped:
            file.follow_clock(self._boot, self._unix_s() - self._now())
            due.stepped = False
        while due.ends:
            file.end(due.ends[0])
            due.ends.popleft()
        if not changes:
            return
        gone = file.write(list(changes.values()), self._boot)
        for track, change in changes.items():
            sheet = self._sheets[track]
            self._metrics.visits_kept.inc(change.is_first)
            sheet.done(is_gone=change.event_id in gone)
        self._metrics.visits_bytes.set(file.used_bytes)
        if file.used_bytes > self._limits.most_bytes:
            self._purge(file)


def _pictures(seen: Seen, scenes: dict[int, Scene]) -> tuple[Chip | None, Scene | None]:
    """One scene for all faces of a frame."""
    image = seen.image
    if image is None:
        return None, None
    scene = None
    if seen.is_scene:
        scene = scenes.get(id(image)) or scenes.setdefault(id(image), Scene(image))
    return Chip(image, seen.landmarks), scene
