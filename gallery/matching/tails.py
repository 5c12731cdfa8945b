"""Tail: how often scores reach a cosine, far beyond where they can be counted one by one. Pure NumPy; any thread.

Between the cosines at which a rate is known its logarithm is taken as straight, and beyond the last one it goes on as
it did before: impostor scores fall off faster than that, so what is said there is on the safe side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

# 5e-4 of cosine each: finer than any score can be trusted.
GRID: F64 = np.linspace(-1.0, 1.0, 4001)
_STEP = float(GRID[1] - GRID[0])
_LEAST = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """rates (4001,) float64, falling: the share of scores that are at least GRID's cosine."""

    rates: F64

    def __post_init__(self) -> None:
        if self.rates.shape != GRID.shape or (np.diff(self.rates) > 0).any():
            raise ValueError(f"tail: want {GRID.shape} rates that fall, got {self.rates.shape}")

    @classmethod
    def through(cls, cosines: Sequence[float], rates: Sequence[float]) -> Self:
        """Two points at least: cosines that rise, and the share of scores that reach each."""
        at, logs = np.asarray(cosines, np.float64), np.log(np.asarray(rates, np.float64))
        if len(at) < 2 or len(at) != len(logs) or (np.diff(at) <= 0).any() or (np.diff(logs) >= 0).any():
            raise ValueError("tail: want two points at least, cosines rising and rates falling")
        slope = (logs[-1] - logs[-2]) / (at[-1] - at[-2])
        found = np.interp(GRID, at, logs)
        found = np.where(at[-1] < GRID, logs[-1] + slope * (GRID - at[-1]), found)
        first = (logs[1] - logs[0]) / (at[1] - at[0])
        found = np.where(at[0] > GRID, logs[0] + first * (GRID - at[0]), found)
        return cls(np.exp(np.clip(found, np.log(_LEAST), 0.0)))

    @classmethod
    def counted(cls, weights: F64) -> Self:
        """Of scores that were counted, weights (4001,), in the bins that bin_of() says; one at least."""
        return cls(np.minimum.accumulate(np.cumsum(weights[::-1])[::-1] / weights.sum()))

    @classmethod
    def mean(cls, tails: Sequence["Tail"], weights: Sequence[float]) -> Self:
        """Of scores of several kinds, in these shares."""
        return cls(np.average([tail.rates for tail in tails], axis=0, weights=weights))

    def at(self, cosine: float) -> float:
        """The share of scores that reach it."""
        return float(np.exp(np.interp(cosine, GRID, self._logs)))

    def cosine_at(self, rate: float) -> float:
        """The lowest cosine of the grid that no larger share reaches; 1 where a larger one reaches any."""
        return float(GRID[min(int(np.searchsorted(-self.rates, -rate)), len(GRID) - 1)])

    def moved(self, shift: float, scale: float = 1.0) -> "Tail":
        """Of the scores shift + scale * score."""
        cosines = (GRID - shift) / scale
        logs = np.interp(cosines, GRID, self._logs)
        beyond = cosines > GRID[-1]
        if beyond.any():
            slope = min((self._logs[-1] - self._logs[-2]) / _STEP, 0.0)
            logs = np.where(beyond, self._logs[-1] + slope * (cosines - GRID[-1]), logs)
        return Tail(np.exp(np.maximum(np.minimum.accumulate(logs), np.log(_LEAST))))

    def powered(self, exponent: float, other: "Tail") -> "Tail":
        """On the way from this one (0) to the other (1), and beyond, by the logarithm of their rates."""
        logs = self._logs + exponent * (other._logs - self._logs)
        return Tail(np.exp(np.clip(np.minimum.accumulate(logs), np.log(_LEAST), 0.0)))

    @property
    def shares(self) -> F64:
        """(4001,) float64: the share of scores between each cosine of the grid and the next; sums up to 1 at most."""
        return -np.diff(self.rates, append=0.0)

    @property
    def _logs(self) -> F64:
        return np.log(np.maximum(self.rates, _LEAST))


def place_of(cosine: float) -> int:
    """As bin_of(), of one."""
    return int(bin_of(np.array(cosine, np.float64)))


def bin_of(cosines: NDArray[np.floating]) -> NDArray[np.intp]:
    """The last place of GRID that each reaches."""
    return np.clip(((np.asarray(cosines, np.float64) + 1.0) / _STEP + 1e-6).astype(np.intp), 0, len(GRID) - 1)
