"""What there is to review, for whoever asks while the service runs. Memory holds a mean of each visit's faces, until
nobody has looked for a while.

On the event loop; the file is read and faces are compared on two threads of its own, behind the cameras'.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Self, TypeVar

from gallery.keys.master_key import KeySource
from recognition.errors import Overloaded
from recognition.models.manager import ModelManager
from recognition.serving.lanes import step_back
from recognition.serving.one_thread import OneThread
from recognition.specs.spec import EmbedderSpec
from streamer.errors import KeptVisitsMissing
from streamer.kept_visits.visits_file import VisitsFile
from streamer.model_layer.enrolling import verifying_thresholds
from streamer.pipeline.live_gallery import LiveGallery
from streamer.process import key_source
from streamer.review.cluster import Cluster, Review
from streamer.review.errors import ClusterChanged, ClusterNotFound
from streamer.review.reading import Queue, mean_of
from streamer.settings import Settings

T = TypeVar("T")

MOST_CANDIDATES = 3
_POLITE = 10
_MOST_WAITING = 64
KEPT_S = 600.0  # after the last look
_MOST_SHOWN = 200_000  # visits of clusters that were shown, and may be decided on though others came since
_LOOKED_AT = 5  # of a cluster's visits, the best ones: who they may be, and whose faces are enrolled


class ReviewDesk:
    """Made by ReviewDesk.open() alone."""

    def __init__(
        self, settings: Settings, manager: ModelManager, people: LiveGallery, thread: OneThread, comparing: OneThread
    ) -> None:
        """comparing: what takes seconds; no decision waits behind it."""
        self._deciding = asyncio.Lock()
        self._waiting = 0
        self._path = settings.visits_path
        self._keys: KeySource | None = key_source(settings)
        self._manager = manager
        self._people = people
        self._thread = thread
        self._comparing = comparing
        self._queue = Queue()  # the comparing thread's
        self._is_open = True
        self._idle: asyncio.TimerHandle | None = None
        self._shown: OrderedDict[str, Cluster] = OrderedDict()
        self._shown_visits = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, manager: ModelManager, people: LiveGallery) -> AsyncIterator[Self]:
        threads = [ThreadPoolExecutor(1, name, initializer=partial(step_back, _POLITE)) for name in ("said", "review")]
        desk = cls(settings, manager, people, *(OneThread(one, _MOST_WAITING, "the review") for one in threads))
        try:
            yield desk
        finally:
            desk._is_open = False
            for thread in threads:
                await asyncio.to_thread(thread.shutdown)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Held by whoever decides on a cluster, or whose a visit is. Raises Overloaded."""
        if self._waiting >= _MOST_WAITING:
            raise Overloaded(f"{self._waiting} decisions wait for their turn already; try again in a moment")
        self._waiting += 1
        try:
            async with self._deciding:
                yield
        finally:
            self._waiting -= 1

    async def run(self, work: Callable[[VisitsFile], T], *, is_rest: bool = False) -> T:
        """What `work` returns, as VisitReader.run()."""
        return await self._thread.run(partial(self._opened, work), is_rest=is_rest)

    def _opened(self, work: Callable[[VisitsFile], T]) -> T:
        with VisitsFile(self._path, self._keys) as file:
            return work(file)

    async def review(self) -> Review:
        """As things stand. Raises KeptVisitsError, MasterKeyError and Overloaded; where no visit was ever kept there
        is nothing to review.
        """
        rates = {spec.space: spec.thresholds for spec in self._manager.specs.values() if isinstance(spec, EmbedderSpec)}
        policy = self._people.calibrated.get(self._people.serving)
        preferred = policy.spaces[0].space if policy is not None else ""

        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(KEPT_S, self._forget)
        try:
            return await self._comparing.run(
                partial(self._opened, lambda file: self._queue.look(file, preferred, rates))
            )
        except KeptVisitsMissing:
            return Review((), {})

    def forget(self) -> None:
        """Somebody is forgotten: no face that was compared stays in memory. Never waits."""
        self._forget()

    def _forget(self) -> None:
        if self._is_open:
            self._comparing.soon(self._queue.clear)

    def show(self, clusters: Iterable[Cluster]) -> None:
        """Somebody sees these from now on, and may decide on them."""
        for one in clusters:
            if one.id not in self._shown:
                self._shown_visits += len(one.event_ids)
            self._shown[one.id] = one
            self._shown.move_to_end(one.id)
        while self._shown_visits > _MOST_SHOWN and len(self._shown) > 1:
            _, gone = self._shown.popitem(last=False)
            self._shown_visits -= len(gone.event_ids)

    async def cluster(self, cluster_id: str) -> Cluster:
        """As things stand, or as it was shown, whatever came since, while nothing was decided on it. Raises
        ClusterNotFound, and as review().
        """
        if (found := await self._now(cluster_id)) is not None:
            self.show([found])
            return found
        shown = self._shown.get(cluster_id)
        if shown is not None and await self.run(lambda file: _is_open(file, shown)):
            return shown
        raise ClusterNotFound(f"there is no cluster {cluster_id} to review (any more); GET /api/v1/review lists them")

    async def members(self, cluster_id: str, *, as_now: bool) -> tuple[str, ...]:
        """The visits of a cluster as it was shown, whatever came since. as_now: raises ClusterChanged where it is not
        as it was. Raises ClusterNotFound.
        """
        shown = self._shown.get(cluster_id)
        if shown is None:
            return (await self.cluster(cluster_id)).event_ids
        if as_now and await self._now(cluster_id) is None:
            raise ClusterChanged(
                f"cluster {cluster_id} has changed since it was read (If-Match); read it again, and decide anew"
            )
        return shown.event_ids

    async def _now(self, cluster_id: str) -> Cluster | None:
        now = await self.review()
        return next((one for one in (*now.clusters, *now.ignored) if one.id == cluster_id), None)

    async def candidates(self, clusters: Sequence[Cluster]) -> list[dict[str, float]]:
        """For each who of the enrolled it may be, with how alike they are, the nearest first: from the cosine on from
        which two faces are one person's where that is supposed.
        """
        floors = verifying_thresholds(self._manager)
        if not clusters:
            return []

        def near(file: VisitsFile) -> list[dict[str, float]]:
            return [self._near(file, one, floors.get(one.space, 1.0)) for one in clusters]

        return await self._comparing.run(partial(self._opened, near))

    async def best(self, event_ids: Sequence[str]) -> list[str]:
        """Of these visits a few with the best faces."""
        quality = await self.run(lambda file: file.best_quality(event_ids))
        return sorted(quality, key=lambda one: (-quality[one], one))[:_LOOKED_AT]

    def _near(self, file: VisitsFile, cluster: Cluster, floor: float) -> dict[str, float]:
        """On the thread."""
        index = self._people.index_of(cluster.space)
        faces = [face for event_id in cluster.event_ids[:_LOOKED_AT] for face in file.faces(event_id)]
        mean = mean_of(face for face in faces if face.space == cluster.space)
        if index is None or mean is None or len(mean) != index.dim:
            return {}
        (found,) = index.search_people(mean[None], 4 * MOST_CANDIDATES)
        likely = ((who, cosine) for who, cosine in found.similarities.items() if cosine >= floor)
        enrolled = [(who, cosine) for who, cosine in likely if self._people.name_of(who) is not None]
        return dict(sorted(enrolled, key=lambda one: (-one[1], one[0]))[:MOST_CANDIDATES])


def _is_open(file: VisitsFile, cluster: Cluster) -> bool:
    """Whether all its visits are kept, nobody's, and to be reviewed."""
    whose = file.whose(cluster.event_ids)
    decided = (is_known or (said is not None and said.is_ignored) for is_known, said in whose.values())
    return len(whose) == len(cluster.event_ids) and not any(decided)
