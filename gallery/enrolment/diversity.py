"""Which of a person's good faces are kept: a diverse few. Pure; any thread.

The best come first; what is nearly the same as a face that is kept adds nothing, and what is left when there is room
no more is the poorest.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recognition.arrays import F32

# Of pictures of a clip that are 0.2 s apart three in four are above it, of 12,224 pairs of different photos of one
# person one in a thousand, with each of five embedders (docs/accuracy.md).
NEARLY_THE_SAME = 0.9


class LeftOver(NamedTuple):
    """A face that is not kept: nearly the same as `like` (a number of the new ones; None: one that the person has),
    with this cosine; cosine None: there was no room.
    """

    face: int
    like: int | None = None
    cosine: float | None = None


def diverse_few(
    new: F32, quality: Sequence[float], before: F32, room: int, nearly: float | None = NEARLY_THE_SAME
) -> list[LeftOver]:
    """Of the new faces (n,d), given those (m,d) that the person has, the ones that are left out; `room`: how many more
    may be kept; `nearly`: above which cosine two are nearly the same (None: none are).
    """
    kept: list[int] = []
    left = []
    for face in np.argsort(-np.asarray(quality), kind="stable").tolist():
        among = np.concatenate((before, new[kept])) if len(before) else new[kept]
        cosines = among @ new[face]
        nearest = int(cosines.argmax()) if len(cosines) else 0
        if nearly is not None and len(cosines) and cosines[nearest] > nearly:
            like = None if nearest < len(before) else kept[nearest - len(before)]
            left.append(LeftOver(face, like, float(cosines[nearest])))
        elif len(kept) < room:
            kept.append(face)
        else:
            left.append(LeftOver(face))
    return left
