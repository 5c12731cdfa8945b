"""Who is enrolled, as the running service sees it: the store, the index built from it, and what others wrote.

Tracks' kept faces go in, verdicts come out. Several embedders may be known at once: each embedding space has an
index of its own, and a track is judged by the faces of one embedder alone; of an ensemble whose members have to agree,
by each member in its own space. The store has a thread of its own, the indexes are searched on the CPU pool; neither
blocks the loop. What the CLI writes is noticed within a second (SQLite's data_version).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Self, TypeVar

from gallery.errors import ImpostorModelInvalid
from gallery.index.faiss_index import FaceIndex
from gallery.matching.calibration_text import from_texts
from gallery.matching.negatives import Negatives
from gallery.matching.reconsider import NeighbourCheck
from gallery.matching.rerank import Reranker
from gallery.matching.rerank_library import make_reranker
from gallery.matching.space_policy import standing
from gallery.people import Profile, TemplateMark, own_thresholds
from recognition.errors import CodedError, EmbeddingSpaceMismatch
from recognition.recogniser import Recogniser
from streamer.naming.served import ServedClassifier
from streamer.pipeline.gallery_file import GalleryChange, GalleryFile, damage_of, renamed
from streamer.pipeline.judging import Judge, voters
from streamer.pipeline.match_policy import MatchPolicy, conditions_now
from streamer.pipeline.tracking import KeptFace
from streamer.pipeline.visits import Verdict, unnamed
from streamer.process import key_source
from streamer.settings import Names, Settings
from streamer.telemetry.calibration_watch import CalibrationWatch
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog
from streamer.telemetry.rerank_watch import RerankWatch

log = logging.getLogger(__name__)

POLL_S = 0.25
_KNOWN_WITHIN_S = 2.0
T = TypeVar("T")


class LiveGallery:
    """Made by LiveGallery.open() alone.

    `serving` is the embedder whose faces come now. `generation` rises whenever somebody was enrolled, renamed or
    forgotten; not with a switch, which makes nothing wrong that was said: a track is judged again when a face of the
    new embedder comes, and nobody's identity moves from one space to another without a face having been seen.
    `forgotten`: the ids of whoever was, ever; `ignored`: of whom nothing is told; `renamed`: by id, who has
    another name or id by the last change. `reranker`: loaded once.
    """

    def __init__(
        self,
        file: GalleryFile,
        settings: Settings,
        recogniser: Recogniser,
        metrics: Metrics,
        thread: ThreadPoolExecutor,
        reranker: Reranker,
    ) -> None:
        self.serving = recogniser.embedder.spec.name
        self.generation = 0
        self.reranker = reranker
        self._settings = settings.gallery
        self._min_quality = settings.recognition.min_quality
        self._file = file
        self._now = partial(conditions_now, settings)
        self._policies: dict[str, MatchPolicy] = {}
        self.calibrated: Mapping[str, MatchPolicy] = {}  # the same under the gallery's calibrations
        self._watch = CalibrationWatch(metrics)
        self._indexes: dict[str, FaceIndex] = {}
        self._metrics = metrics
        self._thread = thread
        self._pool = recogniser.pool
        self._version = -1
        self._changed = asyncio.Event()  # another one after each change
        self.forgotten: frozenset[str] = frozenset()
        self.renamed: Mapping[str, str] = {}
        self._profiles: Mapping[str, Profile] = {}
        self._merged: Mapping[str, str] = {}
        self._thresholds: Mapping[str, Mapping[str, float]] = {}  # by space and person
        self.ignored: frozenset[str] = frozenset()
        self._negatives: dict[str, Negatives] = {}  # by space
        self._negative_marks: dict[str, TemplateMark] = {}
        self.classifier = ServedClassifier(settings.paths.classifier, metrics, self._classes_changed)
        self._once = OnceLog(log)
        self._check: NeighbourCheck | None = None
        if settings.gallery.rerank:
            self._check = NeighbourCheck(reranker, settings.gallery.rerank_threshold, RerankWatch(metrics).tell)
        self._trouble: CodedError | None = None
        self._damage: CodedError | None = None
        self._misfit: CodedError | None = None
        self._nameless: frozenset[str] = frozenset()
        self._left_out: CodedError | None = None
        self._last_entry: tuple[int, str] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, recogniser: Recogniser, metrics: Metrics) -> AsyncIterator[Self]:
        """Open the gallery and index it for the recogniser's embedder. Raises GalleryError, EmbeddingSpaceMismatch."""
        rules = settings.gallery
        reranker = await asyncio.to_thread(make_reranker, rules.rerank_threshold, rules.rerank_library)
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="gallery")
        try:
            opening = partial(
                GalleryFile, settings.gallery_path, key_source(settings), encrypt=settings.gallery.encryption
            )
            file = await loop.run_in_executor(thread, opening)
            try:
                live_gallery = cls(file, settings, recogniser, metrics, thread, reranker)
                await live_gallery.add_embedder(MatchPolicy.of(settings, recogniser.embedder.spec, recogniser))
                await live_gallery.refresh()
                yield live_gallery
            finally:
                await loop.run_in_executor(thread, file.close)
        finally:
            await asyncio.to_thread(thread.shutdown)

    def name_of(self, person_id: str) -> str | None:
        """The display name, from memory; None for somebody who is not enrolled (any more)."""
        found = self._profiles.get(person_id)
        return None if found is None else found.name

    def name_now_of(self, person_id: str) -> str | None:
        """The same, also by an id that was merged into another."""
        return self.name_of(self._merged.get(person_id, person_id))

    def is_enrolled(self, person_id: str) -> bool:
        """Whether somebody has this id, or had it and was merged into who has another."""
        return self._merged.get(person_id, person_id) in self._profiles

    def signature_of(self, embedder: str) -> str:
        """What models made the faces of an embedder that is known."""
        return self._policies[embedder].models.signature

    def person_ids(self) -> list[str]:
        """Everybody who is enrolled, from memory."""
        return list(self._profiles)

    @property
    def trouble(self) -> str:
        """Why the gallery's file is not what is served; empty where it is."""
        found = self._trouble or self._file.trouble or self._damage
        if found is not None:
            return f"{found}; {self.people} people are served from memory"
        left_out = "; ".join(str(one) for one in (self._misfit, self._left_out) if one is not None)
        return f"{left_out}; {self.people} people are served" if left_out else ""

    @property
    def people(self) -> int:
        """How many people are enrolled, templates or not."""
        return len(self._profiles)

    async def add_embedder(self, policy: MatchPolicy) -> None:
        """Index the gallery in this embedder's space and follow it from now on; before its first face is judged.

        A name that is known already gets the new figures. Raises GalleryError, and EmbeddingSpaceMismatch where another
        embedder of the space has another size; templates that have are left out, and it is said.
        """
        for one in policy.spaces:
            index = self._indexes.get(one.space) or FaceIndex(one.space, one.dim, self._settings.aggregation)
            if index.dim != one.dim:
                raise EmbeddingSpaceMismatch(
                    f"model {policy.models.embedder}: {one.dim} numbers of space {one.space}, where others have "
                    f"{index.dim}; give one of them a space of its own"
                )
            await self._off_loop(self._adopt, index)
        self._policies[policy.models.embedder] = policy
        self._count_templates()
        await self._off_loop(self._tell_misfits)
        await self._off_loop(self._follow_calibrations, self._thresholds)

    def use_embedder(self, name: str) -> None:
        """From now on faces come from this embedder, which must be known. Says whom it can't name."""
        if name not in self._policies:
            raise ValueError(f"{name}: not known yet; add_embedder() comes first")
        if name != self.serving:
            self.serving = name
            self._warn_of_the_nameless()

    async def identify(self, tracks: Sequence[Sequence[KeptFace]], names: Names = "gallery") -> list[Verdict]:
        """The verdict on each track, voted by its kept faces of one embedder, weighted by their quality.

        names: whose word a name is.
        """
        chosen = [voters(kept, self.serving, self._min_quality) for kept in tracks]
        judge = Judge(
            self.calibrated, self._indexes, self._negatives, self._thresholds, self.ignored, self._settings, self._check
        )
        serving, classes = self.serving, self.classifier.named

        def judged() -> list[Verdict]:
            verdicts = judge.verdicts(chosen, serving)
            return verdicts if names == "gallery" else judge.by_classifier(verdicts, names, classes)

        verdicts = await asyncio.get_running_loop().run_in_executor(self._pool, judged)
        # Somebody may have been forgotten meanwhile, or be so by now and not yet out of the index that was searched.
        return [unnamed(verdict, self._nameless) for verdict in verdicts]

    def index_of(self, space: str) -> FaceIndex | None:
        """The people as they are matched in a space; None where nothing is. Any thread may search it."""
        return self._indexes.get(space)

    async def uncovered(self, space: str) -> tuple[int, int]:
        """How many people have photos, and how many negatives a chip, but no template in this space."""
        return await self._off_loop(lambda: self._file.readable().lacking(space))

    async def refresh(self) -> set[str]:
        """Follow the store where it has changed; returns the ids of people who are gone."""
        changed = await self._off_loop(self._follow)
        if changed is None:
            return set()
        self._profiles, self._thresholds, self.ignored = changed.profiles, changed.thresholds, changed.ignored
        self.forgotten, self._merged, self.renamed = changed.forgotten, changed.merged, changed.renamed
        # Whose profile doesn't open may be in an index that was made before, and has a threshold that nobody knows.
        self._nameless = changed.forgotten | (changed.unreadable - changed.profiles.keys())
        self._left_out = changed.left_out
        self._tell_left_out()
        self.classifier.people_changed(self._profiles, self.forgotten)
        self.generation += 1
        self._changed.set()
        self._changed = asyncio.Event()
        self._metrics.gallery_people.set(len(self._profiles))
        self._count_templates()
        self._warn_of_the_nameless()
        return changed.gone

    async def until_enrolled(self, person_id: str) -> None:
        """Until follow() knows somebody who was enrolled a moment ago; no longer than a few looks take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_KNOWN_WITHIN_S):
                while not self.is_enrolled(person_id):
                    await self._changed.wait()

    async def follow(self, changed: Callable[[Iterable[str]], None]) -> None:
        """Refresh for ever; `changed` is told of each change, and who is gone. Where it can't be read: again."""
        while True:
            await asyncio.sleep(POLL_S)
            before = self.generation
            try:
                gone = await self.refresh()
            except CodedError as error:
                self._trouble = error
                self._once.warn("gallery", error, "%s; who was enrolled before is served from memory")
                continue
            self._trouble = None
            self._once.over("gallery")
            if self.generation != before:
                changed(gone)

    async def check_file(self, settings: Settings) -> None:
        """Read the whole file once, beside what is served from it; damage is said, with the way out, and served on."""
        self._damage = await damage_of(settings)
        if self._damage is not None:
            log.error("%s", self._damage, extra={"code": self._damage.code})

    def _classes_changed(self) -> None:
        """Another classifier: whoever is in view is judged again."""
        self.generation += 1

    def _tell_left_out(self) -> None:
        """Once for each change of who it is."""
        error = self._left_out
        if error is None:
            self._once.over("left out")
        else:
            self._once.say("left out", str(error), logging.ERROR, "%s", error, code=error.code)

    def _count_templates(self) -> None:
        for name, policy in self._policies.items():
            fewest = min(len(self._indexes[one.space]) for one in policy.spaces)
            self._metrics.gallery_templates.labels(model=name).set(fewest)

    def _warn_of_the_nameless(self) -> None:
        """Say who can't be named, once for each change: they were enrolled with another embedder."""
        indexes = [self._indexes[one.space] for one in self._policies[self.serving].spaces]
        named = indexes[0].people
        if len(indexes) > 1:
            named = len(frozenset.intersection(*(index.person_ids for index in indexes)))
        count = len(self._profiles) - named
        if count > 0:  # whoever is forgotten goes from the names before or after the templates
            self._once.say(
                "nameless",
                (self.serving, count),
                logging.WARNING,
                "%d of %d people have no template for %s and can't be named; enrol them again, or go back to the "
                "embedder that they were enrolled with",
                count,
                len(self._profiles),
                self.serving,
            )
        else:
            self._once.over("nameless")

    # On the gallery's thread.

    def _adopt(self, index: FaceIndex) -> None:
        index.sync(self._file.store)
        self._follow_negatives(index.space)
        self._indexes[index.space] = index

    def _follow_negatives(self, space: str) -> None:
        mark = self._file.store.negative_mark(space)
        if mark != self._negative_marks.get(space):
            self._negatives[space] = Negatives(self._file.store.negatives(space))
            self._negative_marks[space] = mark

    def _follow_calibrations(self, own: Mapping[str, Mapping[str, float]]) -> None:
        """Take the thresholds that the gallery has now, and say how they stand. `own`: people's, by space."""
        store, policies = self._file.store, dict(self._policies)
        calibrations = from_texts(store.calibrations())
        self.calibrated = {name: policy.under(calibrations, self._now) for name, policy in policies.items()}
        standings = {}
        for one in {one.space: one for policy in policies.values() for one in policy.spaces}.values():
            counts = store.templates_by_person(one.space)
            now, theirs = self._now(one.signature), own.get(one.space, {})
            try:
                standings[one.space] = standing(one, calibrations.get(one.space), now, counts, theirs)
            except ImpostorModelInvalid as error:  # what can't be told is no reason to name nobody
                self._once.warn("impostor model", error)
        self._watch.tell(standings)

    def _tell_misfits(self) -> None:
        """Who can't be named for the size of their templates, once for each change."""
        told = [
            f"{index.dim} numbers in {index.space}, and those of {', '.join(sorted(index.misfits))} have not so many"
            for index in self._indexes.values()
            if index.misfits
        ]
        self._misfit = None
        if not told:
            self._once.over("misfits")
            return
        error = self._misfit = EmbeddingSpaceMismatch(
            f"templates have {'; '.join(told)}: they are left out; forget these people and enrol them anew"
        )
        self._once.say("misfits", str(error), logging.ERROR, "%s", error, code=error.code)

    def _follow(self) -> GalleryChange | None:
        """Bring the indexes up to date; None where nothing changed."""
        file, is_new = self._file, False
        if file.look(thorough=self._damage is not None):
            is_new, self._version, self._damage = True, -1, None
            self._negative_marks.clear()  # another file may have the same marks
        if file.trouble is not None and not file.store.in_memory:
            raise file.trouble
        version = file.store.data_version()
        if version == self._version:
            return None
        for index in self._indexes.values():
            index.sync(file.store)
            self._follow_negatives(index.space)
        self._tell_misfits()
        profiles, left_out = file.store.profiles(), file.store.left_out()
        before, merged = self._profiles, file.store.merged()
        thresholds = own_thresholds(profiles)
        self._follow_calibrations(thresholds)
        former, self._last_entry = self._last_entry, file.store.last_entry()
        replaced = is_new and (file.was_replaced if former is None else not file.store.has_entry(former))
        self._version = version
        file.settle(len(profiles))
        if replaced:
            told = "gallery %s was replaced; %d people are in it"
            log.warning(told, file.path, len(profiles), extra={"code": "gallery_replaced"})
        return GalleryChange(
            profiles,
            thresholds,
            frozenset(who for who, one in profiles.items() if one.ignored),
            set(before.keys() - profiles.keys()),
            file.store.forgotten(),
            frozenset(file.store.unreadable),
            left_out,
            merged,
            renamed(before, profiles, {who: into for who, into in merged.items() if who not in self._merged}),
        )

    async def _off_loop(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
