"""Covering: who lacks templates in the spaces of the embedders that may serve is counted, and gets them made.

Runs on the event loop; the gallery and the networks are on threads. A gallery that can't be read stops nothing: what
was known of it goes on counting, and it is tried again.
"""

import asyncio
import logging
from collections.abc import Callable

from gallery.store import PersonStore
from recognition.errors import CodedError
from recognition.models.figures import Unavailable
from recognition.models.local_figures import LocalFigures
from recognition.models.manager import ModelManager
from recognition.models.spec import EmbedderSpec
from streamer.coverage import NOBODY, Coverage, coverage_in, embedders_behind, spaces_behind
from streamer.metrics import Metrics
from streamer.reindexing import reindex_for
from streamer.roster import Roster
from streamer.settings import Settings

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 600.0


class Covering:
    """`names`: the embedders that may serve now, by their specs' own names."""

    def __init__(
        self,
        settings: Settings,
        manager: ModelManager,
        local: LocalFigures,
        metrics: Metrics,
        names: Callable[[], list[str]],
    ) -> None:
        self.coverage: Coverage = NOBODY
        self._gallery = settings.gallery_path
        self._poll_s = settings.recognition.poll_s
        self._manager = manager
        self._local = local
        self._metrics = metrics
        self._names = names
        self._fault: CodedError | None = None

    def look_up(self) -> None:
        """Read who has templates, before there is a roster. Blocks. Raises GalleryError."""
        if not self._gallery.is_file():
            self.coverage = Coverage(0, dict.fromkeys(self._names(), 0))
            return
        with PersonStore(self._gallery) as store:
            self.coverage = coverage_in(store, self._manager, self._names())

    async def count(self, roster: Roster) -> None:
        """Count anew; where the gallery can't be read, that is told once."""
        lacking = {}
        try:
            for name in self._names():
                spaces = spaces_behind(self._manager, name)
                lacking[name] = max([await roster.uncovered(space) for space in spaces], default=0)
                self._metrics.gallery_uncovered.labels(model=name).set(lacking[name])
        except CodedError as error:
            if self._fault is None or self._fault.code != error.code:
                log.warning("who has templates can't be told: %s", error, extra={"code": error.code})
            self._fault = error
        else:
            self._fault, self.coverage = None, Coverage(roster.people, lacking)

    def against(self, name: str) -> Unavailable | None:
        """Why not to switch to this embedder: whom it could not name, or that nobody knows."""
        if self._fault is not None and name not in self.coverage.lacking:
            return Unavailable(self._fault.code, str(self._fault))
        reachable = [one for one in self._names() if self._manager.availability(one).ok]
        return self.coverage.against(name, reachable)

    async def keep(self, roster: Roster, signature_with: Callable[[EmbedderSpec], str]) -> None:
        """Make what people lack, for ever; what failed is tried again, later each time.

        Photos of which nothing can be made are looked at again when something else in the gallery has changed.
        """
        settled: dict[str, tuple[int, int]] = {}
        paused: dict[str, tuple[float, float]] = {}  # until when (the loop's seconds), and for how long
        clock = asyncio.get_running_loop().time
        while True:
            for name in self._names():
                lacking, generation = self.coverage.lacking.get(name, 0), roster.generation
                until_s, pause_s = paused.get(name, (0.0, self._poll_s))
                if not lacking or settled.get(name) == (generation, lacking) or clock() < until_s:
                    continue
                if not self._manager.availability(name).ok:
                    continue
                log.info("model %s: %d people lack templates in its space; making them of their photos", name, lacking)
                try:
                    await self._make(name, signature_with)
                except CodedError as error:
                    log.warning("model %s: no templates made: %s", name, error, extra={"code": error.code})
                    paused[name] = (clock() + pause_s, min(2 * pause_s, LONGEST_PAUSE_S))
                    continue
                paused.pop(name, None)
                await self.count(roster)
                if self._fault is None:
                    settled[name] = (generation, self.coverage.lacking.get(name, 0))
            await asyncio.sleep(self._poll_s)

    async def _make(self, name: str, signature_with: Callable[[EmbedderSpec], str]) -> None:
        for spec in embedders_behind(self._manager, name):
            await reindex_for(
                spec.name, self._gallery, self._manager, signature_with, lambda done, total: None, self._local
            )
