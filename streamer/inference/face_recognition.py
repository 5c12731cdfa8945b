"""Faces for other programs: a photo's embedding, and embeddings held against each other. One object a process.

On the loop; pixels are the engine's, comparing is on a thread.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np

from gallery.enrolment.quality_gate import Gate, check_face, upright
from gallery.errors import NoFace, QualityTooLow
from gallery.matching.given import Given, held_against
from gallery.matching.space_policy import SpacePolicy
from recognition import embed
from recognition.arrays import F32
from recognition.errors import EmbeddingSpaceMismatch, EmbeddingUnusable, ImageError, Overloaded
from recognition.faces import Quality
from recognition.recogniser import Recogniser
from recognition.specs.spec import EmbedderSpec
from streamer.inference.embedding_cache import EmbeddingCache
from streamer.inference.engine import InferenceEngine
from streamer.inference.reading import Seen, Wanted
from streamer.inference.recognition_counts import Kind, RecognitionCounts
from streamer.pipeline.match_policy import MatchPolicy
from streamer.settings import FaceRecognitionSettings, Settings

PolicyOf = Callable[[EmbedderSpec], MatchPolicy]
"""How an embedder's faces are judged."""


@dataclass(frozen=True, slots=True, eq=False)
class Extracted:
    """The face of a photo: the largest of those that stand upright. embedding (d,) float32 unit vector.

    box: left, top, right, bottom px; quality: its own alone; of `faces` in all. signature: of detector and embedder.
    """

    embedding: F32
    score: float
    box: tuple[float, float, float, float]
    quality: Quality
    faces: int
    model: str
    signature: str


@dataclass(frozen=True, slots=True)
class Judged:
    """model: whose embeddings they were taken for; None where nobody said, and a threshold was given."""

    given: Given
    model: str | None
    seconds: float


