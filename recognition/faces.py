"""What flows out of recognition: bundles of arrays for the n faces of one image, shapes checked at birth.

Plain data; made on the CPU pool, read anywhere. Pixels are those of the image that went in, landmarks are in
the order left eye, right eye, nose, left mouth corner, right mouth corner; left and right as seen in it.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32

Rows = NDArray[np.bool_] | NDArray[np.intp]


def _want(name: str, array: F32, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float32:
        raise ValueError(f"{name}: want float32 {shape}, got {array.dtype} {array.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """n faces as a detector gives them, highest score first.

    boxes (n,4) float32 xyxy px; scores (n,) float32 in [0,1]; landmarks (n,5,2) float32 xy px.
    """

    boxes: F32
    scores: F32
    landmarks: F32

    def __post_init__(self) -> None:
        n = len(self.scores)
        _want("boxes", self.boxes, (n, 4))
        _want("scores", self.scores, (n,))
        _want("landmarks", self.landmarks, (n, 5, 2))

    def __len__(self) -> int:
        return len(self.scores)

    def at(self, rows: Rows) -> "Detections":
        """These faces alone, in this order."""
        return Detections(self.boxes[rows], self.scores[rows], self.landmarks[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """How much each of n faces is worth to an embedder. All arrays (n,) float32.

    score in [0,1], the product of the parts' grades; sharpness is the variance of the second derivative of the
    aligned grey crop over the variance of the crop itself, along the axis that has less of it (about .1 for a
    sharp face, .01 for a blurred one); brightness (mean) and contrast (standard deviation) of the same crop, in
    [0,1]; size_px is the distance between the eyes' line and the mouth's times two, about the height of a face, in
    image pixels; yaw, pitch, roll in degrees, estimated from the five landmarks (0 is frontal and upright).

    turn says what a second look saw (second_look): how far the face has to be turned clockwise to stand upright, in
    degrees (0, 90, 180, 270), NaN where it is hardly a face in any turn; 0 where nobody looked.
    """

    score: F32
    sharpness: F32
    brightness: F32
    contrast: F32
    size_px: F32
    yaw: F32
    pitch: F32
    roll: F32
    turn: F32

    def __len__(self) -> int:
        return len(self.score)

    def at(self, rows: Rows) -> "Quality":
        """These faces alone, in this order."""
        return Quality(*(getattr(self, column.name)[rows] for column in fields(self)))

    def looked_at(self, turn: F32) -> "Quality":
        """The same with what a second look saw (n,): a face that does not stand upright is worth nothing."""
        return replace(self, score=np.where(turn == 0, self.score, np.float32(0.0)), turn=turn)


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """n faces with everything known about them, embeddings included: (n,d) float32 unit vectors.

    A face's embedding is zeros where the embedder gave nothing usable.
    """

    detections: Detections
    quality: Quality
    embeddings: F32

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or len(self.embeddings) != len(self.detections):
            raise ValueError(f"embeddings: want ({len(self.detections)}, d), got {self.embeddings.shape}")

    def __len__(self) -> int:
        return len(self.detections)


@dataclass(frozen=True, slots=True, eq=False)
class InSpace:
    """k faces in one embedding space: `embeddings` (k,d) float32 unit vectors, zeros where they are not usable.

    `model` is the embedder's name; `signature` says what detector and embedder made them.
    """

    model: str
    space: str
    signature: str
    embeddings: F32


def enlarged(boxes: F32, times: float) -> F32:
    """Boxes (n,4) xyxy grown about their centres so many times in width and height."""
    more = np.array([[1, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]], np.float32)
    return np.asarray(boxes @ (np.eye(4, dtype=np.float32) + np.float32((times - 1.0) / 2.0) * more), np.float32)


def iou(a: F32, b: F32) -> F32:
    """Intersection over union of boxes (n,4) and (m,4) xyxy -> (n,m) float32."""
    ax1, ay1, ax2, ay2 = a.T[:, :, None]
    bx1, by1, bx2, by2 = b.T[:, None]
    wide = np.minimum(ax2, bx2) - np.maximum(ax1, bx1)
    high = np.minimum(ay2, by2) - np.maximum(ay1, by1)
    shared = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
    both = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
    return np.asarray(shared / np.maximum(both, 1e-6), dtype=np.float32)
