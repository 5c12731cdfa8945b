"""The service's own upkeep: who has had their time is erased at its start, and once a day.

On the loop; the work is on a thread of its own, with connections of its own, so that neither loop nor gallery waits.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from gallery.errors import GalleryMissing
from gallery.retention import DAY_S
from recognition.errors import CodedError
from streamer.settings import Settings
from streamer.steady import UNSET_BEFORE, WallClock, steady_s
from streamer.telemetry.once_log import OnceLog
from streamer.upkeep.purge import LEAP_S, Purged, purge

log = logging.getLogger(__name__)

LOOK_S = 60.0
TRUST_AFTER_S = 0.95 * DAY_S  # by the next daily purge the clock is trusted
_LATER = "%s; who has had their time is erased when it can be"


class Upkeep:
    """Made by the service, whose gallery and files these settings name."""

    def __init__(
        self, settings: Settings, *, clock: Callable[[], float] = time.time, steady: Callable[[], float] = steady_s
    ) -> None:
        self._settings = settings
        self._clock, self._steady = clock, steady
        self._wall = WallClock(clock(), steady())
        self._even_since_s = steady()
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
        if self._wall.step(now, self._steady()) > LEAP_S:
            self._even_since_s = self._steady()
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
        if done.held_back:
            told = (
                "the clock is more than %d days ahead of the gallery's last change: %d people whose time would be over "
                "are erased in a day, unless it is set right; whosthere gallery purge --yes erases them now"
            )
            log.warning(told, LEAP_S / DAY_S, len(done.held_back), extra={"code": "clock_ahead"})
        for one in done.people:
            log.info("person %s is erased: %s", one.person_id, one.why, extra={"code": one.why})
        for left in done.report.left if done.report else ():
            log.warning("of the erased is left: %s", left)
        return True

    def _purge(self) -> Purged:
        self._must_be_there()
        trusts = self._steady() - self._even_since_s >= TRUST_AFTER_S
        return purge(self._settings, actor="service", in_service=True, trusts_clock=trusts, clock=self._clock)

    def _must_be_there(self) -> None:
        """Raises GalleryMissing: nothing is begun anew in the place of a gallery that is gone."""
        if not self._settings.gallery_path.exists():
            raise GalleryMissing(f"gallery {self._settings.gallery_path} is gone; put it back, or restore a backup")