class FaceRecognition:
    """`policy_of` says how an embedder's faces are judged here: by the gallery's calibration, where there is one."""

    def __init__(
        self, engine: InferenceEngine, recogniser: Recogniser, settings: Settings, policy_of: PolicyOf
    ) -> None:
        self.counts = RecognitionCounts()
        self.started_at = time.time()
        self._engine = engine
        self._recogniser = recogniser
        self._rules: FaceRecognitionSettings = settings.http.face_recognition
        self._margin = settings.gallery.margin
        self._policy_of = policy_of
        self._cache: EmbeddingCache[Extracted] = EmbeddingCache(self._rules.embedding_cache_size)
        self._requests = 0

    @property
    def current_model(self) -> str:
        """The embedder that serves the cameras, and whoever names none."""
        return self._recogniser.embedder.name

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """One request's place, to be had before its body is read. Raises Overloaded at once where there is none."""
        if self._requests >= self._rules.max_concurrent_requests:
            raise Overloaded(
                f"{self._requests} requests of face recognition are under way, as many as may be at once; "
                "try again in a moment"
            )
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    def forget(self) -> None:
        """Somebody is forgotten, whose photo may be among those that came."""
        self._cache.clear()

    async def extract(self, photo: bytes, model: str | None = None) -> tuple[Extracted, float]:
        """The photo's face, and how many seconds it took; a photo that came just now is not looked at again.

        Raises ImageError, NoFace, FaceNotUpright, FaceDoubtful, QualityTooLow, EmbeddingUnusable, ModelNotFound, and
        what loading and running a model raise.
        """
        began_s = time.perf_counter()
        spec = self._spec(model)
        digest = await self._engine.on_pool(_digest, photo)
        found = self._cache.get((digest, spec.name, self._recogniser.signature_with(spec)))
        if found is None:
            era = self._cache.era
            found = await self._extracted(photo, model)
            self._cache.put((digest, found.model, found.signature), found, era)
        self._hold_to_rules(found)
        seconds = time.perf_counter() - began_s
        self.counts.answered("extract", seconds, found.model)
        return found, seconds

    async def compare(
        self, first: F32, second: F32, model: str | None = None, threshold: float | None = None
    ) -> Judged:
        """Whether two unit vectors (d,) are of one person, as the spec's operating point for 1:1 has it.

        Raises ModelNotFound, EmbeddingSpaceMismatch.
        """
        began_s = time.perf_counter()
        name, spaces = self._spaces(len(first), model, threshold, verifies=True)
        given = await asyncio.to_thread(held_against, first, ["second"], second[np.newaxis], spaces, self._margin)
        return self._judged("compare", given, name, began_s)

    async def match(
        self,
        query: F32,
        ids: Sequence[str],
        embeddings: F32,
        models: Sequence[str | None],
        model: str | None = None,
        threshold: float | None = None,
    ) -> Judged:
        """Who of these it is: unit vectors (d,) and (n,d), and whose embedding each is said to be, if anybody's.

        Raises ModelNotFound, EmbeddingSpaceMismatch.
        """
        began_s = time.perf_counter()
        name, spaces = self._spaces(len(query), model, threshold, verifies=False)
        self._hold_to_space(self._spec(model), models)
        given = await asyncio.to_thread(held_against, query, ids, embeddings, spaces, self._margin)
        return self._judged("match", given, name, began_s)

    def _judged(self, kind: Kind, given: Given, model: str | None, began_s: float) -> Judged:
        seconds = time.perf_counter() - began_s
        self.counts.answered(kind, seconds, model, matched=any(one.is_match for one in given.likenesses))
        return Judged(given, model, seconds)

    def _spec(self, model: str | None) -> EmbedderSpec:
        return (
            self._recogniser.embedder.spec if model is None else self._recogniser.manager.spec_of(model, EmbedderSpec)
        )

    def _spaces(
        self, dim: int, model: str | None, threshold: float | None, *, verifies: bool
    ) -> tuple[str | None, Sequence[SpacePolicy]]:
        """Whose they are, and how they are judged. Numbers of no model of ours can be held to a given threshold."""
        spec = self._spec(model)
        spaces = self._policy_of(spec).spaces
        if dim != sum(one.dim for one in spaces):
            if model is None and threshold is not None:
                return None, [SpacePolicy("", dim, threshold, ())]
            raise EmbeddingSpaceMismatch(
                f"{dim} numbers are no embedding of {spec.name}, which has {sum(one.dim for one in spaces)}: give the "
                "`model` that they came with, or a `threshold` of your own"
            )
        if threshold is not None:
            return spec.name, [replace(one, threshold=threshold) for one in spaces]
        if verifies:
            members = [self._spec(name).thresholds for name in spec.matched_by]
            cosines = [member.cosine_at(member.verification) for member in members]
            return spec.name, [replace(one, threshold=at) for one, at in zip(spaces, cosines, strict=True)]
        return spec.name, spaces

    def _hold_to_space(self, spec: EmbedderSpec, models: Sequence[str | None]) -> None:
        for name in {name for name in models if name is not None}:
            if self._spec(name).space != spec.space:
                raise EmbeddingSpaceMismatch(
                    f"embeddings of {self._spec(name).name} can't be compared with those of {spec.name}: they are of "
                    f"two spaces, {self._spec(name).space} and {spec.space}"
                )

    async def _extracted(self, photo: bytes, model: str | None) -> Extracted:
        reading = await self._engine.read([photo], Wanted(model=model, thorough=True, called="the image"))
        (seen,) = reading.images
        if isinstance(seen, ImageError):
            raise seen
        face = _largest(seen)
        if not embed.usable(seen.embeddings[face : face + 1])[0]:
            raise EmbeddingUnusable(f"model {reading.model} gave nothing usable for the face; give another photo")
        left, top, right, bottom = (round(float(edge), 1) for edge in seen.detections.boxes[face])
        return Extracted(
            seen.embeddings[face].copy(),  # not the others with it
            float(seen.detections.scores[face]),
            (left, top, right, bottom),
            seen.quality.at(np.array([face])),
            len(seen),
            reading.model,
            reading.signature,
        )

    def _hold_to_rules(self, found: Extracted) -> None:
        """Raises QualityTooLow."""
        rules, (darkest, brightest) = self._rules, self._rules.optimal_brightness_range
        check_face(found.quality, 0, Gate(0.0, rules.minimum_face_quality))
        sharpness, brightness = float(found.quality.sharpness[0]), float(found.quality.brightness[0])
        if sharpness < rules.minimum_sharpness:
            raise QualityTooLow(
                f"the face is too blurred (sharpness {sharpness:.3f} where {rules.minimum_sharpness:.3f} is wanted); "
                "give a sharper photo"
            )
        if not darkest <= brightness <= brightest:
            what = "dark" if brightness < darkest else "bright"
            raise QualityTooLow(
                f"the face is too {what} (brightness {brightness:.2f} where {darkest:.2f} to {brightest:.2f} is "
                "wanted); give a photo in other light"
            )


def _digest(photo: bytes) -> str:
    return hashlib.sha256(photo).hexdigest()


def _largest(seen: Seen) -> int:
    """Raises NoFace, FaceNotUpright, FaceDoubtful."""
    if not len(seen):
        raise NoFace("no face was found; give a photo that shows the face large and from the front")
    boxes = seen.detections.boxes
    areas = np.where(upright(seen.quality), (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), -1.0)
    return int(np.argmax(areas))
