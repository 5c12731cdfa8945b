"""Found faces against true ones: detections and truth in, recall at so many false alarms per picture out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recognition.arrays import F32
from recognition.faces import Detections, iou

_SAME, _DOUBTFUL = 0.5, 0.4


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """What is in a picture of that size: boxes (n,4) float32 xyxy px; doubtful (k,4), which count neither way."""

    boxes: F32
    doubtful: F32
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Recall:
    """recall: the share of all faces found with scores from `threshold` on, where false alarms are just few enough."""

    recall: float
    threshold: float
    faces: int


def recall_at(found: Sequence[Detections], known: Sequence[GroundTruth], false_alarms_per_picture: float) -> Recall:
    """Greedy by score, IoU of one half, boxes clipped to the picture; a second box on a face is a false alarm."""
    scores: list[float] = []
    hits: list[bool] = []
    for detections, truth in zip(found, known, strict=True):
        for score, hit in _judged(detections, truth):
            scores.append(score)
            hits.append(hit)
    faces = sum(len(truth.boxes) for truth in known)
    order = np.argsort(-np.array(scores, np.float64), kind="stable")
    falling, right = np.array(scores, np.float64)[order], np.array(hits, bool)[order]
    allowed = np.cumsum(~right) <= false_alarms_per_picture * len(known)
    # A threshold lets in all of a score or none: only where the next score is lower can a list end.
    ends = np.append(falling[1:] < falling[:-1], True)[: len(falling)]
    if not (allowed & ends).any():
        return Recall(0.0, 1.0, faces)
    last = int(np.flatnonzero(allowed & ends)[-1])
    return Recall(float(right[: last + 1].sum() / max(1, faces)), float(falling[last]), faces)


def _judged(detections: Detections, truth: GroundTruth) -> list[tuple[float, bool]]:
    """Each detection's score and whether it is a face; those on doubtful places are left out."""
    boxes = clipped(detections.boxes, truth.width, truth.height)
    real = iou(boxes, clipped(truth.boxes, truth.width, truth.height))
    unsure = iou(boxes, clipped(truth.doubtful, truth.width, truth.height))
    free = np.ones(len(truth.boxes), bool)
    judged = []
    for row in range(len(boxes)):
        candidates = np.where(free, real[row], 0.0)
        best = int(candidates.argmax()) if len(candidates) else -1
        if best >= 0 and candidates[best] >= _SAME:
            free[best] = False
            judged.append((float(detections.scores[row]), True))
        elif not (unsure[row] >= _DOUBTFUL).any():
            judged.append((float(detections.scores[row]), False))
    return judged


def clipped(boxes: F32, width: int, height: int) -> F32:
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
