"""InferenceEngine: encoded images in, their faces with embeddings out, by the recogniser that the cameras have.

On the event loop, on a patient lane: cameras come first. Pixels are touched on that lane's pool of threads.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np

from gallery.enrolment.photo_reading import InFlight
from gallery.enrolment.shots import only_fault
from recognition import close_ups, detect, embed
from recognition.arrays import F32
from recognition.errors import ImageError, NoModelServes, Overloaded
from recognition.image import Image, decode_image, pixels_in
from recognition.recogniser import Embedded, Found, Recogniser
from recognition.serving.lanes import PatientLane
from recognition.specs.devices import usable_cores
from recognition.specs.spec import EmbedderSpec
from streamer.inference.beside import Beside, beside
from streamer.inference.reading import Reading, Seen, Wanted

HTTP = PatientLane("http")

MOST_REQUESTS = 32
MOST_BODY_BYTES = 256 << 20  # of all requests that are under way
MOST_CANDIDATES, LEAST_SCORE = 300, 0.05
_IMAGES_A_CORE = 4  # while networks run over some, others are decoded and prepared
_FACES_AT_ONCE = 16
_TRIES = 3
_LOADS_AT_ONCE = 2

Given = bytes | ImageError
Outcome = tuple[Seen, str | None] | ImageError  # by which embedder; None: there was no face
P = ParamSpec("P")
T = TypeVar("T")


class InferenceEngine:
    """Of one recogniser; for many requests at once, see admitted()."""

    def __init__(self, recogniser: Recogniser, most_requests: int = MOST_REQUESTS) -> None:
        self._recogniser = recogniser
        self._most_requests = most_requests
        self._requests = self._bytes = 0
        self._loading = asyncio.Semaphore(_LOADS_AT_ONCE)
        self._in_flight = InFlight(_IMAGES_A_CORE * usable_cores())

    @property
    def requests(self) -> int:
        """How many are under way."""
        return self._requests

    @asynccontextmanager
    async def admitted(self, body_bytes: int = 0) -> AsyncIterator[None]:
        """One request's place, to be had before its body is read, which has so many bytes at most.

        Raises Overloaded at once where all places are taken, or those who have them fill the room for bodies.
        """
        is_full = self._requests >= self._most_requests
        if is_full or (self._bytes and self._bytes + body_bytes > MOST_BODY_BYTES):
            raise Overloaded(
                f"{self._requests} requests with images are under way, bodies of {self._bytes >> 20} MiB; try again "
                "in a moment"
            )
        self._requests += 1
        self._bytes += body_bytes
        try:
            yield
        finally:
            self._requests -= 1
            self._bytes -= body_bytes

    async def read(self, images: Sequence[Given], wanted: Wanted = Wanted()) -> Reading:  # noqa: B008 # frozen
        """The faces of each image (a file's bytes), or what is wrong with it; identical ones are looked at once.

        What is wrong with one already stays so.

        Raises ModelNotFound, what ModelManager.lease() raises for a model that is loaded beside, and what
        Recogniser.embed() raises.
        """
        recogniser = self._recogniser
        spec = None if wanted.model is None else recogniser.manager.spec_of(wanted.model, EmbedderSpec)
        for _ in range(_TRIES):
            if spec is not None and spec.name != recogniser.embedder.name:
                async with beside(recogniser, spec, self._loading) as other:
                    outcomes = await self._outcomes(images, wanted, other)
            else:
                outcomes = await self._outcomes(images, wanted, None)
            makers = {one[1] for one in outcomes.values() if isinstance(one, tuple)} - {None}
            made_by = spec.name if spec is not None else next(iter(makers), None) or recogniser.embedder.name
            if makers <= {made_by}:
                return self._reading(images, outcomes, recogniser.manager.spec_of(made_by, EmbedderSpec))
        raise NoModelServes("the embedder was switched again and again meanwhile; try again in a moment")

    def _reading(self, images: Sequence[Given], outcomes: dict[bytes, Outcome], spec: EmbedderSpec) -> Reading:
        ordered = [outcomes[data] if isinstance(data, bytes) else data for data in images]
        seen = tuple(one[0] if isinstance(one, tuple) else one for one in ordered)
        return Reading(seen, spec.name, spec.space, self._recogniser.signature_with(spec), spec.embedding_size)

    async def _outcomes(self, images: Sequence[Given], wanted: Wanted, other: Beside | None) -> dict[bytes, Outcome]:
        """By image; no more of one request wait for a seat than there are, so that others come in between."""
        first_places = await self.on_pool(_first_places, images)
        left = iter(first_places.items())
        outcomes: dict[bytes, Outcome] = {}

        async def work() -> None:
            for data, place in left:
                outcomes[data] = await self._outcome(data, wanted.called.format(place), wanted, other)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(len(first_places), self._in_flight.photos)):
                    tasks.create_task(work(), name="images of a request")
        except BaseExceptionGroup as faults:
            raise only_fault(faults) from None
        return outcomes

    async def _outcome(self, data: bytes, name: str, wanted: Wanted, other: Beside | None) -> Outcome:
        async with self._in_flight.seat(), self._in_flight.room_for(await self.on_pool(pixels_in, data)):
            try:
                image = await self.on_pool(decode_image, data, name)
            except ImageError as error:
                return error.with_traceback(None)
            return await self._seen(image, wanted, other)

    async def _seen(self, image: Image, wanted: Wanted, other: Beside | None) -> tuple[Seen, str | None]:
        recogniser = self._recogniser
        candidates = None
        if wanted.candidates:
            candidates = await recogniser.candidates(image, HTTP, LEAST_SCORE, MOST_CANDIDATES)
        found = await self._found(image, thorough=wanted.thorough)
        landmarks = found.detections.landmarks
        parts = [
            await (other or recogniser).embed(image, landmarks[start : start + _FACES_AT_ONCE], HTTP)
            for start in range(0, len(landmarks), _FACES_AT_ONCE)
        ]
        makers = {part.model for part in parts}
        if len(makers) > 1:  # switched in the middle of a crowd
            return await self._seen(image, wanted, other)
        spec = self._recogniser.embedder.spec if other is None else other.spec
        if makers:
            spec = recogniser.manager.spec_of(makers.pop(), EmbedderSpec)
        crops = await self.on_pool(embed.crops, spec, image, landmarks) if wanted.crops and parts else None
        seen = Seen(
            image.width,
            image.height,
            found.detections,
            found.quality,
            _joined(parts, spec, normalize=wanted.normalize),
            crops,
            candidates,
        )
        return seen, spec.name if parts else None

    async def _found(self, image: Image, *, thorough: bool) -> Found:
        recogniser = self._recogniser
        if thorough:
            return await recogniser.detect(image, HTTP)
        share = close_ups.first_share(detect.fitting(recogniser.detector.spec, image))
        found = await recogniser.glance(image, HTTP, share=share)
        return found if found.close_up == "none" else await recogniser.close_up(image, found, HTTP)

    async def on_pool(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Off the loop, where cameras need not wait for it."""
        pool = self._recogniser.pool_of(HTTP)
        return await asyncio.get_running_loop().run_in_executor(pool, partial(work, *given, **named))


def _first_places(images: Sequence[Given]) -> dict[bytes, int]:
    """At which place each image comes first; identical ones count once."""
    places: dict[bytes, int] = {}
    for place, data in enumerate(images):
        if isinstance(data, bytes):
            places.setdefault(data, place)
    return places


def _joined(parts: Sequence[Embedded], spec: EmbedderSpec, *, normalize: bool) -> F32:
    """All faces' embeddings (n,d); an unusable one's zeros stay zeros."""
    if not parts:
        return np.empty((0, spec.embedding_size), np.float32)
    units = np.concatenate([part.embeddings for part in parts])
    if normalize:
        return units
    lengths = np.concatenate([part.lengths for part in parts if part.lengths is not None])
    return np.asarray(np.where(embed.usable(units), lengths, np.float32(0.0))[:, None] * units, np.float32)
