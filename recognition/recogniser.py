"""Recogniser, the package's front door: an image and an opaque lane in, faces out.

Its coroutines run on the event loop; pixels are touched on its own pool of CPU threads, networks run on the
batchers' threads. open_recogniser() owns them all: they end where its context ends.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from recognition import detect, embed
from recognition.align import aligned_grey_crops
from recognition.arrays import F32
from recognition.detect import Prepared
from recognition.errors import (
    CodedError,
    EmbeddingUnusable,
    GpuFailed,
    InsufficientMemory,
    NoModelServes,
    RunnerDead,
)
from recognition.faces import Detections, Faces, InSpace, Quality
from recognition.image import Image
from recognition.models.ensemble import halves
from recognition.models.manager import Lease, ModelManager
from recognition.models.model_runner import signature_of
from recognition.quality import grade, thumbnails
from recognition.selection.candidates import Placement
from recognition.serving.batcher import Served
from recognition.serving.served_model import BatchPlan, ServedModel, Serving
from recognition.specs.devices import Device, usable_cores
from recognition.specs.spec import DetectorSpec, EmbedderSpec, S

UNHEALTHY_AFTER = 10


@dataclass(frozen=True, slots=True)
class RecogniserConfig:
    """What to open. `runners`, `cpu_threads` 0: one per usable core. `detection_threshold` None: the spec's.

    `detector_at`, `embedder_at`: a place to begin at, instead of that model wherever `device` says.

    `in_every_space`: embedders besides, for enrolment; their templates are made too.

    `trim_padding`: leave out the rows and columns of a detector's input that would be padding alone.

    `on_batch` is called on the loop with a model's name and the size of each batch it ran.
    """

    detector: str
    embedder: str
    weights_folders: tuple[Path, ...]
    device: Device = "auto"
    runners: int = 0
    max_batch: int = 8
    max_wait_ms: float | None = 0.0
    latency_goal_ms: float | None = None
    queue_limit: int = 64
    detection_threshold: float | None = None
    cpu_threads: int = 0
    trim_padding: bool = True
    on_batch: Callable[[str, int], None] | None = None
    detector_at: Placement | None = None
    embedder_at: Placement | None = None
    in_every_space: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The faces of one image; thumbs (n,16,16) float32, see quality.thumbnails. Times in seconds.

    prepare_s and grade_s are what the CPU pool worked before and after the detector's run.
    """

    detections: Detections
    quality: Quality
    thumbs: F32
    prepare_s: float
    queue_s: float
    run_s: float
    grade_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """(k,d) float32 unit vectors in the order of the landmarks. Times in seconds.

    model: the embedder's name, space: that of its embeddings; another call may be answered by another model.
    norms: (k,) float32, see embed.norms; None where the model tells none.
    """

    embeddings: F32  # zeros where the network gave nothing usable, see embed.usable
    align_s: float
    queue_s: float
    run_s: float
    model: str
    space: str
    norms: F32 | None = None


