"""A real model, of a few bytes, that a nearly black face makes give NaN or zeros; and pictures for it."""

import hashlib
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from recognition.checks.spaces import make_space
from recognition.image import ArrayImage
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from tests import tiny_networks

# Where ArcFace's template has eyes, nose and mouth, about: a face that is cut out as it stands.
UPRIGHT = np.array([[38, 52], [74, 52], [56, 72], [42, 92], [70, 92]], np.float32)


def fragile_model(folder: Path, gives: str) -> str:
    """Write weights, spec and space into a folder that paths.models may name; the model's name."""
    weights = tiny_networks.fragile(gives=gives)
    changes = {
        "name": "fragile",
        "local_artifacts": ["fragile.onnx"],
        "weights_digest": hashlib.sha256(weights).hexdigest(),
        "space": "fragile.1",
        "embedding_size": 64,
        "sample": None,
        "input": {"name": "input.1", "size": [112, 112], "color_order": "rgb", "mean": 127.5, "std": 127.5},
    }
    spec = EmbedderSpec.model_validate({**load_specs()["nano_embed"].model_dump(mode="json"), **changes})
    (folder / spec.file).write_bytes(weights)
    space = make_space(spec, OnnxRunner(spec, weights, "cpu"))
    for file, document in ((f"specs/face_embedding/{spec.name}.yaml", spec), (f"spaces/{spec.space}.yaml", space)):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(yaml.safe_dump(document.model_dump(mode="json")))
    return spec.name


def faces(*tones: int) -> tuple[ArrayImage, NDArray[np.float32]]:
    """A picture with faces of these even tones (0: black) side by side, and their landmarks (k,5,2)."""
    pixels = np.repeat(np.array(tones, np.uint8), 300)[None, :, None] * np.ones((300, 1, 3), np.uint8)
    starts = np.array([[300 * place + 94, 94] for place in range(len(tones))], np.float32)
    return ArrayImage(pixels), UPRIGHT + starts[:, None]
