"""Scripted faces for tests of tracking, visits, the live gallery and the pipeline: no pixels, no models."""

from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np

from recognition.arrays import F32
from recognition.faces import Detections, Quality
from recognition.recogniser import Found, Recogniser
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.match_policy import MatchPolicy
from streamer.settings import Settings
from streamer.settings_reading import load
from streamer.telemetry.metrics import Metrics
from tests.galleries import open_store
from tests.gallery.fakes import photo_of

SIZE = (1280, 720)

# Embedders by name, with the length of their embeddings: no two can be multiplied without an error.
SIZES = {"a": 512, "b": 256, "c": 384}
THRESHOLDS = {"a": 0.4, "b": 0.5, "c": 0.6}


@dataclass(frozen=True)
class Face:
    """One face of a scripted frame; look is a number from which its thumbnail and embedding are drawn."""

    x: float
    y: float = 300.0
    look: int = 1
    score: float = 0.9
    quality: float = 0.8
    side: float = 100.0

    @property
    def box(self) -> list[float]:
        half = self.side / 2
        return [self.x - half, self.y - half, self.x + half, self.y + half]


def unit(seed: int, size: int = 512) -> F32:
    """A random unit vector, always the same for a seed; two seeds are nearly orthogonal."""
    vector = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def embedding_by(model: str, look: int, cosine: float = 1.0) -> F32:
    """The embedding that a model makes of a look, as far from the look's template as the cosine says."""
    base, other = unit(look, SIZES[model]), unit(1000 + look, SIZES[model])
    other = other - (other @ base) * base
    mixed = cosine * base + np.sqrt(1.0 - cosine**2) * other / np.linalg.norm(other)
    return np.asarray(mixed / np.linalg.norm(mixed), dtype=np.float32)


def spec_of(model: str) -> EmbedderSpec:
    """A spec for a scripted embedder, in a space of its own."""
    spec = cast(EmbedderSpec, load_specs()["nano_embed"])
    return spec.model_copy(update={"name": model, "space": f"{model}.1", "embedding_size": SIZES[model]})


def known(settings: Settings, model: str) -> MatchPolicy:
    """A scripted embedder as the live gallery knows it, with a threshold that is its own."""
    policy = MatchPolicy.of(settings, spec_of(model), scripted_recogniser())
    return replace(policy, spaces=(replace(policy.spaces[0], threshold=THRESHOLDS[model]),))


def scripted_recogniser(
    pool: ThreadPoolExecutor | None = None, specs: Mapping[str, EmbedderSpec] | None = None
) -> Recogniser:
    """As much of a recogniser as the live gallery looks at; a serves. `specs`: what its manager knows, by name."""
    recogniser = SimpleNamespace(
        pool=pool,
        detector=SimpleNamespace(spec=SimpleNamespace(name="d")),
        embedder=SimpleNamespace(spec=spec_of("a")),
        manager=SimpleNamespace(spec_of=lambda name, kind: (specs or {})[name]),
        signature_with=lambda spec: f"d+{spec.name}",
    )
    return cast(Recogniser, recogniser)


@asynccontextmanager
async def live_gallery_of(
    folder: Path, people: Mapping[int, str], metrics: Metrics | None = None, overrides: Sequence[str] = ()
) -> AsyncIterator[tuple[LiveGallery, dict[int, str]]]:
    """A live_gallery that knows a, b and c; a serves. `people`: by look, the models that have its template.

    Gives the people's ids by look, too.
    """
    settings = load(overrides=[f"paths.data={folder}", *overrides])
    with open_store(settings.gallery_path) as store:
        ids = {
            look: store.add_person(
                f"Look {look}", [photo_of(unit(look, SIZES[m]), 10 * look + n, f"{m}.1") for n, m in enumerate(models)]
            ).id
            for look, models in people.items()
        }
    with ThreadPoolExecutor(2) as pool:
        async with LiveGallery.open(settings, scripted_recogniser(pool), metrics or Metrics()) as live_gallery:
            for model in SIZES:
                await live_gallery.add_embedder(known(settings, model))
            yield live_gallery, ids


def found(*faces: Face) -> Found:
    """What a detector would have given for these faces."""
    n = len(faces)
    boxes = np.array([face.box for face in faces], np.float32).reshape(n, 4)
    ones = np.ones(n, np.float32)
    quality = Quality(
        score=np.array([face.quality for face in faces], np.float32),
        sharpness=ones,
        brightness=ones,
        contrast=ones,
        size_px=np.array([face.side for face in faces], np.float32),
        yaw=ones,
        pitch=ones,
        roll=ones,
        turn=np.zeros(n, np.float32),
    )
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    thumbs = np.stack([unit(face.look, 256).reshape(16, 16) for face in faces]) if n else np.empty((0, 16, 16))
    return Found(
        detections=Detections(
            boxes,
            np.array([face.score for face in faces], np.float32),
            np.repeat(centres[:, None], 5, axis=1).astype(np.float32),
        ),
        quality=quality,
        thumbs=thumbs.astype(np.float32),
        prepare_s=0.0,
        queue_s=0.0,
        run_s=0.0,
        grade_s=0.0,
    )