class Recogniser:
    """Made by open_recogniser() alone. All methods may be called by many tasks at once."""

    def __init__(
        self,
        detector: ServedModel[DetectorSpec],
        embedder: ServedModel[EmbedderSpec],
        others: Sequence[Lease[EmbedderSpec]],
        serving: Serving,
        pool: ThreadPoolExecutor,
        config: RecogniserConfig,
    ) -> None:
        self.detector = detector
        self.embedder = embedder
        self.manager = serving.manager
        self.pool = pool
        self.on_trouble: Callable[[Placement, CodedError], Coroutine[Any, Any, bool]] | None = None
        self._others = tuple(others)
        self._serving = serving
        self._switching = asyncio.Lock()
        # Set but while a model had to go before its successor is loaded: who comes then waits.
        self._detecting, self._embedding = asyncio.Event(), asyncio.Event()
        self._detecting.set()
        self._embedding.set()
        self._unusable_in_a_row = 0
        self._trim_padding = config.trim_padding
        self.detection_threshold = (
            detector.spec.thresholds.score if config.detection_threshold is None else config.detection_threshold
        )

    @property
    def trims(self) -> bool:
        """Whether padding is spared: tensors of one batch need one shape, so only where batches are of one."""
        return self._trim_padding and self.detector.max_batch == 1

    @property
    def template_specs(self) -> tuple[EmbedderSpec, ...]:
        """The models whose templates in_every_space() makes, one for each space: the serving one first.

        An ensemble whose members have to agree has no templates: its members' are made in its place.
        """
        served = (self.embedder.spec, *(lease.spec for lease in self._others))
        by_space: dict[str, EmbedderSpec] = {}
        for maker in (maker for spec in served for maker in self._makers(spec)):
            by_space.setdefault(maker.space, maker)
        return tuple(by_space.values())

    @property
    def space(self) -> str:
        """The first of `spaces`: embed()'s, but for an ensemble whose members have to agree."""
        return self.spaces[0]

    @property
    def spaces(self) -> tuple[str, ...]:
        """The spaces that in_every_space() answers in, the serving model's first."""
        return tuple(maker.space for maker in self.template_specs)

    @property
    def signature(self) -> str:
        """Short digest of what the two models are: changes whenever their answers may."""
        return self.signature_with(self.embedder.spec)

    def signature_with(self, embedder: EmbedderSpec) -> str:
        """What `signature` is while this embedder serves."""
        return signature_of(self.detector.spec, embedder)

    async def in_every_space(self, image: Image, landmarks: F32, lane: str = "photo") -> list[InSpace]:
        """The faces with these landmarks (k,5,2) as each embedder that may serve sees them, the serving one first.

        Each space comes once. Raises Overloaded and RunnerDead.
        """
        embedded = await self.embed(image, landmarks, lane)
        spec = self.manager.spec_of(embedded.model, EmbedderSpec)
        found = {seen.space: seen for seen in self._apart(spec, embedded.embeddings)}
        for lease in self._others:
            if all(maker.space in found for maker in self._makers(lease.spec)):
                continue
            embeddings = await asyncio.to_thread(_embeddings, lease, image, landmarks)
            for seen in self._apart(lease.spec, embeddings):
                found.setdefault(seen.space, seen)
        return list(found.values())

    def _makers(self, spec: EmbedderSpec) -> list[EmbedderSpec]:
        """Whose templates a face embedded by this model gives."""
        if spec.matched_by == (spec.name,):
            return [spec]
        return [self.manager.spec_of(name, EmbedderSpec) for name in spec.matched_by]

    def _apart(self, spec: EmbedderSpec, embeddings: F32) -> list[InSpace]:
        """This model's embeddings (k,d), as each of its makers would have made them."""
        makers = self._makers(spec)
        parts = [embeddings] if len(makers) == 1 else halves(embeddings, [maker.embedding_size for maker in makers])
        return [
            InSpace(maker.name, maker.space, self.signature_with(maker), part)
            for maker, part in zip(makers, parts, strict=True)
        ]

    @property
    def fault(self) -> EmbeddingUnusable | None:
        """What is wrong with the embedder, after UNHEALTHY_AFTER unusable embeddings in a row; a usable one ends it."""
        if self._unusable_in_a_row < UNHEALTHY_AFTER:
            return None
        name = self.embedder.name
        return EmbeddingUnusable(
            f"model {name}: gave NaN, infinity or zeros for the last {self._unusable_in_a_row} faces; run `whosthere "
            f"models selftest {name}`, or choose another model or device"
        )

    def queue_depths(self) -> dict[str, int]:
        """Items that wait, by model."""
        return {model.name: model.batcher.depth for model in (self.detector, self.embedder)}

    async def detect(self, image: Image, lane: str, least_score: float | None = None) -> Found:
        """Find and grade the faces of an image, those of at least `least_score` (None: detection_threshold).

        Raises Overloaded, RunnerDead and what may pass: TritonUnavailable, and, where no other place could be found,
        InsufficientMemory, GpuFailed and NoModelServes.
        """
        loop = asyncio.get_running_loop()
        least = self.detection_threshold if least_score is None else least_score
        while True:
            while not self._detecting.is_set():
                await self._detecting.wait()
            model = self.detector
            with model.in_use():
                prepared, prepare_s = await loop.run_in_executor(self.pool, _prepare, model.spec, image, self.trims)
                try:
                    served = await model.batcher.submit([prepared.tensor], lane)
                    break
                except CodedError as error:
                    trouble = error.with_traceback(None)  # it would hold the picture
            if model is self.detector:  # else another serves by now
                await self._elsewhere(model, trouble)
        finish = partial(_finish, model.spec, image, prepared, served, prepare_s, least)
        return await loop.run_in_executor(self.pool, finish)

    async def embed(self, image: Image, landmarks: F32, lane: str) -> Embedded:
        """Embed the faces with these landmarks (k,5,2), image pixels. Raises as detect() does.

        All of them by one model: a switch meanwhile is for the next call.
        """
        loop = asyncio.get_running_loop()
        while True:
            while not self._embedding.is_set():
                await self._embedding.wait()
            model = self.embedder
            with model.in_use():
                tensors, align_s = await loop.run_in_executor(self.pool, _align, model.spec, image, landmarks)
                try:
                    served = await model.batcher.submit(tensors, lane)
                    break
                except CodedError as error:
                    trouble = error.with_traceback(None)  # it would hold the picture
            if model is self.embedder:  # else another serves by now
                await self._elsewhere(model, trouble)
        spec = model.spec
        embeddings = embed.parse(spec, served.outputs)
        if model is self.embedder:
            for usable in embed.usable(embeddings):
                self._unusable_in_a_row = 0 if usable else self._unusable_in_a_row + 1
        norms = embed.norms(spec, served.outputs)
        return Embedded(embeddings, align_s, served.queue_s, served.run_s, spec.name, spec.space, norms)

    async def _elsewhere(self, model: ServedModel[S], trouble: CodedError) -> None:
        """A run failed here: return once there is another place for it. Raises the trouble where that is no reason
        to look for one, or nobody knows one; NoModelServes where that was the end of a model, too.
        """
        fault = model.fault if isinstance(trouble, RunnerDead) else None
        reason = fault or trouble
        if fault is None and not isinstance(trouble, InsufficientMemory | GpuFailed):
            raise trouble
        if self.on_trouble is None:
            raise type(reason)(str(reason))
        # Whoever asks for this frame may be cancelled; the switch is for everybody.
        search = self._serving.unhindered(self.on_trouble(model.place, reason), f"trouble-{model.name}")
        if await search:
            return
        if fault is not None:
            raise NoModelServes(f"model {model.name}: can serve no more, and no other can ({fault})")
        raise trouble

    async def switch_detector(
        self, place: Placement, *, need_mib: float | None = None, room_first: bool = False
    ) -> None:
        """As switch_embedder()."""
        async with self._switching:
            spec = self.manager.spec_of(place.model, DetectorSpec)
            old = self.detector
            self.detector = await self._serving.exchange(old, spec, place, need_mib, self._detecting, room_first)

    async def switch_embedder(
        self, place: Placement, *, need_mib: float | None = None, room_first: bool = False
    ) -> None:
        """Serve by this model on this device, in batches of up to that bucket, from the next call on.

        It is loaded and warmed while the old one serves; what is on its way through that one comes out of it, then
        it is unloaded. `room_first`: the old one goes first, as its memory is needed, and calls wait meanwhile.
        Raises what ModelManager.lease raises. Then nothing has changed; but after `room_first` nothing serves, and
        calls raise that too until another switch has worked.
        """
        async with self._switching:
            spec = self.manager.spec_of(place.model, EmbedderSpec)
            old = self.embedder
            self.embedder = await self._serving.exchange(old, spec, place, need_mib, self._embedding, room_first)
            self._unusable_in_a_row = 0

    async def faces(self, image: Image, lane: str = "photo") -> Faces:
        """Everything about every face of a photo. Raises Overloaded and RunnerDead."""
        found = await self.detect(image, lane)
        embedded = await self.embed(image, found.detections.landmarks, lane)
        return Faces(found.detections, found.quality, embedded.embeddings)


