"""`bench --train`: a classifier of made-up people, from their embeddings to its files; and what a face costs then.

Blocks for the processor, on one thread but for what scikit-learn's own libraries start.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gallery.classifier.artifacts import load
from gallery.classifier.embedding import EmbedderFacts
from gallery.classifier.folder import write
from gallery.classifier.train import Samples, TrainOptions, train
from recognition.arrays import F32
from streamer.bench.gallery.crowd import faces

PEOPLE, PHOTOS = 200, 20
_PROBES = 200
_LIKENESS = 0.7  # cosine of a photo to its person


def run_training(note: Callable[[str], None]) -> dict[str, Any]:
    """The key `train` of the machine-readable output."""
    note(f"training a classifier on {PEOPLE} people with {PHOTOS} photos")
    people = faces(PEOPLE)
    facts = EmbedderFacts(
        "made up", "none", (1, 1), "arcface", "rgb", 0, 1, "cpu", "crowd.1", people.shape[1], "0" * 16
    )
    rows = _seen(people, PHOTOS, seed=1)
    samples = Samples(list(rows), [f"p{row // PHOTOS:012}" for row in range(len(rows))], len(rows))
    began_s = time.perf_counter()
    training = asyncio.run(train(samples, facts, TrainOptions()))
    with tempfile.TemporaryDirectory(prefix="whosthere-bench-") as scratch:
        write(Path(scratch) / "model", training.files)
        train_s = time.perf_counter() - began_s
        classifier = load(Path(scratch) / "model")
    probes = _seen(people, 1, seed=2)[:_PROBES]
    classifier.predict_ids(probes[:1], 0.0)
    began_s = time.perf_counter()
    right = sum(
        classifier.predict_ids(probe[None], 0.0)[0].person_id == f"p{row:012}" for row, probe in enumerate(probes)
    )
    each_ms = 1000.0 * (time.perf_counter() - began_s) / len(probes)
    measured = Measured(PEOPLE, PHOTOS, train_s, each_ms, right / len(probes), len(training.files["classifier.pkl"]))
    return {"train": measured.document()}


@dataclass(frozen=True, slots=True)
class Measured:
    """photos: of each person; predict_ms: for one face."""

    people: int
    photos: int
    train_s: float
    predict_ms: float
    right: float
    classifier_bytes: int

    def document(self) -> dict[str, Any]:
        return {
            "people": self.people,
            "photos": self.photos,
            "train_s": round(self.train_s, 2),
            "predict_ms": round(self.predict_ms, 2),
            "right": round(self.right, 4),
            "classifier_mib": round(self.classifier_bytes / 2**20, 1),
        }


def _seen(people: F32, times: int, seed: int) -> F32:
    """Each of people (n,d) so often, as photos may show them: (n * times, d)."""
    noise = np.random.default_rng([4, seed]).standard_normal((len(people) * times, people.shape[1]))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    mixed = _LIKENESS * np.repeat(people, times, axis=0) + np.sqrt(1 - _LIKENESS**2) * noise
    return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), np.float32)
