"""Detectors without their session: an image -> the network's input, its raw outputs -> Detections.

Pure NumPy and OpenCV; runs on the CPU pool.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32, PICTURES
from recognition.faces import Detections
from recognition.image import Image
from recognition.specs.spec import DetectorSpec, InputSpec

STRIDES = (8, 16, 32)
# How wide each kind of output is, in the order of the network's outputs; each comes once per stride.
OUTPUT_WIDTHS = {"scrfd": (1, 4, 10), "yunet": (1, 1, 4, 10)}
_SCRFD_ANCHORS = 2
_PART = 0.85  # of a box's area, within a surer one's


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A picture as the network wants it: tensor (3, h, w) float32; scale is its pixels per image pixel."""

    tensor: F32
    scale: float


def fitting(spec: DetectorSpec, image: Image) -> float:
    """The network's pixels per image pixel at which the whole image just fits into its input."""
    wide, high = spec.input.size
    return min(wide / image.width, high / image.height)


def prepare(spec: DetectorSpec, image: Image, *, trim: bool = False, scale: float | None = None) -> Prepared:
    """Letterbox: the whole image at the top left of the input, aspect kept, the rest filled with black.

    `scale`: the network's pixels per image pixel, at most fitting(), which None means.
    `trim` leaves out rows and columns that would be padding alone, as far as the spec's `multiple` allows;
    the faces stay as large as without. A batch needs tensors of one shape, so it is for batches of one.
    """
    want = spec.input
    wide, high = want.size
    scale = fitting(spec, image) if scale is None else scale
    width = max(1, round(image.width * scale))
    height = max(1, round(image.height * scale))
    if trim and want.multiple:
        wide, high = (-(-side // want.multiple) * want.multiple for side in (width, height))
    tensor = PICTURES.f32((3, high, wide))
    black = -want.mean / want.std
    tensor[:, height:] = black
    tensor[:, :height, width:] = black
    planes = image.scaled_rgb_planes(width, height)
    _normalise(planes if want.color_order == "rgb" else planes[::-1], want, tensor[:, :height, :width])
    return Prepared(tensor, scale)


def _normalise(pixels: NDArray[np.uint8], want: InputSpec, out: F32) -> None:
    for plane, target in zip(pixels, out, strict=True):
        np.subtract(plane, np.float32(want.mean), out=target, dtype=np.float32)
        if want.std != 1.0:
            target *= np.float32(1 / want.std)


def parse(spec: DetectorSpec, outputs: list[F32], prepared: Prepared, score_threshold: float) -> Detections:
    """The network's raw outputs for one image -> its faces in image pixels, highest score first.

    Only candidates above the threshold are decoded. Boxes may reach over the image's edge.
    """
    scores, boxes, points = _decoded(spec, outputs, prepared, score_threshold)
    kept = _suppress(boxes, scores, score_threshold, spec.thresholds.nms)
    back = np.float32(1 / prepared.scale)
    return Detections(boxes[kept] * back, scores[kept], points[kept] * back)


def candidates(spec: DetectorSpec, outputs: list[F32], prepared: Prepared, least_score: float, most: int) -> Detections:
    """As parse(), with nothing suppressed: the `most` surest boxes of at least this score as the network gave them."""
    scores, boxes, points = _decoded(spec, outputs, prepared, least_score)
    surest = np.argsort(-scores, kind="stable")[:most]
    back = np.float32(1 / prepared.scale)
    return Detections(boxes[surest] * back, scores[surest], points[surest] * back)


def _decoded(spec: DetectorSpec, outputs: list[F32], prepared: Prepared, least_score: float) -> tuple[F32, F32, F32]:
    """Scores (m,), boxes (m,4) and landmarks (m,5,2) in the input's pixels, of all that reach this score."""
    decode = {"scrfd": _decode_scrfd, "yunet": _decode_yunet}[spec.family]
    width = prepared.tensor.shape[2]
    parts = [decode(outputs, level, stride, width, least_score) for level, stride in enumerate(STRIDES)]
    scores, boxes, points = (np.concatenate(column) for column in zip(*parts, strict=True))
    return scores, boxes, points


def _decode_scrfd(outputs: list[F32], level: int, stride: int, width: int, threshold: float) -> tuple[F32, F32, F32]:
    """SCRFD (Guo et al. 2021): two anchors a cell, distances from its corner in units of the stride."""
    all_scores = outputs[level].reshape(-1)
    found = np.flatnonzero(all_scores >= threshold)
    at = _cells(found // _SCRFD_ANCHORS, stride, width)
    sides = outputs[level + 3].reshape(-1, 4)[found] * np.float32(stride)
    boxes = np.concatenate((at - sides[:, :2], at + sides[:, 2:]), axis=1)
    points = at[:, None] + outputs[level + 6].reshape(-1, 5, 2)[found] * np.float32(stride)
    return all_scores[found], boxes, points


def _decode_yunet(outputs: list[F32], level: int, stride: int, width: int, threshold: float) -> tuple[F32, F32, F32]:
    """YuNet (Wu et al. 2023): one anchor a cell, score sqrt(class * objectness), exponential sizes."""
    product = outputs[level].reshape(-1) * outputs[level + 3].reshape(-1)
    found = np.flatnonzero(product >= threshold * threshold)
    at = _cells(found, stride, width)
    raw = outputs[level + 6].reshape(-1, 4)[found]
    centre = at + raw[:, :2] * np.float32(stride)
    half = np.exp(raw[:, 2:]) * np.float32(stride / 2)
    boxes = np.concatenate((centre - half, centre + half), axis=1)
    points = at[:, None] + outputs[level + 9].reshape(-1, 5, 2)[found] * np.float32(stride)
    return np.sqrt(product[found]), boxes, points


def _cells(index: NDArray[np.intp], stride: int, width: int) -> F32:
    """Cell numbers, row by row -> (n, 2) xy px of their corners in the network's input."""
    columns = width // stride
    return np.stack((index % columns, index // columns), axis=1).astype(np.float32) * np.float32(stride)


def _suppress(boxes: F32, scores: F32, score_threshold: float, nms_threshold: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: the indices that stay, highest score first."""
    if len(scores) < 2:
        return np.arange(len(scores))
    corner_and_size = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
    kept = cv2.dnn.NMSBoxes(corner_and_size.astype(np.float64), scores, score_threshold, nms_threshold)  # type: ignore[arg-type]  # arrays are taken; the stub knows lists alone
    return _whole(boxes, np.asarray(kept, dtype=np.intp).reshape(-1))


def _whole(boxes: F32, kept: NDArray[np.intp]) -> NDArray[np.intp]:
    """Without boxes within a surer face's box: nano_det sees mouth and chin of a large face as another."""
    left, top, right, bottom = boxes[kept].T
    shared = _overlaps(left, right)
    shared *= _overlaps(top, bottom)
    within = shared >= _PART * np.maximum((right - left) * (bottom - top), 1e-6)
    part = np.triu(within, k=1).any(axis=0)
    return np.asarray(kept[~part], dtype=np.intp)


def _overlaps(starts: F32, ends: F32) -> F32:
    """(k,k): how long each two of k stretches lie over each other."""
    shared = np.minimum(ends[:, None], ends)
    shared -= np.maximum(starts[:, None], starts)
    return np.maximum(shared, 0.0, out=shared)
