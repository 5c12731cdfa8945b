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
from gallery.classifier.embedding import CropEmbedder, CropFace, EmbedderFacts, usable
from gallery.classifier.errors import TrainingImpossible
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
    digests: list[bytes] = field(default_factory=list)

    def add(self, person_id: str, face: CropFace, digest: bytes = b"") -> None:
        """Keep it, if its embedding is of use."""
        if not usable(face.embedding):
            self.skipped["no_embedding"] += 1
            return
        self.embeddings.append(face.embedding)
        self.person_ids.append(person_id)
        self.digests.append(digest)
        self.whole_crops += not face.is_found

    def told_of_skipped(self) -> str:
        """Of an error: what became of the rows that count for nobody."""
        told = [f"{count} {why.replace('_', ' ')}" for why, count in sorted(self.skipped.items()) if count]
        return f" ({', '.join(told)} of {self.read} rows were skipped)" if told else ""

    def leave_out(self, digests: Collection[bytes]) -> None:
        """Those of these crops, which are two people's."""
        kept = [row for row, digest in enumerate(self.digests) if digest not in digests]
        self.skipped["of_two_people"] += len(self.digests) - len(kept)
        self.embeddings = [self.embeddings[row] for row in kept]
        self.person_ids = [self.person_ids[row] for row in kept]


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What a training has made: the files by name, and their metrics as data."""

    files: dict[str, bytes]
    metrics: dict[str, Any]
    person_ids: tuple[str, ...]


async def from_table(
    table: FaceTable, embedder: CropEmbedder, progress: Progress, forgotten: Collection[str] = ()
) -> Samples:
    """The verified rows' faces, but for people who were forgotten. Corrupt rows are skipped, logged and counted; a
    crop that comes again counts once, and one that comes as two people's not at all.

    Raises what table and embedder raise.
    """
    samples, total = Samples(), await asyncio.to_thread(table.count)
    rows, owners = table.rows(), _Owners(forgotten)

    def next_crops() -> tuple[int, list[tuple[str, bytes, ArrayImage]]]:
        chunk = list(islice(rows, _AT_ONCE))
        crops = [owners.crop_of(row, samples) for row in chunk]
        return len(chunk), [crop for crop in crops if crop is not None]

    while (found := await asyncio.to_thread(next_crops))[0]:
        count, crops = found
        async with asyncio.TaskGroup() as group:
            faces = [group.create_task(embedder.embed_crop(crop), name="embed a crop") for *_, crop in crops]
        for (person_id, digest, _), face in zip(crops, faces, strict=True):
            samples.add(person_id, face.result(), digest)
        samples.read += count
        progress(samples.read, max(total, samples.read))
    samples.leave_out(owners.disputed)
    if samples.skipped["corrupt"] > _TOLD_ROWS:
        log.warning("%d rows are corrupt and were skipped", samples.skipped["corrupt"])
    return samples


class _Owners:
    """Whose the crops are that were met; `disputed`: the digests of those that came as two people's."""

    def __init__(self, forgotten: Collection[str]) -> None:
        self.disputed: set[bytes] = set()
        self._forgotten = forgotten
        self._owner_of: dict[bytes, str] = {}

    def crop_of(self, row: FaceRow, samples: Samples) -> tuple[str, bytes, ArrayImage] | None:
        """Whose, its digest, and the picture of a row that counts; others are counted by why they don't."""
        if not row.is_verified or row.person_id in self._forgotten:
            samples.skipped["forgotten" if row.is_verified else "unverified"] += 1
            return None
        if row.person_id is None or row.crop is None:
            no_id = "its person_id is no number and no short text"
            _corrupt(row, samples, no_id if row.person_id is None else "its face_crop_blob holds no bytes, or too many")
            return None
        digest = hashlib.sha256(row.crop).digest()
        if digest in self._owner_of:
            is_disputed = self._owner_of[digest] != row.person_id
            samples.skipped["of_two_people" if is_disputed else "duplicate"] += 1
            self.disputed |= {digest} if is_disputed else set()
            return None
        try:
            crop = decode_image(row.crop, f"row {row.number}")
        except ImageError as error:
            _corrupt(row, samples, str(error))
            return None
        self._owner_of[digest] = row.person_id
        return row.person_id, digest, crop


def _corrupt(row: FaceRow, samples: Samples, why: str) -> None:
    """Count it; the first few are told."""
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


async def train(samples: Samples, facts: EmbedderFacts, options: TrainOptions) -> Training:
    """`facts`: of what embedded the samples. Raises TrainingImpossible."""
    return await asyncio.to_thread(_train, samples, facts, options)


def _train(samples: Samples, facts: EmbedderFacts, options: TrainOptions) -> Training:
    started_s = time.monotonic()
    stacked = np.stack(samples.embeddings) if samples.embeddings else np.empty((0, facts.embedding_size), np.float32)
    try:
        dataset = Dataset.of(stacked, samples.person_ids)
    except TrainingImpossible as error:
        raise TrainingImpossible(f"{error}{samples.told_of_skipped()}") from None
    if dataset.dropped:
        log.warning("%d people have one usable face alone: the classifier can't name them", dataset.dropped)
    log.info("classes: %s", distribution(dataset.sizes.tolist()))
    training, validation = dataset.split(options.validation_share, options.seed)
    tried = fit(training, options.kind, options.seed, calibrates=False).best(validation.embeddings)
    accuracy = float((tried == validation.labels).mean())
    fitted = fit(dataset, options.kind, options.seed)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    metrics = {
        "classes": {"kept": len(dataset.person_ids), "dropped": dataset.dropped},
        "samples": {
            "read": samples.read,
            "kept": len(dataset),
            "dropped": len(samples.embeddings) - len(dataset),
            "skipped": {why: count for why, count in sorted(samples.skipped.items()) if count},
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
