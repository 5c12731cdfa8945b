"""Training: verified faces of a source -> the five files of a classifier, ready to be written.

On the event loop; disk and fitting on threads. Nothing is written here.
"""

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np

from gallery.classifier.artifacts import Run, packed
from gallery.classifier.dataset import Dataset
from gallery.classifier.embedding import CropEmbedder, CropFace, usable
from gallery.classifier.fitting import Kind, fit
from gallery.classifier.sources import FaceRow, FaceTable
from gallery.people import StoredPhoto
from gallery.storage.store import PersonStore
from recognition.arrays import F32
from recognition.errors import ImageError
from recognition.image import ArrayImage, decode_image

log = logging.getLogger(__name__)

_AT_ONCE = 8
_TOLD_ROWS = 20
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    kind: Kind = "svc"
    seed: int = 42
    validation_share: float = 0.2
    program: str = ""


@dataclass(slots=True)
class Samples:
    """Embeddings (d,) of verified faces and whose they are; how many were read, and what became of the others."""

    embeddings: list[F32] = field(default_factory=list)
    person_ids: list[str] = field(default_factory=list)
    read: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    whole_crops: int = 0

    def add(self, person_id: str, face: CropFace) -> None:
        if not usable(face.embedding):
            self.skipped["no_embedding"] += 1
            return
        self.embeddings.append(face.embedding)
        self.person_ids.append(person_id)
        self.whole_crops += not face.is_found


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What a training has made: the files by name, and their metrics as data."""

    files: dict[str, bytes]
    metrics: dict[str, Any]
    person_ids: tuple[str, ...]


async def from_table(
    table: FaceTable, embedder: CropEmbedder, progress: Progress, forgotten: Collection[str] = ()
) -> Samples:
    """The verified rows' faces, but for people who were forgotten. Corrupt rows are skipped, logged and counted. Raises what table and embedder raise."""
    samples, total = Samples(), await asyncio.to_thread(table.count)
    seen: dict[bytes, str] = {}
    rows = table.rows()
    while chunk := await asyncio.to_thread(lambda: list(islice(rows, _AT_ONCE))):
        decoded = [(row, _crop_of(row, samples, seen, forgotten)) for row in chunk]
        crops = [(row, crop) for row, crop in decoded if crop is not None]
        async with asyncio.TaskGroup() as group:
            faces = [group.create_task(embedder.embed_crop(crop), name="embed a crop") for _, crop in crops]
        for (row, _), face in zip(crops, faces, strict=True):
            samples.add(row.person_id or "", face.result())
        samples.read += len(chunk)
        progress(samples.read, max(total, samples.read))
    if samples.skipped["corrupt"] > _TOLD_ROWS:
        log.warning("%d rows are corrupt and were skipped", samples.skipped["corrupt"])
    return samples


def _crop_of(row: FaceRow, samples: Samples, seen: dict[bytes, str], forgotten: Collection[str]) -> ArrayImage | None:
    """The decoded picture of a row that counts; others are counted by why they don't."""
    if not row.is_verified:
        samples.skipped["unverified"] += 1
        return None
    if row.person_id in forgotten:
        samples.skipped["forgotten"] += 1
        return None
    why = None
    if row.person_id is None:
        why = "its person_id is no number and no short text"
    elif row.crop is None:
        why = "its face_crop_blob holds no bytes, or too many"
    if row.person_id is None or row.crop is None:
        _corrupt(row, samples, why or "")
        return None
    digest = hashlib.sha256(row.crop).digest()
    if digest in seen:
        samples.skipped["duplicate" if seen[digest] == row.person_id else "of_two_people"] += 1
        return None
    try:
        crop = decode_image(row.crop, f"row {row.number}")
    except ImageError as error:
        _corrupt(row, samples, str(error))
        return None
    seen[digest] = row.person_id
    return crop


def _corrupt(row: FaceRow, samples: Samples, why: str) -> None:
    samples.skipped["corrupt"] += 1
    if samples.skipped["corrupt"] <= _TOLD_ROWS:
        log.warning("row %d of the training source is corrupt and skipped: %s", row.number, why)


async def from_gallery(store: PersonStore, embedder: CropEmbedder, progress: Progress) -> Samples:
    """Everybody's templates in the embedder's space; of photos that have none there, made of their chips.

    Raises what store and embedder raise.
    """
    samples, space = Samples(), embedder.facts.space
    templates = await asyncio.to_thread(store.all_templates, space)
    for person_id, embedding in zip(templates.person_ids, templates.matrix, strict=True):
        samples.add(person_id, CropFace(embedding, is_found=True))
    lacking = await asyncio.to_thread(store.count_without_template, space)
    samples.read, total = len(templates), len(templates) + lacking
    photos = store.photos_without_template(space)
    while (photo := await asyncio.to_thread(next, photos, None)) is not None:
        samples.read += 1
        progress(samples.read, max(total, samples.read))
        await _add_chip(photo, embedder, samples)
    return samples


async def _add_chip(photo: StoredPhoto, embedder: CropEmbedder, samples: Samples) -> None:
    if photo.chip is None:
        samples.skipped["corrupt"] += 1
        log.warning("photo %d of %s is damaged and skipped", photo.id, photo.person_id)
        return
    embedding = await embedder.embed_chip(ArrayImage(photo.chip), photo.landmarks)
    samples.add(photo.person_id, CropFace(embedding, is_found=True))


async def train(samples: Samples, embedder: CropEmbedder, options: TrainOptions) -> Training:
    """Raises TrainingImpossible."""
    return await asyncio.to_thread(_train, samples, embedder, options)


def _train(samples: Samples, embedder: CropEmbedder, options: TrainOptions) -> Training:
    started_s, facts = time.monotonic(), embedder.facts
    stacked = np.stack(samples.embeddings) if samples.embeddings else np.empty((0, facts.embedding_size), np.float32)
    dataset = Dataset.of(stacked, samples.person_ids)
    if dataset.dropped:
        log.warning("%d people have one usable face alone: the classifier can't name them", dataset.dropped)
    log.info("classes: %s", distribution(dataset.sizes.tolist()))
    training, validation = dataset.split(options.validation_share, options.seed)
    tried = fit(training, options.kind, options.seed, calibrates=False).predict(validation.embeddings)
    accuracy = float((tried.best == validation.labels).mean())
    fitted = fit(dataset, options.kind, options.seed)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    metrics = {
        "classes": {"kept": len(dataset.person_ids), "dropped": dataset.dropped},
        "samples": {
            "read": samples.read,
            "kept": len(dataset),
            "dropped": len(samples.embeddings) - len(dataset),
            "skipped": dict(sorted(samples.skipped.items())),
            "without_landmarks": samples.whole_crops,
        },
        "validation": {"samples": len(validation), "trained_on": len(training), "accuracy": round(accuracy, 6)},
        "accuracy": round(accuracy, 6),
        "time": {"trained_at": at, "seconds": round(time.monotonic() - started_s, 3)},
    }
    run = Run(at, options.program, options.kind)
    return Training(packed(fitted, dataset.person_ids, facts, metrics, run), metrics, dataset.person_ids)


def distribution(sizes: Sequence[int]) -> str:
    """How many people have how many faces, in a line."""
    ranges = ((2, 4), (5, 9), (10, 19), (20, 49), (50, None))
    told = []
    for least, most in ranges:
        count = sum(least <= size and (most is None or size <= most) for size in sizes)
        if count:
            told.append(f"{count} with {least} to {most}" if most else f"{count} with {least} and more")
    return f"{len(sizes)} people: {', '.join(told)} faces"
