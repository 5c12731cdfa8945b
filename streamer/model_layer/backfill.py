"""TemplateBackfill: who lacks templates in the spaces of the embedders that may serve is counted, and gets them made.

Runs on the event loop; the gallery and the networks are on threads. A gallery that can't be read stops nothing: what
was known of it goes on counting, and it is tried again.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import numpy as np

from gallery.enrolment.reindex import ReindexReport, reindex
from recognition.arrays import F32
from recognition.errors import CodedError
from recognition.image import Image
from recognition.models.manager import ModelManager
from recognition.models.model_runner import ModelRunner
from recognition.reason import Reason
from recognition.selection.measurements import LocalMeasurements, device_figures
from recognition.specs.spec import EmbedderSpec
from streamer.model_layer.coverage import NOBODY, Coverage, coverage_in, embedders_behind, spaces_behind
from streamer.pipeline.live_gallery import LiveGallery
from streamer.process import readable_store_of, store_of
from streamer.settings import Settings
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 600.0


class TemplateBackfill:
    """`names`: the embedders that may serve now, by their specs' own names."""

    def __init__(
        self,
        settings: Settings,
        manager: ModelManager,
        local: LocalMeasurements,
        metrics: Metrics,
        names: Callable[[], list[str]],
    ) -> None:
        self.coverage: Coverage = NOBODY
        self._settings = settings
        self._poll_s = settings.recognition.poll_s
        self._manager = manager
        self._local = local
        self._metrics = metrics
        self._names = names
        self._negatives: dict[str, int] = {}  # by embedder, how many have no template for it
        self._fault: CodedError | None = None
        self._once = OnceLog(log)

    def look_up(self) -> None:
        """Read who has templates, before there is a live gallery. Blocks. Raises GalleryError."""
        if not self._settings.gallery_path.is_file():
            self.coverage = Coverage(0, dict.fromkeys(self._names(), 0))
            return
        with readable_store_of(self._settings) as store:
            self.coverage = coverage_in(store, self._manager, self._names())

    async def count(self, live_gallery: LiveGallery) -> None:
        """Count anew; where the gallery can't be read, that is told once."""
        lacking = {}
        try:
            for name in self._names():
                spaces = spaces_behind(self._manager, name)
                uncovered = [await live_gallery.uncovered(space) for space in spaces]
                lacking[name] = max((people for people, _ in uncovered), default=0)
                self._negatives[name] = max((negatives for _, negatives in uncovered), default=0)
                self._metrics.gallery_uncovered.labels(model=name).set(lacking[name])
        except CodedError as error:
            self._once.warn("coverage", error, "who has templates can't be told: %s")
            self._fault = error
        else:
            self._once.over("coverage")
            self._fault, self.coverage = None, Coverage(live_gallery.people, lacking)

    def against(self, name: str) -> Reason | None:
        """Why not to switch to this embedder: whom it could not name, or that nobody knows."""
        if self._fault is not None and name not in self.coverage.lacking:
            return Reason.of(self._fault)
        reachable = [one for one in self._names() if self._manager.why_not(one) is None]
        return self.coverage.against(name, reachable)

    async def keep(self, live_gallery: LiveGallery, signature_with: Callable[[EmbedderSpec], str]) -> None:
        """Make what people lack, for ever; what failed is tried again, later each time.

        Photos of which nothing can be made are looked at again when something else in the gallery has changed.
        """
        settled: dict[str, tuple[int, int, int]] = {}
        paused: dict[str, tuple[float, float]] = {}  # until when (the loop's seconds), and for how long
        clock = asyncio.get_running_loop().time
        while True:
            for name in self._names():
                generation, lacking = live_gallery.generation, self._lacking(name)
                until_s, pause_s = paused.get(name, (0.0, self._poll_s))
                if not any(lacking) or settled.get(name) == (generation, *lacking) or clock() < until_s:
                    continue
                if self._manager.why_not(name) is not None:
                    continue
                told = "model %s: %d people and %d negatives lack templates in its space; making them of their pictures"
                log.info(told, name, *lacking)
                try:
                    await self._make(name, signature_with)
                except CodedError as error:
                    log.warning("model %s: no templates made: %s", name, error, extra={"code": error.code})
                    paused[name] = (clock() + pause_s, min(2 * pause_s, LONGEST_PAUSE_S))
                    continue
                paused.pop(name, None)
                await self.count(live_gallery)
                left = self._lacking(name)
                # What is more than before came meanwhile, and was not tried.
                if self._fault is None and all(now <= before for now, before in zip(left, lacking, strict=True)):
                    settled[name] = (generation, *left)
            await asyncio.sleep(self._poll_s)

    def _lacking(self, name: str) -> tuple[int, int]:
        """How many people and negatives have no template for this embedder."""
        return self.coverage.lacking.get(name, 0), self._negatives.get(name, 0)

    async def _make(self, name: str, signature_with: Callable[[EmbedderSpec], str]) -> None:
        for spec in embedders_behind(self._manager, name):
            await reindex_for(
                spec.name, self._settings, self._manager, signature_with, lambda done, total: None, self._local
            )


class RunnerEmbedder:
    """A loaded embedder as gallery.reindex wants it."""

    def __init__(self, runner: ModelRunner[EmbedderSpec], signature: str) -> None:
        self.space = runner.spec.space
        self.signature = signature
        self._runner = runner

    async def embed_chip(self, image: Image, landmarks: F32) -> F32:
        (embedding,) = await asyncio.to_thread(self._runner.embed_faces, image, landmarks[None])
        return np.asarray(embedding, np.float32)


async def reindex_for(
    name: str,
    settings: Settings,
    manager: ModelManager,
    signature_with: Callable[[EmbedderSpec], str],
    progress: Callable[[int, int], None],
    local: LocalMeasurements | None = None,
) -> ReindexReport:
    """Make the templates that people lack in this embedder's space. Raises what loading and the gallery raise.

    `local`: where figures of this machine are; where these or the spec's say that RAM is too short, it is not tried.
    """
    spec = manager.spec_of(name, EmbedderSpec)
    # Without a GPU it is asked for as whoever serves it would: so it is loaded once for both.
    has_gpu = any(device.startswith("cuda") for device in manager.reader.read())
    device = "cpu" if has_gpu and spec.device_policy == "auto" and spec.engine != "tensorrt" else None
    need_mib = None
    if device == "cpu" or not has_gpu:
        memory = device_figures(spec, "cpu", local).costs[1].memory_mib
        need_mib = memory.value if memory is not None else None
    lease = await asyncio.to_thread(partial(manager.lease, spec, device, bucket=1, need_mib=need_mib))
    try:
        store = await asyncio.to_thread(store_of, settings)
        try:
            report = await reindex(store, RunnerEmbedder(lease.runner, signature_with(spec)), progress)
        finally:
            await asyncio.to_thread(store.close)
    finally:
        await asyncio.to_thread(lease.release, unload=True)
    log.info("model %s: %d templates made of kept photos", spec.name, report.added)
    for photo in report.unusable:
        log.warning(
            "model %s: no template of %s %d of %s: %s",
            spec.name,
            "negative" if photo.is_negative else "photo",
            photo.photo_id,
            photo.person_id,
            photo.why,
        )
    return report
