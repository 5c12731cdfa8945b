"""Recogniser, the package's front door: an image and an opaque lane in, faces out.

Its coroutines run on the event loop; pixels are touched on its own pool of CPU threads, networks run on the
batchers' threads. open_recogniser() owns them all: they end where its context ends.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import cv2

from recognition import close_ups, embed, passes
from recognition.arrays import F32
from recognition.errors import EmbeddingUnusable
from recognition.faces import Detections, Faces, InSpace
from recognition.image import Image
from recognition.models.ensemble import halves
from recognition.models.manager import Lease, ModelManager
from recognition.passes import Found as Found
from recognition.quarter_turns import QUARTERS, clearly_surer, surer, turned, turned_back, way_up
from recognition.second_look import Looked
from recognition.selection.candidates import Placement
from recognition.serving.cores import Cores
from recognition.serving.lanes import PHOTO, PatientLane, step_back
from recognition.serving.model_slot import ModelSlot
from recognition.serving.served_model import BatchPlan, ServedModel, Serving
from recognition.specs.devices import Device, usable_cores
from recognition.specs.spec import DetectorSpec, EmbedderSpec, signature_of

UNHEALTHY_AFTER = 10
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecogniserConfig:
    """What to open. `runners`, `cpu_threads` 0: one per usable core. `detection_threshold` None: the spec's.

    `detector_at`, `embedder_at`: a place to begin at, instead of that model wherever `device` says.

    `in_every_space`: embedders besides, for enrolment; their templates are made too.

    `trim_padding`: leave out the rows and columns of a detector's input that would be padding alone.

    `on_batch` is called on the loop with a model's name and the size of each batch it ran.

    `patient_niceness`: by how much threads are nicer that patient lanes have to themselves; 0: they share the others'.
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
    patient_niceness: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """(k,d) float32 unit vectors in the order of the landmarks. Times in seconds.

    model: the embedder's name, space: that of its embeddings; another call may be answered by another model.
    norms: (k,) float32, see embed.norms; None where the model tells none. lengths: (k,), see embed.lengths.
    """

    embeddings: F32  # zeros where the network gave nothing usable, see embed.usable
    align_s: float
    queue_s: float
    run_s: float
    model: str
    space: str
    norms: F32 | None = None
    lengths: F32 | None = None


