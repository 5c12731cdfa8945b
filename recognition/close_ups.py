"""Faces that fill the picture: whether one may have been missed, and the second pass at half the scale joined in.

At 640 pixels SCRFD-500M finds no face higher than 480, and nano_det sees parts of large ones as faces; at half the
scale both find every one, up to 130 % of the picture's height. Pure NumPy; runs on the CPU pool.
"""

from typing import Literal

import numpy as np

from recognition.arrays import F32
from recognition.faces import Detections, iou
from recognition.image import Image

Need = Literal["none", "some", "clear"]

SHARE = 0.5
# In pixels of the network's input at full scale: no bundled detector has trouble with a face lower than _TROUBLE_PX;
# a box of _HUGE_PX may be part of such a face; of the second pass's faces those from _LARGE_PX on count.
_TROUBLE_PX, _HUGE_PX, _LARGE_PX = 400.0, 256.0, 200.0
_SAME = 0.6  # IoU
_WIDE = 1.35  # height of a face over its width


def first_share(fitting: float) -> float:
    """At which share of the scale at which it just fits a picture is best looked at first, 1 or SHARE.

    One that is so small that it is enlarged even at SHARE shows no more at the full scale, and its large faces less.
    """
    return SHARE if fitting * SHARE >= 1 else 1.0


def need(found: Detections, image: Image, scale: float, sure_score: float) -> Need:
    """How much a second pass is called for, after one at `scale` (input pixels per image pixel).

    none: no face that large fits into the picture; clear: something huge was found; some: nothing was.
    """
    if min(image.height, _WIDE * image.width) * scale <= _TROUBLE_PX:
        return "none"
    sure = found.scores >= sure_score
    heights = _heights(found)[sure] * scale
    if (heights >= _HUGE_PX).any():
        return "clear"
    return "none" if len(heights) else "some"


def joined(found: Detections, close: Detections, scale: float) -> Detections:
    """The faces of both passes, each once: a large one of the second takes the place of all whose middle it holds.

    But for the same face of the first, unless that is one of which the first pass makes too little: there its landmarks
    are finer.
    """
    large = close.at(_heights(close) * scale >= _LARGE_PX)
    if not len(large):
        return found
    middles = (found.boxes[:, :2] + found.boxes[:, 2:])[:, None] / 2
    inside = np.asarray((middles > large.boxes[:, :2]) & (middles < large.boxes[:, 2:]))
    held = np.logical_or.reduce(np.logical_and.reduce(inside, axis=2), axis=1)
    same = (iou(found.boxes, large.boxes) >= _SAME) & (_heights(found) * scale <= _TROUBLE_PX)[:, None]
    finer = [int(np.flatnonzero(column)[0]) for column in same.T if column.any()]  # the surest first
    held[finer] = False
    parts = large.at(~np.logical_or.reduce(same, axis=0)), found.at(~held)
    scores = np.concatenate([part.scores for part in parts])
    order = np.argsort(-scores, kind="stable")
    boxes, landmarks = (np.concatenate([getattr(part, name) for part in parts]) for name in ("boxes", "landmarks"))
    return Detections(boxes[order], scores[order], landmarks[order])


def _heights(found: Detections) -> F32:
    return np.asarray(found.boxes[:, 3] - found.boxes[:, 1], np.float32)
