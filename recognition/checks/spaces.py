"""Embedding spaces: what a model makes of three fixed probe images, so that no two spaces ever mix.

    python -m recognition.checks.spaces SPEC WEIGHTS_FOLDER > model/spaces/SPACE.yaml

writes a space's file from a model that is known to be right. Blocks for the model's runs, when models load.
"""

import base64
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recognition import embed
from recognition.arrays import F32, U8
from recognition.errors import EmbeddingSpaceMismatch, SpecInvalid
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.specs.files import bundled, find_spec, load_specs
from recognition.specs.spec import EmbedderSpec
from recognition.specs.weights import read_weights

# fp16 and other forms of the same weights stay above this; other weights, even of one architecture, do not.
LEAST_COSINE = 0.999


class EmbeddingSpace(BaseModel):
    """One file of model/spaces: `probes` holds an embedding of each probe image, base64 of float16."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    dim: Annotated[int, Field(ge=1)]
    probes: tuple[str, ...]

    def embeddings(self) -> F32:
        """(3, dim) float32 unit vectors."""
        rows = [np.frombuffer(base64.b64decode(text), np.float16).astype(np.float32) for text in self.probes]
        stored = np.stack(rows)
        unit: F32 = stored / np.linalg.norm(stored, axis=1, keepdims=True)
        return unit


def probe_faces(size: tuple[int, int] = (112, 112)) -> U8:
    """Four drawn faces (4,h,w,3) uint8 BGR, where the template has eyes, nose and mouth; the last one is dim.

    Closed forms alone: no random numbers, whose generators change between versions. The first three are the
    probes of a space; all four, with their different ranges, are what batch and single are compared on.
    """
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    x, y = (x - width / 2) / width * 112, (y - height / 2) / height * 112

    def spot(cx: float, cy: float, wide: float, high: float) -> NDArray[np.float64]:
        return np.asarray(np.exp(-(((x - cx) / wide) ** 2) - ((y - cy) / high) ** 2))

    looks = (
        # skin (blue, green, red), eyes apart, nose long, mouth wide, light from, depth of contrast
        ((110, 140, 190), 17.6, 9.0, 13.0, 0.6, 1.0),
        ((60, 80, 120), 16.0, 11.0, 16.0, -0.8, 0.9),
        ((150, 175, 225), 19.0, 8.0, 11.0, 0.1, 0.7),
        ((95, 100, 110), 17.0, 10.0, 14.0, 0.3, 0.15),
    )
    faces = np.empty((len(looks), height, width, 3), np.uint8)
    for number, (skin, apart, nose, mouth, light, depth) in enumerate(looks):
        shape = 1 / (1 + np.exp((np.hypot(x / 44, (y - 4) / 58) - 1) * 12))
        dark = 0.75 * (spot(-apart, -4.5, 7, 3.5) + spot(apart, -4.5, 7, 3.5))
        dark += 0.4 * (spot(-apart, -13, 10, 2.5) + spot(apart, -13, 10, 2.5))
        dark += 0.35 * spot(0, 36.5, mouth, 3) + 0.25 * spot(0, 16 + nose / 3, nose, 3)
        dark -= 0.2 * spot(0, 8, 4, nose)
        shading = 1 + 0.25 * light * x / 56 + 0.08 * np.sin(x / 3 + number) * np.sin(y / (4 + number))
        for channel, tone in enumerate(skin):
            value = shape * tone * shading * (1 - dark) + (1 - shape) * (40 + 30 * number + 10 * channel)
            faces[number, :, :, channel] = np.clip(128 + (value - 128) * depth, 0, 255).round()
    return faces


def embed_probes(spec: EmbedderSpec, runner: TensorRunner) -> F32:
    """The model's embeddings (3, dim) of the probes, run one at a time."""
    tensors = embed.prepare(spec, probe_faces(spec.input.size)[:3])
    return embed.parse(spec, [runner.run(tensor[None]) for tensor in tensors])


def read_space(name: str, folder: Path | None = None, beside: Sequence[Path] = ()) -> EmbeddingSpace:
    """The space of this name, from `folder` (None: the bundled ones) or from a weights folder's spaces/.

    Raises SpecInvalid where its file is missing or broken.
    """
    first = (bundled("spaces") if folder is None else folder) / f"{name}.yaml"
    files = [first, *(weights / "spaces" / first.name for weights in beside)]
    file = next((file for file in files if file.is_file()), first)
    try:
        space = EmbeddingSpace.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
        stored = space.embeddings()
    except OSError:
        raise SpecInvalid(
            f"space {name}: {file} can't be read; write it with python -m recognition.checks.spaces"
        ) from None
    except (yaml.YAMLError, ValidationError, ValueError):
        raise SpecInvalid(f"space {name}: {file} is broken; write it again from the right weights") from None
    if space.name != name or stored.shape != (3, space.dim):
        raise SpecInvalid(f"space {name}: {file} holds {space.name} {stored.shape}; write it again")
    return space


def check_space(
    spec: EmbedderSpec, runner: TensorRunner, folder: Path | None = None, beside: Sequence[Path] = ()
) -> None:
    """Raises EmbeddingSpaceMismatch unless the model's embeddings of the probes are those of its space."""
    space = read_space(spec.space, folder, beside)
    if space.dim != spec.embedding_size:
        raise EmbeddingSpaceMismatch(
            f"model {spec.name}: makes {spec.embedding_size} numbers, space {space.name} has {space.dim}; "
            "give it a space of its own"
        )
    worst = float((embed_probes(spec, runner) * space.embeddings()).sum(axis=1).min())
    if not worst >= LEAST_COSINE:
        raise EmbeddingSpaceMismatch(
            f"model {spec.name}: its embeddings of the probes are not those of space {space.name} (cosine "
            f"{worst:.4f}, want {LEAST_COSINE}): it is another model, give it a space of its own"
        )


def make_space(spec: EmbedderSpec, runner: TensorRunner) -> EmbeddingSpace:
    """The space that this model defines; for weights that are known to be the right ones."""
    rows = [base64.b64encode(row.astype(np.float16).tobytes()).decode() for row in embed_probes(spec, runner)]
    return EmbeddingSpace(name=spec.space, dim=spec.embedding_size, probes=tuple(rows))


def main(name: str, folder: str) -> None:
    spec = find_spec(name, load_specs())
    if not isinstance(spec, EmbedderSpec):
        raise SpecInvalid(f"model {name}: is a detector; only embedders have a space")
    space = make_space(spec, OnnxRunner(spec, read_weights(spec, [Path(folder)]), "cpu"))
    sys.stdout.write(f"# python -m recognition.checks.spaces {name} WEIGHTS_FOLDER\n")
    yaml.safe_dump(space.model_dump(mode="json"), sys.stdout, sort_keys=False, width=10_000)


if __name__ == "__main__":
    main(*sys.argv[1:])
