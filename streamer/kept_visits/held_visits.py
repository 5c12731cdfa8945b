"""The file of kept visits as its writer holds it: opened, opened again where that failed, exchanged where damaged.

Everything blocks; on the writer's thread.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from gallery.errors import MasterKeyError
from gallery.keys.master_key import KeySource
from recognition.errors import CodedError
from streamer.errors import KeptVisitsDamaged, KeptVisitsError, KeptVisitsMissing, KeptVisitsUnwritable
from streamer.events.damage import set_aside, side_files
from streamer.kept_visits.visits_file import VisitsFile
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

RETRY_S = 5.0
# A disk that damages what is written would otherwise be filled with what was set aside.
RENEW_S = 60.0


class HeldVisits:
    """`is_wanted`: there is to be a file. `file` is None while there is none; `trouble`: why no visit can be kept.

    A file whose key is not to be had stays as it is: it can be erased from, and nothing is written.
    """

    def __init__(
        self, path: Path, keys: KeySource | None, *, encrypt: bool, began: Callable[[VisitsFile], None]
    ) -> None:
        """`began` is called with each file that is opened, once it can be read."""
        self.is_wanted = False
        self.file: VisitsFile | None = None
        self.trouble: CodedError | None = None
        self._path = path
        self._keys = keys
        self._encrypt = encrypt
        self._began = began
        self._is_open = self._is_unlocked = False
        self._retry_at_s = 0.0
        self._renew_at_s = 0.0
        self._once = OnceLog(log)

    def want(self) -> None:
        """There is to be a file. On any thread."""
        self.is_wanted = True
        self._retry_at_s = 0.0

    @property
    def retry_in_s(self) -> float:
        """When look() is to be called again, where there is something to try again."""
        waits = not self._is_ready and (self.is_wanted or self.trouble is not None)
        return max(self._retry_at_s - time.monotonic(), 0.0) if waits else float("inf")

    @property
    def _is_ready(self) -> bool:
        return self._is_open and (self._is_unlocked or not self.is_wanted)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
        self.file, self._is_open, self._is_unlocked = None, False, False

    def look(self) -> None:
        """Open what is to be opened; notice where somebody has deleted or replaced the file."""
        if self._is_open and self.file is not None and not self.file.is_in_place:
            self.close()
            self._retry_at_s = 0.0
        if self._is_ready or time.monotonic() < self._retry_at_s:
            return
        self._retry_at_s = time.monotonic() + RETRY_S
        try:
            self._open()
        except KeptVisitsDamaged as damage:
            self._renew(damage)
        except KeptVisitsMissing:
            self.trouble = None
        except (KeptVisitsError, MasterKeyError) as error:
            self._fail(error)

    def use(self, act: Callable[[VisitsFile], None]) -> bool:
        """Whether it was done; where it can't be, that is told."""
        if self.file is None:
            return False
        try:
            act(self.file)
        except KeptVisitsDamaged as damage:
            self._renew(damage)
        except KeptVisitsUnwritable as error:
            self._fail(error)
        except MasterKeyError as error:  # it was put under another key
            self._fail(error)
            self.close()
        else:
            return True
        return False

    def works(self) -> None:
        """It was written."""
        if self.trouble is not None:
            log.info("kept visits %s can be written again", self._path)
        self.trouble = None
        self._once.over("visits")

    def _open(self) -> None:
        if self.file is None:
            self.file = VisitsFile(self._path, self._keys, make=self.is_wanted)
        if self.is_wanted:
            self.file.unlock(encrypt=self._encrypt)
            self._is_unlocked = True
        self._began(self.file)
        self._is_open = True
        self.works()

    def _fail(self, error: CodedError) -> None:
        self.trouble = error
        self._once.warn("visits", error, "%s; until then no visits are kept, and events go on")

    def _renew(self, damage: KeptVisitsDamaged) -> None:
        """Set the damaged file aside as it is, and use a new one."""
        self.trouble = damage
        self.close()
        if time.monotonic() < self._renew_at_s:
            self._retry_at_s = self._renew_at_s
            self._fail(damage)
            return
        self._renew_at_s = time.monotonic() + RENEW_S
        try:
            aside = set_aside(self._path)
        except OSError as error:
            self._fail(KeptVisitsDamaged(f"{damage}, and can't be set aside ({error.strerror})"))
            return
        kept = [file.name for file in (aside, *side_files(aside)) if os.path.lexists(file)]
        log.error(
            "%s: set aside as %s, and new ones are begun; `people forget` can't reach what lies there: delete it when "
            "you no longer want it",
            damage,
            ", ".join(kept),
            extra={"code": damage.code},
        )
        self.trouble, self._retry_at_s = None, 0.0
