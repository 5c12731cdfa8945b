"""What a camera's small luma shows, in arrays: a hall and what goes on in it. Seeded: the same every time."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32, U8

ROWS, COLUMNS, FPS = 90, 160, 10
Scene = Callable[[float], F32]  # seconds -> luma (ROWS, COLUMNS)


def hall() -> F32:
    rng = np.random.default_rng(7)
    texture = cv2.resize(rng.normal(0, 20, (12, 20)).astype(np.float32), (COLUMNS, ROWS))
    return np.clip(texture + np.linspace(150, 60, ROWS, dtype=np.float32)[:, None], 16, 235)


class Sensor:
    """Grey levels as a codec gives them: with noise, whole numbers, in range."""

    def __init__(self, sd: float = 0.5, seed: int = 1) -> None:
        self._sd, self._rng = sd, np.random.default_rng(seed)
        self._planes = self._rng.standard_normal((16, 2 * ROWS * COLUMNS), np.float32)

    def __call__(self, picture: F32, sd: float | None = None) -> U8:
        start, plane = self._rng.integers(ROWS * COLUMNS), self._planes[self._rng.integers(16)]
        noise = plane[start : start + picture.size].reshape(picture.shape) * (self._sd if sd is None else sd)
        return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def with_head(picture: F32, x: float, y: float, wide: float, high: float, contrast: float) -> F32:
    """A head with eyes and mouth whose top left corner lies there, in cells, to a fraction of one."""
    columns, rows = np.arange(COLUMNS), np.arange(ROWS)
    across = np.clip(np.minimum(columns + 1, x + wide) - np.maximum(columns, x), 0, 1)
    down = np.clip(np.minimum(rows + 1, y + high) - np.maximum(rows, y), 0, 1)
    inside: NDArray[np.float64] = down[:, None] * across[None]
    return np.asarray(picture + contrast * inside, np.float32)
