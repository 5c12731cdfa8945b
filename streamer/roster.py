"""Who is enrolled, as the running service sees it: the store, the index built from it, and what others wrote.

Tracks' kept faces go in, verdicts come out. The store has a thread of its own, the index is searched on the CPU
pool; neither blocks the loop. What the CLI writes is noticed within a second (SQLite's data_version).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Self, TypeVar

import numpy as np

from gallery.index import FaceIndex
from gallery.matching import confidence, decide
from gallery.store import PersonStore
from recognition.errors import CodedError
from recognition.recogniser import Recogniser
from streamer.metrics import Metrics
from streamer.settings import Settings
from streamer.tracking import KeptFace
from streamer.visits import Verdict

log = logging.getLogger(__name__)

POLL_S = 0.25
T = TypeVar("T")


def naming_threshold(settings: Settings, recogniser: Recogniser) -> float:
    """The cosine from which on two faces count as one person's: the configured one, else the model's for 1:N."""
    if settings.gallery.threshold is not None:
        return settings.gallery.threshold
    return recogniser.embedder.spec.identification_threshold


class Roster:
    """Made by Roster.open() alone. `generation` rises whenever somebody was enrolled, renamed or forgotten."""

    def __init__(
        self,
        store: PersonStore,
        settings: Settings,
        recogniser: Recogniser,
        metrics: Metrics,
        thread: ThreadPoolExecutor,
    ) -> None:
        spec = recogniser.embedder.spec
        self.threshold = naming_threshold(settings, recogniser)
        self.generation = 0
        self._settings = settings.gallery
        self._rates = [(row.fmr, row.cosine, row.tmr) for row in spec.thresholds.table]
        self._store = store
        self._index = FaceIndex(recogniser.space, spec.embedding_size)
        self._model = spec.name
        self._metrics = metrics
        self._thread = thread
        self._pool = recogniser.pool
        self._version = -1
        self._names: dict[str, str] = {}
        self._nameless = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, recogniser: Recogniser, metrics: Metrics) -> AsyncIterator[Self]:
        """Open the gallery and build its index. Raises GalleryError, EmbeddingSpaceMismatch."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="gallery")
        try:
            store = await loop.run_in_executor(thread, PersonStore, settings.gallery_path)
            try:
                roster = cls(store, settings, recogniser, metrics, thread)
                await roster.refresh()
                yield roster
            finally:
                await loop.run_in_executor(thread, store.close)
        finally:
            await asyncio.to_thread(thread.shutdown)

    def name_of(self, person_id: str) -> str | None:
        """The display name, from memory; None for somebody who is not enrolled (any more)."""
        return self._names.get(person_id)

    @property
    def people(self) -> int:
        """How many people are enrolled, templates or not."""
        return len(self._names)

    async def judge(self, tracks: Sequence[Sequence[KeptFace]]) -> list[Verdict]:
        """The verdict on each track, voted by its kept faces, weighted by their quality."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._judge, tracks)

    async def refresh(self) -> set[str]:
        """Follow the store where it has changed; returns the ids of people who are gone."""
        changed = await self._off_loop(self._follow)
        if changed is None:
            return set()
        gone = self._names.keys() - changed.keys()
        self._names = changed
        self.generation += 1
        self._metrics.gallery_people.set(len(changed))
        self._metrics.gallery_templates.labels(model=self._model).set(len(self._index))
        self._warn_of_the_nameless(len(changed) - self._index.people)
        return set(gone)

    async def follow(self, forgotten: Callable[[Iterable[str]], None]) -> None:
        """Refresh for ever; `forgotten` is told who is gone. A gallery that can't be read is tried again."""
        trouble = ""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                gone = await self.refresh()
            except CodedError as error:
                if error.code != trouble:
                    log.warning("%s", error, extra={"code": error.code})
                trouble = error.code
                continue
            trouble = ""
            if gone:
                forgotten(gone)

    def _warn_of_the_nameless(self, count: int) -> None:
        """Say who can't be named, once for each change: they were enrolled with another embedder."""
        if count != self._nameless and count > 0:
            log.warning(
                "%d of %d people have no template for %s and can't be named; enrol them again, or go back to the "
                "embedder that they were enrolled with",
                count,
                len(self._names),
                self._model,
            )
        self._nameless = count

    def _judge(self, tracks: Sequence[Sequence[KeptFace]]) -> list[Verdict]:
        faces = [face.embedding for kept in tracks for face in kept]
        probes = np.stack(faces) if faces else np.empty((0, self._index.dim), np.float32)
        candidates = iter(self._index.search_people(probes, self._settings.top_k))
        verdicts = []
        for kept in tracks:
            votes = [next(candidates) for _ in kept]
            match = decide(votes, self.threshold, self._settings.margin, [face.quality for face in kept])
            verdicts.append(Verdict(match, self.threshold, confidence(match, self._rates, len(self._index))))
        return verdicts

    def _follow(self) -> dict[str, str] | None:
        """On the gallery's thread: bring the index up to date; the names by id, None where nothing changed."""
        version = self._store.data_version()
        if version == self._version:
            return None
        self._index.sync(self._store)
        names = {person.id: person.name for person in self._store.people()}
        self._version = version
        return names

    async def _off_loop(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
