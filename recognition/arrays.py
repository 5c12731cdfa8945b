"""The arrays that go from room to room, by what they hold: the types, no data."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
