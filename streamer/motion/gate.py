"""The gate before the detector, as pictures pass it: small luma in, a Moved out. On a camera's thread.

Nothing of the camera but its attention and where it is looked at. Pure apart from its own state.
"""

from collections.abc import Callable

import numpy as np

from recognition.arrays import U8
from streamer.motion.attention import Attention
from streamer.motion.background import Background, Cells
from streamer.motion.moved import Moved


class MotionGate:
    """Of one opening of a camera."""

    def __init__(self, attention: Attention, counts: Callable[[int, int], Cells] | None = None) -> None:
        """counts: which cells of an even grid of (rows, columns) over the picture count; None: all do."""
        self._attention = attention
        self._counts = counts
        self._inside: Cells | None = None
        self._background = Background()

    def look(self, luma: U8, at_s: float) -> Moved:
        """luma: (rows, columns), limited range, the picture as a person sees it made small. at_s: monotonic."""
        news = self._background.compare(luma, at_s, learns=not self._attention.is_followed(at_s))
        if self._counts is None:
            return Moved(news.cells, news.is_sudden)
        if self._inside is None or self._inside.shape != luma.shape:
            self._inside = np.asarray(self._counts(*luma.shape), np.bool_)
        cells = news.cells & self._inside
        return Moved(cells, news.is_sudden and bool(cells.any()))
