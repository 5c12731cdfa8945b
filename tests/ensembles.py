"""Weights folders with networks of a few bytes and with ensembles of them, for what is about spaces, not faces."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from recognition.checks.spaces import make_space
from recognition.image import ArrayImage
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec, MatchThresholds, OperatingPoint
from tests import tiny_networks
from tests.fragile import UPRIGHT

Colour = tuple[int, int, int]


def tiny_model(folder: Path, name: str, *, dim: int, seed: int, threshold: float, fill: float = 1.0) -> EmbedderSpec:
    """An embedder that sees a face's mean colour alone; `fill`: how much all faces have in common for it."""
    weights = tiny_networks.embedder(dim, seed, fill=fill)
    changes = {
        "name": name,
        "local_artifacts": [f"{name}.onnx"],
        "weights_digest": hashlib.sha256(weights).hexdigest(),
        "space": f"{name}.1",
        "embedding_size": dim,
        "input": {"name": "input.1", "size": [112, 112], "color_order": "rgb", "mean": 127.5, "std": 127.5},
        "thresholds": thresholds(threshold).model_dump(mode="json"),
        "needs": None,
        "sample": None,
    }
    spec = EmbedderSpec.model_validate({**load_specs()["nano_embed"].model_dump(mode="json"), **changes})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / spec.file).write_bytes(weights)
    space = make_space(spec, OnnxRunner(spec, weights, "cpu"))
    _write(folder / "spaces" / f"{spec.space}.yaml", space.model_dump(mode="json"))
    return written(folder, spec)


def ensemble(
    folder: Path, name: str, members: Sequence[EmbedderSpec], merge: Literal["agree", "concat_l2"] = "agree"
) -> EmbedderSpec:
    """The ensemble of these two, with a threshold of its own that `agree` has no use for."""
    changes = {
        "name": name,
        "precision": "fp32",
        "local_artifacts": [],
        "weights_digest": None,
        "members": [member.name for member in members],
        "merge": merge,
        "space": "--".join(member.space for member in members),
        "embedding_size": sum(member.embedding_size for member in members),
        "input": {"size": [112, 112], "color_order": "bgr", "mean": 0.0, "std": 1.0},
        "thresholds": thresholds(0.987).model_dump(mode="json"),
        "needs": None,
        "sample": None,
    }
    spec = EmbedderSpec.model_validate({**load_specs()["nano_embed"].model_dump(mode="json"), **changes})
    return written(folder, spec)


def thresholds(cosine: float) -> MatchThresholds:
    """One threshold for everything; what share of faces it lets pass nobody measured."""
    rows = (OperatingPoint(fmr=1e-3, cosine=cosine, tmr=None),)
    return MatchThresholds(measured_on="not measured: for tests", verification=1e-3, identification=1e-3, table=rows)


def written(folder: Path, spec: EmbedderSpec) -> EmbedderSpec:
    """The spec, written where a weights folder has it."""
    _write(folder / "specs" / "face_embedding" / f"{spec.name}.yaml", spec.model_dump(mode="json"))
    return spec


def coloured_faces(*colours: Colour) -> tuple[ArrayImage, NDArray[np.float32]]:
    """A picture with faces of these even colours (BGR) side by side, and their landmarks (k,5,2)."""
    pixels = np.repeat(np.array(colours, np.uint8), 300, axis=0)[None] * np.ones((300, 1, 1), np.uint8)
    starts = np.array([[300 * place + 94, 94] for place in range(len(colours))], np.float32)
    return ArrayImage(pixels), UPRIGHT + starts[:, None]


def _write(file: Path, document: dict[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(document))
