"""What moved in one picture, as the gate before the detector saw it. Data alone, made on the camera's thread."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Share of the cells that somebody who is near enough to be recognised moves at the least; a burned-in clock's digits,
# and what a keyframe makes anew, are fewer.
LARGE = 0.0025


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """cells: (rows, columns) bool, an even grid over the picture as a person sees it; True: something moved there.

    Noise, light that drifts and what lies outside the camera's regions move nothing. is_sudden: most of the picture
    changed at once (a lamp, a camera that was turned): worth one look, and no movement that is followed.
    """

    cells: NDArray[np.bool_]
    is_sudden: bool = False

    def with_earlier(self, earlier: "Moved") -> "Moved":
        """This, and what moved in a picture before it that nobody looked at."""
        if earlier.cells.shape != self.cells.shape:
            return Moved(self.cells, is_sudden=True)
        return Moved(self.cells | earlier.cells, self.is_sudden or earlier.is_sudden)

    @property
    def is_large(self) -> bool:
        """Worth every frame. What is less is worth one look: a face that is found in it is followed."""
        return self.is_sudden or int(self.cells.sum()) >= LARGE * self.cells.size

    @property
    def any(self) -> bool:
        return self.is_sudden or bool(self.cells.any())
