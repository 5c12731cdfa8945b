"""Which parts of a picture count: polygons in, grids of yes and no out. Pure; on any thread.

Polygons are of shares 0..1 of the picture as a person sees it. A mask hides what it covers, from everything; where
there are regions, what lies in none of them counts as nothing. Masks win over regions.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.sections.polygons import Polygon

Grid = NDArray[np.bool_]  # (rows, columns)
Polygons = tuple[Polygon, ...]

_SHIFT = 8  # OpenCV's fixed point: so many bits behind the point
_FINER = 8  # a coarse cell is judged by so many by so many points in it
_SHARE_GRID = 512
# Of the picture: what is left beside masks that are meant to cover it all.
_NOTHING = 0.001


def covered(polygons: Iterable[Polygon], rows: int, columns: int) -> Grid:
    """Cells of an even grid over the picture whose middle lies in one of the polygons, and those on their edges."""
    grid = np.zeros((rows, columns), np.uint8)
    for polygon in polygons:  # one by one: together, what two of them cover would count as covered by none
        corners = (np.array(polygon) * (columns, rows) - 0.5) * (1 << _SHIFT)
        cv2.fillPoly(grid, [np.rint(corners).astype(np.int32)], (1,), shift=_SHIFT)
    return grid.astype(np.bool_)


def looked_at(masks: Polygons, regions: Polygons, rows: int, columns: int) -> Grid:
    """Cells of an even grid over the picture of which some part counts: in a region (if there are any), in no mask."""
    fine = _counting(masks, regions, rows * _FINER, columns * _FINER)
    return np.asarray(fine.reshape(rows, _FINER, columns, _FINER).any(axis=(1, 3)))


def _counting(masks: Polygons, regions: Polygons, rows: int, columns: int) -> Grid:
    hidden = covered(masks, rows, columns)
    return np.asarray(covered(regions, rows, columns) & ~hidden if regions else ~hidden)


@dataclass(frozen=True, slots=True)
class Areas:
    """Of one camera."""

    masks: Polygons = ()
    regions: Polygons = ()

    @property
    def is_everything(self) -> bool:
        """All of the picture counts."""
        return not self.masks and not self.regions

    def looked_at(self, rows: int, columns: int) -> Grid:
        """As the function of that name."""
        return looked_at(self.masks, self.regions, rows, columns)

    def counts(self, points: NDArray[np.float32]) -> Grid:
        """(n,) bool, for points (n, 2) in shares; a point beside the picture counts as the nearest one in it."""
        inside = np.clip(points, 0.0, 1.0)
        in_region = _within(self.regions, inside) if self.regions else np.ones(len(points), np.bool_)
        return np.asarray(in_region & ~_within(self.masks, inside))

    @property
    def masked_share(self) -> float:
        """Of the picture, 0 to 1, to the nearest thousandth or so."""
        return float(covered(self.masks, _SHARE_GRID, _SHARE_GRID).mean())

    @property
    def counting_share(self) -> float:
        """Of the picture: what is in a region, if there are any, and under no mask."""
        return float(_counting(self.masks, self.regions, _SHARE_GRID, _SHARE_GRID).mean())

    @property
    def trouble(self) -> str | None:
        """Why nobody can be seen, where nothing of the picture counts; else None."""
        if self.is_everything or self.counting_share >= _NOTHING:
            return None
        covers = "all that lies in its regions" if self.regions else "all of its picture"
        return f"its masks cover {covers}: nobody is seen there"

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of them, in words; nothing where all of the picture counts."""
        told = []
        if self.masks:
            told.append(f"{_percent(self.masked_share)} of its picture is masked: black, whoever looks at it")
        if self.regions:
            where = "in its regions, under no mask" if self.masks else "in its regions"
            told.append(f"faces and movement count in {_percent(self.counting_share)} of its picture: {where}")
        return (*told, *([] if self.trouble is None else [self.trouble]))


def _percent(share: float) -> str:
    """Never all or nothing of what is not: 0.4 % is under 1 %."""
    if 0 < share < 0.01:
        return "under 1 %"
    return f"{99 if 0.99 < share < 1 else round(100 * share)} %"


def _within(polygons: Polygons, points: NDArray[np.float32]) -> Grid:
    found = np.zeros(len(points), np.bool_)
    for polygon in polygons:
        corners = np.array(polygon, np.float32)
        sides = [cv2.pointPolygonTest(corners, (float(x), float(y)), measureDist=False) for x, y in points]
        found |= np.array(sides) >= 0
    return found