class Recogniser:
    """Made by open_recogniser() alone. All methods may be called by many tasks at once."""

    def __init__(
        self,
        detector: ServedModel[DetectorSpec],
        embedder: ServedModel[EmbedderSpec],
        others: Sequence[Lease[EmbedderSpec]],
        serving: Serving,
        pools: tuple[ThreadPoolExecutor, ThreadPoolExecutor],
        config: RecogniserConfig,
    ) -> None:
        """`pools`: for plain lanes and for patient ones."""
        self.detecting = ModelSlot(DetectorSpec, detector, serving, self.pool_of)
        self.embedding = ModelSlot(EmbedderSpec, embedder, serving, self.pool_of)
        self.manager = serving.manager
        self.pool, self._patient_pool = pools
        self._others = tuple(others)
        # Whose embeddings were of no use, and how many of them in a row.
        self._unusable: tuple[ServedModel[EmbedderSpec], int] = (embedder, 0)
        self._trim_padding = config.trim_padding
        self.detection_threshold = (
            detector.spec.thresholds.score if config.detection_threshold is None else config.detection_threshold
        )

    @property
    def detector(self) -> ServedModel[DetectorSpec]:
        """What serves now."""
        return self.detecting.model

    @property
    def embedder(self) -> ServedModel[EmbedderSpec]:
        """What serves now."""
        return self.embedding.model

    @property
    def trims(self) -> bool:
        """Whether padding is spared with the detector that serves now."""
        return passes.trims(self.detector, self._trim_padding)

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

    async def in_every_space(self, image: Image, landmarks: F32, lane: str = PHOTO) -> list[InSpace]:
        """The faces with these landmarks (k,5,2) as each embedder that may serve sees them, the serving one first.

        Each space comes once. Raises Overloaded and RunnerDead.
        """
        embedded = await self.embed(image, landmarks, lane)
        spec = self.manager.spec_of(embedded.model, EmbedderSpec)
        found = {seen.space: seen for seen in self._apart(spec, embedded.embeddings)}
        for lease in self._others:
            if all(maker.space in found for maker in self._makers(lease.spec)):
                continue
            embeddings = await asyncio.to_thread(lease.runner.embed_faces, image, landmarks)
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
        model, in_a_row = self._unusable
        if model is not self.embedder or in_a_row < UNHEALTHY_AFTER:
            return None
        name = model.name
        return EmbeddingUnusable(
            f"model {name}: gave NaN, infinity or zeros for the last {in_a_row} faces; run `whosthere "
            f"models selftest {name}`, or choose another model or device"
        )

    def pool_of(self, lane: str) -> ThreadPoolExecutor:
        """Where a lane's pixels are worked on."""
        return self._patient_pool if isinstance(lane, PatientLane) else self.pool

    def queue_depths(self) -> dict[str, int]:
        """Items that wait, by model."""
        return {model.name: model.batcher.depth for model in (self.detector, self.embedder)}

    async def detect(self, image: Image, lane: str) -> Found:
        """Every face of a photo, whatever its size, by a second look at each; the photo may lie or stand on its head.

        A face that stands upright in no turn has a quality of 0. Raises what ModelSlot.submit() raises.
        """
        best = await self._examined(image, lane)
        told = way_up(best.detections, best.quality)
        if told == 0:
            return best
        as_it_is = best.detections
        for quarters in QUARTERS:
            picture = await self._on_pool(lane, turned, image, quarters)
            found = await self._examined(picture, lane)
            seen = found.detections, found.quality
            if surer(*seen, best.detections, best.quality) and (
                told == 90 * quarters or clearly_surer(*seen, as_it_is)
            ):
                best = replace(found, detections=turned_back(found.detections, quarters, picture))
        return best

    async def _examined(self, image: Image, lane: str) -> Found:
        """Both passes, side by side, and the second look."""
        answer = await self.detecting.submit(partial(passes.prepare_both, image, self._trim_padding), lane)
        found = await self._on_pool(lane, passes.parse_both, answer, self.detection_threshold)
        looks = await self._looks(image, found, lane)
        return await self._on_pool(lane, passes.finish_both, image, answer, found, looks, self.detection_threshold)

    async def glance(self, image: Image, lane: str, least_score: float | None = None, share: float = 1.0) -> Found:
        """One pass over a picture, at this share of the scale at which it just fits: its faces of at least this score
        (None: detection_threshold), graded.

        No second look: a face may be none, or upside down. Raises what ModelSlot.submit() raises.
        """
        least = self.detection_threshold if least_score is None else least_score
        answer = await self.detecting.submit(partial(passes.prepare, image, self._trim_padding, share), lane)
        return await self._on_pool(lane, passes.finish, image, answer, least, self.detection_threshold)

    async def candidates(self, image: Image, lane: str, least_score: float, most: int) -> Detections:
        """What the detector itself says in one pass, before anything is left out: see detect.candidates().

        Raises as glance() does.
        """
        answer = await self.detecting.submit(partial(passes.prepare, image, self._trim_padding, 1.0), lane)
        return await self._on_pool(lane, passes.candidates, answer, least_score, most)

    async def close_up(self, image: Image, found: Found, lane: str, least_score: float | None = None) -> Found:
        """What glance() found, and the faces that fill the picture, each once. Raises as glance() does."""
        least = self.detection_threshold if least_score is None else least_score
        answer = await self.detecting.submit(partial(passes.prepare, image, self._trim_padding, close_ups.SHARE), lane)
        return await self._on_pool(lane, passes.finish_close_up, image, found, answer, least)

    async def look(self, image: Image, found: Detections, lane: str) -> Looked:
        """A second look at each of n faces: whether it stands upright. Raises what ModelSlot.submit() raises."""
        looks = await self._looks(image, found, lane)
        return await self._on_pool(lane, passes.judge_looks, found, looks, self.detection_threshold)

    async def _looks(self, image: Image, found: Detections, lane: str) -> list[passes.PassedLook]:
        looks: list[passes.PassedLook] = []
        left = found.landmarks
        while len(left):
            looks.append(
                await self.detecting.submit(partial(passes.prepare_look, image, left, self._trim_padding), lane)
            )
            left = left[len(looks[-1].prepared[1]) :]
        return looks

    async def _on_pool(self, lane: str, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool_of(lane), partial(work, *given, **named))

    async def embed(self, image: Image, landmarks: F32, lane: str) -> Embedded:
        """Embed the faces with these landmarks (k,5,2), image pixels. Raises as detect() does.

        All of them by one model: a switch meanwhile is for the next call.
        """
        model, align_s, served = await self.embedding.submit(partial(_align, image, landmarks), lane)
        spec = model.spec
        embeddings = embed.parse(spec, served.outputs)
        if model is self.embedder:
            self._judge(model, embeddings)
        norms = embed.norms(spec, served.outputs)
        lengths = embed.lengths(spec, served.outputs)
        return Embedded(embeddings, align_s, served.queue_s, served.run_s, spec.name, spec.space, norms, lengths)

    def _judge(self, model: ServedModel[EmbedderSpec], embeddings: F32) -> None:
        judged, in_a_row = self._unusable
        in_a_row = in_a_row if judged is model else 0
        for usable in embed.usable(embeddings):
            in_a_row = 0 if usable else in_a_row + 1
        self._unusable = model, in_a_row

    async def faces(self, image: Image, lane: str = PHOTO) -> Faces:
        """Everything about every face of a photo. Raises Overloaded and RunnerDead."""
        found = await self.detect(image, lane)
        embedded = await self.embed(image, found.detections.landmarks, lane)
        return Faces(found.detections, found.quality, embedded.embeddings)


