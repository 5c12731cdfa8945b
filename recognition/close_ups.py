"""Faces that fill the picture: whether one may have been missed, and the second pass at half the scale joined in.

At 640 pixels SCRFD-500M finds no face higher than 480, and nano_det sees parts of large ones as faces; at half the
scale both find every one, up to 130 % of the picture's height. Pure NumPy; runs on the CPU pool.
"""

from typing import Literal

import numpy as np

from recognition.faces import Detections
from recognition.image import Image

Need = Literal["none", "some", "clear"]

SHARE = 0.5
# In pixels of the network's input at full scale: no bundled detector has trouble with a face lower than _TROUBLE_PX;
# a box of _HUGE_PX may be part of such a face; of the second pass's faces those from _LARGE_PX on count.
_TROUBLE_PX, _HUGE_PX, _LARGE_PX = 400.0, 256.0, 200.0
_WIDE = 1.35  # height of a face over its width


def need(found: Detections, image: Image, scale: float, sure_score: float) -> Need:
    """How much a second pass is called for, after one at `scale` (input pixels per image pixel).

    none: no face that large fits into the picture; clear: something huge was found; some: nothing was.
    """
    if min(image.height, _WIDE * image.width) * scale <= _TROUBLE_PX:
        return "none"
    sure = found.scores >= sure_score
    heights = (found.boxes[:, 3] - found.boxes[:, 1])[sure] * scale
    if (heights >= _HUGE_PX).any():
        return "clear"
    return "none" if len(heights) else "some"


def joined(found: Detections, close: Detections, scale: float) -> Detections:
    """The faces of both passes, each once: a large one of the second takes the place of all whose middle it holds."""
    large = close.at((close.boxes[:, 3] - close.boxes[:, 1]) * scale >= _LARGE_PX)
    if not len(large):
        return found
    middles = (found.boxes[:, :2] + found.boxes[:, 2:])[:, None] / 2
    inside = np.asarray((middles > large.boxes[:, :2]) & (middles < large.boxes[:, 2:]))
    held = np.logical_or.reduce(np.logical_and.reduce(inside, axis=2), axis=1)
    rest = found.at(~held)
    order = np.argsort(-np.concatenate((large.scores, rest.scores)), kind="stable")
    columns = zip((large.boxes, large.scores, large.landmarks), (rest.boxes, rest.scores, rest.landmarks), strict=True)
    boxes, scores, landmarks = (np.concatenate(pair)[order] for pair in columns)
    return Detections(boxes, scores, landmarks)
