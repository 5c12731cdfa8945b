"""A pack and photos of named people -> how well it tells them apart, through the same path as the service's.

evaluate() runs on the event loop; photos are read on the recogniser's CPU pool, networks run on its runners.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from recognition import detect, embed
from recognition.arrays import F32
from recognition.evaluation.error_rates import (
    FOLDS,
    Accuracy,
    Curve,
    Identification,
    Templates,
    genuine_scores,
    identify,
    impostor_scores,
    trade_off,
    verification_accuracy,
)
from recognition.evaluation.pairs import Pairs, PeoplesPhotos
from recognition.photos import central_face
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser
from recognition.serving.served_model import ServedModel
from recognition.specs.packs import Pack
from recognition.specs.spec import DetectorSpec, EmbedderSpec

Progress = Callable[[int, int], None]

REPORTED_FMRS = (1e-2, 1e-3, 1e-4)
SPEC_FMRS = (1e-3, 1e-4, 1e-5)
FPIR = 1e-2
# Enough photos in flight to fill batches on every core.
_WORKERS = 16
_TIMED_RUNS = 30


@dataclass(frozen=True, slots=True)
class OperatingRates:
    """Over all cross-person comparisons: at `cosine` a share `fmr` passes, and of the genuine ones a share `tmr`."""

    fmr: float
    cosine: float | None
    tmr: float | None


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds of one network alone, on one thread: a photo for a detector, a face for an embedder."""

    device: str
    detect_ms: float
    embed_ms: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The figures of one pack on one set of photos. `accuracy` None: no pairs were given.

    `accuracy_of_found` leaves out the pairs with a face that was not found: what the embedder is to answer for.
    templates: of each photo; is_enrolled (people,): who is in the gallery of the open-set test.
    """

    pack: Pack
    photos: int
    people: int
    without_face: int
    pairs: int
    genuine: int
    impostors: int
    accuracy: Accuracy | None
    accuracy_of_found: Accuracy | None
    pairs_found: int
    reported: tuple[OperatingRates, ...]
    for_spec: tuple[OperatingRates, ...]
    identification: Identification
    curve: Curve | None
    speed: Speed
    templates: Templates
    is_enrolled: NDArray[np.bool_]


async def evaluate(
    pack: Pack, config: RecogniserConfig, photos: PeoplesPhotos, pairs: Pairs | None, progress: Progress
) -> Evaluation:
    """Embed every photo with the pack's models and compare. `config` says the rest: folders, device, runners.

    Raises what open_recogniser raises, and an ImageError for a photo that can't be read.
    """
    config = replace(
        config, detector=pack.detector, embedder=pack.embedder, queue_limit=max(config.queue_limit, 2 * _WORKERS)
    )
    async with open_recogniser(config) as recogniser:
        templates = await _templates(recogniser, photos, progress)
        speed = await asyncio.to_thread(_speed, recogniser, photos)
    return await asyncio.to_thread(_figures, pack, photos, pairs, templates, speed)


def is_enrolled(name: str) -> bool:
    """Whether a person is in the gallery of the open-set test (even MD5 digest of the name) or an impostor."""
    return hashlib.md5(name.encode(), usedforsecurity=False).digest()[-1] % 2 == 0


async def _templates(recogniser: Recogniser, photos: PeoplesPhotos, progress: Progress) -> Templates:
    loop = asyncio.get_running_loop()
    total = len(photos)
    embeddings = np.zeros((total, recogniser.embedder.spec.embedding_size), np.float32)
    found = np.zeros(total, np.bool_)
    done = 0

    async def work(places: Iterator[int]) -> None:
        nonlocal done
        for place in places:
            image = await loop.run_in_executor(recogniser.pool, photos.image, place)
            seen = await recogniser.detect(image, "photo")
            landmarks = central_face(seen.detections, image)
            if len(landmarks):
                embeddings[place] = (await recogniser.embed(image, landmarks, "photo")).embeddings[0]
                found[place] = True
            done += 1
            progress(done, total)

    places = iter(range(total))
    async with asyncio.TaskGroup() as tasks:
        for number in range(_WORKERS):
            tasks.create_task(work(places), name=f"evaluate {number}")
    return Templates(embeddings, photos.person, found)


def _speed(recogniser: Recogniser, photos: PeoplesPhotos) -> Speed:
    """Times the networks on the first photos, with nothing else at work here."""
    detector, embedder = recogniser.detector, recogniser.embedder
    tensors, crops = [], []
    for place in range(min(10, len(photos))):
        image = photos.image(place)
        prepared = detect.prepare(detector.spec, image, trim=recogniser.trims)
        tensors.append(prepared.tensor)
        outputs = detector.runner.run(prepared.tensor[None])
        if detector.max_batch > 1:
            outputs = [output[0] for output in outputs]
        found = detect.parse(detector.spec, outputs, prepared, recogniser.detection_threshold)
        crops += list(embed.prepare(embedder.spec, embed.crops(embedder.spec, image, central_face(found, image))))
    return Speed(detector.device, _run_ms(detector, tensors), _run_ms(embedder, crops) if crops else None)


def _run_ms(model: ServedModel[DetectorSpec] | ServedModel[EmbedderSpec], tensors: list[F32]) -> float:
    # On the CPU the network runs in this very thread: its own clock leaves out what other programs take.
    clock = time.thread_time if model.device == "cpu" else time.perf_counter
    times = []
    for number in range(_TIMED_RUNS):
        started_s = clock()
        model.runner.run(tensors[number % len(tensors)][None])
        times.append(clock() - started_s)
    return median(times) * 1000


def _figures(pack: Pack, photos: PeoplesPhotos, pairs: Pairs | None, templates: Templates, speed: Speed) -> Evaluation:
    genuine, impostors = genuine_scores(templates), impostor_scores(templates)

    def rates(fmr: float) -> OperatingRates:
        cosine = impostors.threshold_at(fmr)
        return OperatingRates(fmr, cosine, None if cosine is None else genuine.share_from(cosine))

    scores, same = (np.empty(0, np.float32), np.empty(0, np.bool_)) if pairs is None else _scored(templates, pairs)
    known = ~np.isnan(scores)
    enough = min((same & known).sum(), (~same & known).sum()) >= FOLDS
    enrolled = np.array([is_enrolled(name) for name in photos.people], np.bool_)
    return Evaluation(
        pack=pack,
        photos=len(photos),
        people=len(photos.people),
        without_face=int((~templates.found).sum()),
        pairs=len(scores),
        genuine=len(genuine.scores),
        impostors=impostors.total,
        accuracy=verification_accuracy(scores, same) if len(scores) else None,
        accuracy_of_found=verification_accuracy(scores[known], same[known]) if enough else None,
        pairs_found=int(known.sum()),
        reported=tuple(map(rates, REPORTED_FMRS)),
        for_spec=tuple(map(rates, SPEC_FMRS)),
        identification=identify(templates, enrolled, FPIR),
        curve=trade_off(genuine, impostors),
        speed=speed,
        templates=templates,
        is_enrolled=enrolled,
    )


def _scored(templates: Templates, pairs: Pairs) -> tuple[F32, NDArray[np.bool_]]:
    """Each pair's score, NaN where a face was not found, and whether it is of one person."""
    scores = np.einsum("nd,nd->n", templates.embeddings[pairs.left], templates.embeddings[pairs.right])
    found = templates.found[pairs.left] & templates.found[pairs.right]
    return np.where(found, scores, np.float32(np.nan)), pairs.same
