"""What a network without a spec is: its file's bytes in, its family and shapes out, told by running it once.

Blocks for the session and one run on a grey picture (up to a second for large networks).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recognition.detect import OUTPUT_WIDTHS, STRIDES
from recognition.runtimes.onnx_runner import open_unknown
from recognition.runtimes.onnx_session import try_run

Family = Literal["scrfd", "yunet", "arcface"]
_FREE_SIDE = 640  # for networks that take any size
_MULTIPLE = 32
_CROP_SIDE = 112
_SIDES = range(32, 1281)
_DETECTORS: tuple[tuple[Literal["scrfd", "yunet"], int], ...] = (("scrfd", 2), ("yunet", 1))  # and anchors a cell
# What else InsightFace's packs hold.
_OTHERS = {
    (3, 96): "tells age and sex",
    (212, 192): "finds 106 landmarks",
    (3309, 192): "finds landmarks in three dimensions",
}


@dataclass(frozen=True, slots=True)
class Graph:
    """A network that can be used here. `size` (width, height); `multiple` as in a spec's input.

    `takes_batches`: its first axis is free; whether a batch is right is another question.
    """

    family: Family
    input: str
    size: tuple[int, int]
    multiple: int | None
    takes_batches: bool
    embedding_size: int = 0


def identify(file: str, weights: bytes) -> Graph | str:
    """The network, or in words why it is of no use here. Raises UnsupportedRuntime, WeightsUnreadable."""
    session = open_unknown(file, weights)
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        return "does not take one picture of floats"
    batch, channels, *sides = inputs[0].shape
    free = not any(isinstance(side, int) for side in sides)
    high, wide = (side if isinstance(side, int) else _FREE_SIDE for side in sides)
    if channels != 3 or wide not in _SIDES or high not in _SIDES:
        return f"takes {channels} x {high} x {wide}, which is no picture of ours"
    outputs = try_run(session, {inputs[0].name: np.zeros((1, 3, high, wide), np.float32)})
    if outputs is None:
        return f"can't be run on a picture of {wide} x {high}"
    if not all(isinstance(output, np.ndarray) and output.ndim and output.size for output in outputs):
        return "has an output that is no array of numbers"
    size, many = (wide, high), not isinstance(batch, int)
    widths = tuple(output.shape[-1] for output in outputs)
    shapes = [(output.shape[-1], output.size // output.shape[-1]) for output in outputs]
    for family, anchors in _DETECTORS:
        if shapes == _detector_shapes(family, anchors, wide, high):
            return Graph(family, inputs[0].name, size, _MULTIPLE if free else None, many)
    if len(widths) == 1 and size == (_CROP_SIDE, _CROP_SIDE) and widths[0] >= 32:
        return Graph("arcface", inputs[0].name, size, None, many, widths[0])
    if len(widths) == 1 and (widths[0], wide) in _OTHERS:
        return f"{_OTHERS[widths[0], wide]}, which nothing here uses"
    if len(widths) in (6, 9, 15) and set(widths) <= {1, 4, 10}:
        return "a detector without landmarks, or at other strides than 8, 16 and 32"
    return f"has outputs of {', '.join(map(str, widths))} numbers: no detector and no embedder that is known here"


def _detector_shapes(family: str, anchors: int, wide: int, high: int) -> list[tuple[int, int]]:
    """How wide each of a detector's outputs is, and how many rows it has: one for each anchor of each cell."""
    rows = [anchors * (wide // stride) * (high // stride) for stride in STRIDES]
    return [(width, count) for width in OUTPUT_WIDTHS[family] for count in rows]
