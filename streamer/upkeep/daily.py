"""The service's own upkeep: the gallery looked through once, who has had their time erased, at its start and daily.

On the loop; the work is on a thread of its own, with a connection of its own, so that neither loop nor gallery waits.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from gallery.errors import GalleryError, GalleryMissing, GalleryUnreadable
from streamer.errors import KeptVisitsError
from streamer.process import store_of
from streamer.settings import Settings
from streamer.steady import UNSET_BEFORE
from streamer.telemetry.once_log import OnceLog
from streamer.upkeep.purge import Purged, purge

log = logging.getLogger(__name__)

DAY_S = 86_400.0
LOOK_S = 60.0


class Upkeep:
    """`damage`: what is wrong with the gallery, and the way out; empty where nothing is, None: not looked yet."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self.damage: str | None = None
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
        if self.damage is None or self.damage:
            await asyncio.to_thread(self._look_through)
        now = self._clock()
        due = now >= UNSET_BEFORE and abs(now - self._purged_at) >= DAY_S  # also where the clock was set back
        if due and not self.damage and await self._purged():
            self._purged_at = now

    async def _purged(self) -> bool:
        """False where it could not be done."""
        try:
            done = await asyncio.to_thread(self._purge)
        except (GalleryError, KeptVisitsError) as error:
            self._once.warn("purge", error, "%s; who has had their time is erased when it can be")
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

    def _look_through(self) -> None:
        try:
            self._must_be_there()
            with store_of(self._settings) as store:
                store.check()
        except GalleryUnreadable as damage:
            self.damage = str(damage)
            self._once.say("damage", self.damage, logging.ERROR, "%s", damage, code=damage.code)
        except GalleryError as error:
            self._once.warn("look through", error, "%s; the gallery is looked through when it can be")
        else:
            self.damage = ""
            self._once.over("damage")

    def _must_be_there(self) -> None:
        """Raises GalleryMissing: nothing is begun anew in the place of a gallery that is gone."""
        if not self._settings.gallery_path.exists():
            raise GalleryMissing(f"gallery {self._settings.gallery_path} is gone; put it back, or restore a backup")