# On the CPU pool.


def _prepare(spec: DetectorSpec, image: Image, trims: bool) -> tuple[Prepared, float]:
    started_s = time.perf_counter()
    prepared = detect.prepare(spec, image, trim=trims)
    return prepared, time.perf_counter() - started_s


def _finish(
    spec: DetectorSpec, image: Image, prepared: Prepared, served: Served, prepare_s: float, least_score: float
) -> Found:
    started_s = time.perf_counter()
    detections = detect.parse(spec, served.outputs[0], prepared, least_score)
    grey = aligned_grey_crops(image, detections.landmarks)
    quality, thumbs = grade(grey, detections.landmarks), thumbnails(grey)
    grade_s = time.perf_counter() - started_s
    return Found(detections, quality, thumbs, prepare_s, served.queue_s, served.run_s, grade_s)


def _align(spec: EmbedderSpec, image: Image, landmarks: F32) -> tuple[list[F32], float]:
    started_s = time.perf_counter()
    tensors = list(embed.prepare(spec, embed.crops(spec, image, landmarks)))
    return tensors, time.perf_counter() - started_s


def _embeddings(lease: Lease[EmbedderSpec], image: Image, landmarks: F32) -> F32:
    return lease.runner.predict_embeddings(embed.crops(lease.spec, image, landmarks))


