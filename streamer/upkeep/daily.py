"""The service's own upkeep: who has had their time is erased at its start, and once a day.

On the loop; the work is on a thread of its own, with connections of its own, so that neither loop nor gallery waits.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from gallery.errors import GalleryMissing
from recognition.errors import CodedError
from streamer.settings import Settings
from streamer.steady import UNSET_BEFORE
from streamer.telemetry.once_log import OnceLog
from streamer.upkeep.purge import Purged, purge

log = logging.getLogger(__name__)

DAY_S = 86_400.0
LOOK_S = 60.0
_LATER = "%s; who has had their time is erased when it can be"


class Upkeep:
    """Made by the service, whose gallery and files these settings name."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._purged_at = 0.0
        self._once = OnceLog(log)

    async def run(self) -> None:
        """For ever. What the world does wrong is told, and tried again."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """What is due now."""
        now = self._clock()
        due = now >= UNSET_BEFORE and abs(now - self._purged_at) >= DAY_S  # also where the clock was set back
        if due and await self._purged():
            self._purged_at = now

    async def _purged(self) -> bool:
        """False where it could not be done."""
        try:
            done = await asyncio.to_thread(self._purge)
        except CodedError as error:
            self._once.warn("purge", error, _LATER)
            return False
        except OSError as error:  # of a file that is looked at beside the gallery
            self._once.say("purge", str(error), logging.WARNING, _LATER, error)
            return False
        self._once.over("purge")
        for one in done.people:
            log.info("person %s is erased: %s", one.person_id, one.why, extra={"code": one.why})
        for left in done.report.left if done.report else ():
            log.warning("of the erased is left: %s", left)
        return True

    def _purge(self) -> Purged:
        self._must_be_there()
        return purge(self._settings, actor="service", in_service=True, clock=self._clock)

    def _must_be_there(self) -> None:
        """Raises GalleryMissing: nothing is begun anew in the place of a gallery that is gone."""
        if not self._settings.gallery_path.exists():
            raise GalleryMissing(f"gallery {self._settings.gallery_path} is gone; put it back, or restore a backup")
