"""The bundled portraits, one person who is real and some strangers who are not; and models held to them.

Pictures of model/faces go in, SelfTestFailed or nothing comes out. Blocks for up to a second of the model's runs:
loading a model for the service calls it, `models selftest` and `check` do.

    python -m recognition.checks.portraits MODEL WEIGHTS_FOLDER

prints the `sample` for the spec of a model that is known to be right.
"""

import base64
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from recognition import detect, embed
from recognition.arrays import F32
from recognition.errors import SelfTestFailed, SpecInvalid
from recognition.faces import iou
from recognition.image import ArrayImage, read_image
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.specs.files import bundled, find_spec, load_specs
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from recognition.specs.weights import read_weights

Point = tuple[float, float]

INDEX = "faces.yaml"
# Between the box of a face and what a detector says; detectors differ about foreheads.
LEAST_OVERLAP = 0.5
# Another precision or provider of the same weights stays above; swapped colours or a shifted crop do not.
LEAST_SAMPLE_COSINE = 0.99


class _Row(BaseModel):
    """A picture in the index. `name` None: a stranger. box xyxy and landmarks (5) in px."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    name: str | None
    box: tuple[float, float, float, float]
    landmarks: tuple[Point, Point, Point, Point, Point]


_INDEX: TypeAdapter[list[_Row]] = TypeAdapter(list[_Row])


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A picture with one face. name None: a stranger. box (4,) xyxy px; landmarks (5,2) px."""

    file: Path
    name: str | None
    box: F32
    landmarks: F32

    def image(self) -> ArrayImage:
        """Its pixels. Raises an ImageError."""
        return read_image(self.file)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A picture of the known person, changed in a way that leaves them known."""

    change: str
    image: ArrayImage
    landmarks: F32


def read_portraits(folder: Path | None = None) -> tuple[Portrait, ...]:
    """The portraits of model/faces in the order of their index. Raises SpecInvalid where that is broken."""
    folder = bundled("faces") if folder is None else folder
    try:
        rows = _INDEX.validate_python(yaml.safe_load((folder / INDEX).read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, UnicodeDecodeError, ValidationError):
        raise SpecInvalid(f"portraits {folder / INDEX}: missing or broken; install whosthere again") from None
    return tuple(
        Portrait(folder / row.file, row.name, np.array(row.box, np.float32), np.array(row.landmarks, np.float32))
        for row in rows
    )


def check_portraits(spec: DetectorSpec | EmbedderSpec, runner: TensorRunner) -> str:
    """Hold a model to the portraits; a line about how it did. Raises SelfTestFailed, and SpecInvalid."""
    portraits = read_portraits()
    if isinstance(spec, DetectorSpec):
        return hold_detector(spec, runner, portraits)
    return hold_embedder(spec, runner, portraits)


def hold_detector(spec: DetectorSpec, runner: TensorRunner, portraits: tuple[Portrait, ...]) -> str:
    """One face in each picture, where it is."""
    for portrait in portraits:
        prepared = detect.prepare(spec, portrait.image())
        found = detect.parse(spec, runner.run(prepared.tensor[None]), prepared, spec.thresholds.score)
        overlap = float(iou(found.boxes, portrait.box[None]).max(initial=0.0))
        if len(found) != 1 or overlap < LEAST_OVERLAP:
            raise SelfTestFailed(
                f"model {spec.name}: finds {len(found)} faces in {portrait.file.name}, which shows one, and overlaps "
                f"that one by {overlap:.2f} (want {LEAST_OVERLAP}): bad weights, or the spec's input is wrong"
            )
    return f"finds the one face in each of {len(portraits)} portraits"


def hold_embedder(spec: EmbedderSpec, runner: TensorRunner, portraits: tuple[Portrait, ...]) -> str:
    """At the identification threshold: the known person is known in other looks, and no two others are one."""
    threshold = spec.identification_threshold
    embeddings = [_embedding(spec, runner, portrait.image(), portrait.landmarks) for portrait in portraits]
    known = _known(portraits)
    told = _hold_to_sample(spec, embeddings[known])
    likest = -1.0
    for k, portrait in enumerate(portraits):
        for other in range(k):
            cosine = float(embeddings[k] @ embeddings[other])
            likest = max(likest, cosine)
            if not cosine < threshold:
                raise SelfTestFailed(
                    f"model {spec.name}: takes {portrait.file.name} and {portraits[other].file.name}, two people, for "
                    f"one (cosine {cosine:.3f}, known from {threshold}): bad weights, or the spec's threshold is wrong"
                )
    least = 1.0
    for look in looks(portraits[known]):
        cosine = float(_embedding(spec, runner, look.image, look.landmarks) @ embeddings[known])
        least = min(least, cosine)
        if not cosine >= threshold:
            raise SelfTestFailed(
                f"model {spec.name}: does not know {portraits[known].file.name} when it is {look.change} (cosine "
                f"{cosine:.3f}, known from {threshold}): bad weights, or the spec's input or threshold is wrong"
            )
    return f"{told}, one person at least {least:.2f}, strangers at most {likest:.2f}, known from {threshold}"


def make_sample(spec: EmbedderSpec, runner: TensorRunner) -> str:
    """The `sample` of a spec whose weights are known to be the right ones."""
    portraits = read_portraits()
    portrait = portraits[_known(portraits)]
    embedding = _embedding(spec, runner, portrait.image(), portrait.landmarks)
    return base64.b64encode(embedding.astype("<f2").tobytes()).decode()


def _hold_to_sample(spec: EmbedderSpec, embedding: F32) -> str:
    """How like the stored one it is. Raises SelfTestFailed."""
    if spec.sample is None:
        return "no sample in its spec"
    stored = np.frombuffer(base64.b64decode(spec.sample), "<f2").astype(np.float32)
    if stored.shape != embedding.shape:
        raise SelfTestFailed(f"model {spec.name}: sample: has {stored.size} numbers, want {embedding.size}")
    cosine = float(stored @ embedding / max(float(np.linalg.norm(stored)), 1e-6))
    if not cosine > LEAST_SAMPLE_COSINE:
        raise SelfTestFailed(
            f"model {spec.name}: its embedding of the sample portrait is not the one in its spec (cosine {cosine:.4f}, "
            f"want {LEAST_SAMPLE_COSINE}): bad weights, or colour order, mean or crop are wrong"
        )
    return f"sample {cosine:.4f}"


def _known(portraits: Sequence[Portrait]) -> int:
    return next(k for k, portrait in enumerate(portraits) if portrait.name is not None)


def _embedding(spec: EmbedderSpec, runner: TensorRunner, image: ArrayImage, landmarks: F32) -> F32:
    tensor = embed.prepare(spec, embed.crops(spec, image, landmarks[None]))
    return np.asarray(embed.parse(spec, [runner.run(tensor)])[0], dtype=np.float32)


def looks(portrait: Portrait) -> Iterator[Look]:
    """The person of a portrait as other cameras might show them."""
    pixels, landmarks = portrait.image().bgr(), portrait.landmarks
    mirrored = np.ascontiguousarray(pixels[:, ::-1])
    # What was the left eye is now the right one, as seen in the picture.
    turned = (landmarks * (-1, 1) + (pixels.shape[1] - 1, 0))[[1, 0, 2, 4, 3]].astype(np.float32)
    yield Look("mirrored", ArrayImage(mirrored), turned)
    half = np.asarray(cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    yield Look("half as large", ArrayImage(half), ((landmarks + 0.5) / 2 - 0.5).astype(np.float32))
    yield Look("dark", ArrayImage(np.asarray(cv2.convertScaleAbs(pixels, alpha=0.4), dtype=np.uint8)), landmarks)


def main(name: str, folder: str) -> None:
    spec = find_spec(name, load_specs(beside=[Path(folder)]))
    if not isinstance(spec, EmbedderSpec):
        raise SpecInvalid(f"model {name}: is a {spec.kind}; only embedders have a sample")
    runner = OnnxRunner(spec, read_weights(spec, [Path(folder)]), "cpu")
    sys.stdout.write(f"sample: {make_sample(spec, runner)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
