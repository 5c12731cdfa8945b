"""A trained student detector -> the ONNX file that ships, and the score from which on it is to be believed.

Blocks for a minute. Most is int8. The answers themselves stay float32, and so does all of stride 32: little to compute,
and the place where a pixel that was rounded otherwise used to change a score by .04.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from recognition.arrays import F32
from recognition.training.detector_net import OUTPUT_NAMES, ExportedDetector, NanoDetector
from recognition.training.quantised import plain
from recognition.training.scene_parts import LabelledPhoto
from recognition.training.scenes import compose
from recognition.zoo.onnx_export import to_int8, to_onnx

_CALIBRATION_SCENES = 64
_CALIBRATION_SEED = 8_000_000
_ANSWERS = "/out"  # how the exporter's names of the last convolutions begin
_COARSE = ("/stage32", "/lateral.2", "/large_head")


def export_detector(net: NanoDetector, photos: Sequence[LabelledPhoto], out: Path, *, int8: bool = True) -> None:
    """Write the network with YuNet's twelve outputs, any size and batch; scales from scenes made of the photos."""
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "full.onnx" if int8 else out
        to_onnx(ExportedDetector(plain(net, NanoDetector())), (3, 640, 640), OUTPUT_NAMES, (0, 2, 3), full)
        if int8:
            to_int8(full, calibration(photos), out, keep_float=kept_float(full))


def kept_float(file: Path) -> list[str]:
    """The names of what is not quantised: stride 32, the last convolutions, and all that follows those, in order.

    One scale for what these say together (scores, sizes, landmarks) would leave each of them a handful of values.
    """
    names: list[str] = []
    told: set[str] = set()
    for node in onnx.load(str(file)).graph.node:
        if node.name.startswith(_ANSWERS) or told.intersection(node.input):
            names.append(node.name)
            told.update(node.output)
        elif node.name.startswith(_COARSE):
            names.append(node.name)
    return names


def calibration(photos: Sequence[LabelledPhoto]) -> Iterator[F32]:
    """Scenes of several sizes, as the network eats them."""
    for number in range(_CALIBRATION_SCENES):
        side = (320, 480, 640)[number % 3]
        scene = compose(photos, side, np.random.default_rng((_CALIBRATION_SEED, number)))
        yield scene.picture.transpose(2, 0, 1)[None].astype(np.float32)
