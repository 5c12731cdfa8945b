"""Recogniser, the package's front door: an image and an opaque lane in, faces out.

Its coroutines run on the event loop; pixels are touched on its own pool of CPU threads, networks run on the
batchers' threads. open_recogniser() owns them all: they end where its context ends.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from recognition import detect, embed
from recognition.align import aligned_grey_crops
from recognition.batcher import Served
from recognition.detect import Prepared
from recognition.errors import EmbeddingUnusable
from recognition.faces import Detections, Faces, InSpace, Quality
from recognition.image import Image
from recognition.models.devices import Device
from recognition.models.manager import BatchPlan, LoadedModel, ModelManager
from recognition.models.runner import usable_cores
from recognition.models.spec import DetectorSpec, EmbedderSpec
from recognition.quality import grade, thumbnails

F32 = NDArray[np.float32]

UNHEALTHY_AFTER = 10


@dataclass(frozen=True, slots=True)
class RecogniserConfig:
    """What to open. `runners`, `cpu_threads` 0: one per usable core. `detection_threshold` None: the spec's.

    `trim_padding`: leave out the rows and columns of a detector's input that would be padding alone.

    `on_batch` is called on the loop with a model's name and the size of each batch it ran.
    """

    detector: str
    embedder: str
    weights_folders: tuple[Path, ...]
    device: Device = "auto"
    runners: int = 0
    max_batch: int = 8
    max_wait_ms: float = 0.0
    queue_limit: int = 64
    detection_threshold: float | None = None
    cpu_threads: int = 0
    trim_padding: bool = True
    on_batch: Callable[[str, int], None] | None = None


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
        detector: LoadedModel[DetectorSpec],
        embedder: LoadedModel[EmbedderSpec],
        pool: ThreadPoolExecutor,
        detection_threshold: float | None = None,
        *,
        trim_padding: bool = True,
    ) -> None:
        self.detector = detector
        self.embedder = embedder
        self.pool = pool
        self._unusable_in_a_row = 0
        # Tensors of one batch need one shape, so padding is spared only where batches are of one.
        self.trims = trim_padding and detector.max_batch == 1
        self.detection_threshold = (
            detector.spec.thresholds.score if detection_threshold is None else detection_threshold
        )

    @property
    def space(self) -> str:
        """The embedding space that embed() answers in."""
        return self.embedder.spec.space

    @property
    def spaces(self) -> tuple[str, ...]:
        """The spaces that in_every_space() answers in, the serving one first."""
        return (self.space,)

    @property
    def signature(self) -> str:
        """Short digest of what the two models are: changes whenever their answers may."""
        return self.signature_with(self.embedder.spec)

    def signature_with(self, embedder: EmbedderSpec) -> str:
        """What `signature` is while this embedder serves."""
        parts = [f"{spec.name}:{spec.version}:{spec.weights_digest}" for spec in (self.detector.spec, embedder)]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]

    async def in_every_space(self, image: Image, landmarks: F32, lane: str = "photo") -> list[InSpace]:
        """The faces with these landmarks (k,5,2) as each embedder that may serve sees them, the serving one first.

        Raises Overloaded and RunnerDead.
        """
        embedded = await self.embed(image, landmarks, lane)
        return [InSpace(embedded.model, embedded.space, self.signature, embedded.embeddings)]

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

        Raises Overloaded and RunnerDead.
        """
        loop = asyncio.get_running_loop()
        prepared, prepare_s = await loop.run_in_executor(self.pool, self._prepare, image)
        served = await self.detector.batcher.submit([prepared.tensor], lane)
        least = self.detection_threshold if least_score is None else least_score
        return await loop.run_in_executor(self.pool, self._finish, image, prepared, served, prepare_s, least)

    async def embed(self, image: Image, landmarks: F32, lane: str) -> Embedded:
        """Embed the faces with these landmarks (k,5,2), image pixels. Raises Overloaded and RunnerDead."""
        loop = asyncio.get_running_loop()
        tensors, align_s = await loop.run_in_executor(self.pool, self._align, image, landmarks)
        served = await self.embedder.batcher.submit(tensors, lane)
        embeddings = embed.parse(self.embedder.spec, served.outputs)
        for usable in embed.usable(embeddings):
            self._unusable_in_a_row = 0 if usable else self._unusable_in_a_row + 1
        norms = embed.norms(self.embedder.spec, served.outputs)
        spec = self.embedder.spec
        return Embedded(embeddings, align_s, served.queue_s, served.run_s, spec.name, spec.space, norms)

    async def faces(self, image: Image, lane: str = "photo") -> Faces:
        """Everything about every face of a photo. Raises Overloaded and RunnerDead."""
        found = await self.detect(image, lane)
        embedded = await self.embed(image, found.detections.landmarks, lane)
        return Faces(found.detections, found.quality, embedded.embeddings)

    # On the CPU pool.

    def _prepare(self, image: Image) -> tuple[Prepared, float]:
        started_s = time.perf_counter()
        prepared = detect.prepare(self.detector.spec, image, trim=self.trims)
        return prepared, time.perf_counter() - started_s

    def _finish(self, image: Image, prepared: Prepared, served: Served, prepare_s: float, least_score: float) -> Found:
        started_s = time.perf_counter()
        detections = detect.parse(self.detector.spec, served.outputs[0], prepared, least_score)
        grey = aligned_grey_crops(image, detections.landmarks)
        quality, thumbs = grade(grey, detections.landmarks), thumbnails(grey)
        grade_s = time.perf_counter() - started_s
        return Found(detections, quality, thumbs, prepare_s, served.queue_s, served.run_s, grade_s)

    def _align(self, image: Image, landmarks: F32) -> tuple[list[F32], float]:
        started_s = time.perf_counter()
        spec = self.embedder.spec
        tensors = list(embed.prepare(spec, embed.crops(spec, image, landmarks)))
        return tensors, time.perf_counter() - started_s


@asynccontextmanager
async def open_recogniser(config: RecogniserConfig) -> AsyncIterator[Recogniser]:
    """Load both models and serve them while the context lasts; every thread has ended when it ends.

    Raises what ModelManager.open raises before the body runs. When a runner dies, the body is cancelled and
    RunnerDead raised.
    """
    # Each of our threads is one core's worth of work already: OpenCV's own would only fight with them.
    cv2.setNumThreads(1)
    plan = BatchPlan(config.runners, config.max_batch, config.max_wait_ms, config.queue_limit)
    manager = ModelManager(config.weights_folders, device=config.device, plan=plan, on_batch=config.on_batch)
    pool = ThreadPoolExecutor(config.cpu_threads or usable_cores(), thread_name_prefix="cpu")
    try:
        detector = await asyncio.to_thread(manager.open_detector, config.detector)
        embedder = await asyncio.to_thread(manager.open_embedder, config.embedder)
        try:
            async with asyncio.TaskGroup() as tasks:
                for model in (detector, embedder):
                    tasks.create_task(model.batcher.serve(), name=f"serve-{model.name}")
                try:
                    yield Recogniser(
                        detector, embedder, pool, config.detection_threshold, trim_padding=config.trim_padding
                    )
                finally:
                    detector.batcher.stop()
                    embedder.batcher.stop()
        except BaseExceptionGroup as group:
            # The body's own exception, or the runner's: the group around it would only hide its class.
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None
        finally:
            for model in (detector, embedder):
                model.runner.close()
    finally:
        await asyncio.to_thread(pool.shutdown)
