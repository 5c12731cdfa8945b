"""Teachers: a spec's name and the weights' folders in, its answers for photos and crops out.

Blocks; networks run on `threads` threads of their own. Everything a student learns from is made here, once.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from recognition import detect, embed
from recognition.arrays import F32, U8
from recognition.errors import ModelNotFound
from recognition.faces import Detections
from recognition.image import Image
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import find_spec, load_specs
from recognition.specs.spec import DetectorSpec, EmbedderSpec, S
from recognition.specs.weights import read_weights

_BATCH = 16


def _open(name: str, folders: Sequence[Path], kind: type[S]) -> tuple[S, OnnxRunner]:
    spec = find_spec(name, load_specs(beside=folders))
    if not isinstance(spec, kind):
        raise ModelNotFound(f"model {name}: is a {spec.kind}, which can't teach this")
    return spec, OnnxRunner(spec, read_weights(spec, folders), "cpu")


class TeachingDetector:
    """A detector that labels photos."""

    def __init__(self, name: str, folders: Sequence[Path]) -> None:
        self.spec, self._runner = _open(name, folders, DetectorSpec)

    def detect(self, image: Image, least_score: float | None = None) -> Detections:
        """All faces of a picture, in its pixels, highest score first."""
        prepared = detect.prepare(self.spec, image, trim=True)
        least = self.spec.thresholds.score if least_score is None else least_score
        return detect.parse(self.spec, self.run(prepared.tensor[None]), prepared, least)

    def run(self, batch: F32) -> list[F32]:
        """(n,3,h,w) float32 -> the network's raw outputs."""
        return self._runner.run(batch)


class TeachingEmbedder:
    """An embedder whose embedding of a clean crop is what a student is to answer."""

    def __init__(self, name: str, folders: Sequence[Path], threads: int = 1) -> None:
        self.spec, self._runner = _open(name, folders, EmbedderSpec)
        self._threads = threads

    def embed(self, crops: Iterable[U8]) -> F32:
        """Crops (112,112,3) uint8 BGR -> (n,d) float32 unit vectors, the means of a crop's and its mirror image's."""
        parts: list[F32] = []
        groups = _in_groups(crops)
        with ThreadPoolExecutor(self._threads) as pool:
            while some := list(islice(groups, 8 * self._threads)):
                parts += pool.map(self._embed, some)
        return np.concatenate(parts)

    def run(self, batch: F32) -> list[F32]:
        """(n,3,h,w) float32 -> the network's raw outputs."""
        return self._runner.run(batch)

    def _embed(self, crops: U8) -> F32:
        raw, *_ = self.run(embed.prepare(self.spec, np.concatenate((crops, crops[:, :, ::-1]))))
        unit = embed.parse(self.spec, [[row] for row in raw])
        mean: F32 = unit[: len(crops)] + unit[len(crops) :]
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def _in_groups(crops: Iterable[U8]) -> Iterator[U8]:
    group: list[U8] = []
    for crop in crops:
        group.append(crop)
        if len(group) == _BATCH:
            yield np.stack(group)
            group = []
    if group:
        yield np.stack(group)