@asynccontextmanager
async def open_recogniser(config: RecogniserConfig, manager: ModelManager | None = None) -> AsyncIterator[Recogniser]:
    """Load the models and serve them while the context lasts; every thread has ended when it ends.

    `manager` None: one of its own; a given one stays open. Raises what ModelManager.lease raises before the body runs.
    When a runner dies, the body is cancelled and RunnerDead raised.
    """
    # Each of our threads is one core's worth of work already: OpenCV's own would only fight with them.
    cv2.setNumThreads(1)
    own = ModelManager(config.weights_folders, device=config.device) if manager is None else None
    manager = manager or own
    assert manager is not None
    pool = ThreadPoolExecutor(config.cpu_threads or usable_cores(), thread_name_prefix="cpu")
    tasks = asyncio.TaskGroup()
    plan = BatchPlan(config.runners, config.max_batch, config.max_wait_ms, config.queue_limit, config.latency_goal_ms)
    serving = Serving(manager, plan, tasks, config.on_batch)
    try:
        async with tasks:
            try:
                yield await _opened(config, serving, pool)
            finally:
                serving.stop()
    except BaseExceptionGroup as group:
        # The body's own exception, or the runner's: the group around it would only hide its class.
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from None
    finally:
        await asyncio.to_thread(pool.shutdown)
        await asyncio.to_thread(serving.release)
        if own is not None:
            await asyncio.to_thread(own.close)


async def _opened(config: RecogniserConfig, serving: Serving, pool: ThreadPoolExecutor) -> Recogniser:
    manager = serving.manager
    at_d, at_e = config.detector_at, config.embedder_at
    detector_spec = manager.spec_of(at_d.model if at_d else config.detector, DetectorSpec)
    embedder_spec = manager.spec_of(at_e.model if at_e else config.embedder, EmbedderSpec)
    detector = await serving.start(detector_spec, at_d)
    embedder = await serving.start(embedder_spec, at_e)
    names = [name for name in dict.fromkeys(config.in_every_space) if name != embedder.name]
    others = [await serving.lease(name) for name in names]
    return Recogniser(detector, embedder, others, serving, pool, config)