# On the CPU pool.


def _align(image: Image, landmarks: F32, model: ServedModel[EmbedderSpec]) -> tuple[list[F32], float]:
    started_s = time.perf_counter()
    tensors = list(embed.prepare(model.spec, embed.crops(model.spec, image, landmarks)))
    return tensors, time.perf_counter() - started_s


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
    tasks = asyncio.TaskGroup()
    plan = BatchPlan(
        config.runners,
        config.max_batch,
        config.max_wait_ms,
        config.queue_limit,
        config.latency_goal_ms,
        Cores(usable_cores(), config.patient_niceness) if config.patient_niceness else None,
    )
    pools = _pools(config)
    serving = Serving(manager, plan, tasks, config.on_batch)
    try:
        async with tasks:
            try:
                yield await _opened(config, serving, pools)
            finally:
                serving.stop()
    except BaseExceptionGroup as group:
        # The body's own exception, or the runner's: the group around it would only hide its class.
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from None
    finally:
        for pool in pools:
            await asyncio.to_thread(pool.shutdown)
        await asyncio.to_thread(serving.release)
        if own is not None:
            await asyncio.to_thread(own.close)


def _pools(config: RecogniserConfig) -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
    """For plain lanes and for patient ones; the same where these have no threads of their own."""
    threads, niceness = config.cpu_threads or usable_cores(), config.patient_niceness
    pool = ThreadPoolExecutor(threads, thread_name_prefix="cpu")
    if not niceness:
        return pool, pool
    return pool, ThreadPoolExecutor(threads, "patient-cpu", initializer=step_back, initargs=(niceness,))


async def _opened(
    config: RecogniserConfig, serving: Serving, pools: tuple[ThreadPoolExecutor, ThreadPoolExecutor]
) -> Recogniser:
    manager = serving.manager
    at_d, at_e = config.detector_at, config.embedder_at
    detector_spec = manager.spec_of(at_d.model if at_d else config.detector, DetectorSpec)
    embedder_spec = manager.spec_of(at_e.model if at_e else config.embedder, EmbedderSpec)
    detector = await serving.start(detector_spec, at_d)
    embedder = await serving.start(embedder_spec, at_e)
    names = [name for name in dict.fromkeys(config.in_every_space) if name != embedder.name]
    others = [await serving.lease(name) for name in names]
    return Recogniser(detector, embedder, others, serving, pools, config)
