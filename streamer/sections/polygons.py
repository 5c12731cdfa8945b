"""Polygons over a camera's picture, as its settings `masks` and `regions` hold them. Pure; imports nothing heavy.

What YAML, JSON or a request gives goes in; tuples of shares come out, or pydantic's complaint: which polygon, which
point, what to do.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

MOST_POLYGONS, MOST_POINTS = 32, 64
# Of the picture: half a pixel of 1280x720.
_LEAST_AREA = 5e-7
_ON_LINE = 1e-12

Share = Annotated[float, Field(ge=0, le=1)]
# As a list of two in JSON Schema: what is made of its tuples (prefixItems), few tools read, schemathesis not either.
_POINT = {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}, "minItems": 2, "maxItems": 2}
Point = Annotated[tuple[Share, Share], WithJsonSchema(_POINT)]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=MOST_POINTS)]
_Side = tuple[Point, Point]

_FORM = "a list of polygons, each a list of points [x, y], like [[[0, 0], [0.5, 0], [0.5, 0.3]]]"
_SHARES = "give x and y as shares of the picture's width and height, from 0 to 1"


def read_polygons(value: object) -> tuple[Polygon, ...]:
    """Checked, each without the point that closes it. Raises PydanticCustomError."""
    given = _items(value, f"want {_FORM}")
    if given and _is_point(given[0]):
        raise _refused(f"want {_FORM}; this is one polygon: put another pair of brackets around it")
    if len(given) > MOST_POLYGONS:
        raise _refused(f"there are {len(given)} polygons, at most {MOST_POLYGONS} are allowed; join some of them")
    return tuple(_polygon(one, f"polygon {number}") for number, one in enumerate(given, 1))


def _polygon(value: object, name: str) -> Polygon:
    given = _items(value, f"{name} is no list of points; want {_FORM}")
    points = [_point(one, f"{name}: point {number}") for number, one in enumerate(given, 1)]
    if len(points) > 1 and points[0] == points[-1]:
        points.pop()  # as GeoJSON closes them
    if len(points) > MOST_POINTS:
        raise _refused(f"{name} has {len(points)} points, at most {MOST_POINTS} are allowed; leave some out")
    if len(set(points)) < 3:
        raise _refused(f"{name} has {len(set(points))} different points; a polygon has three or more")
    _refuse_shape(points, name)
    return tuple(points)


def _refuse_shape(points: list[Point], name: str) -> None:
    first = points[0]
    if all(abs(_turn(first, one, other)) < 2 * _LEAST_AREA for one, other in combinations(points[1:], 2)):
        raise _refused(f"{name} has no area: its points lie on one line, or nearly; move one of them away")
    sides = list(zip(points, [*points[1:], first], strict=True))
    for (i, one), (j, other) in combinations(enumerate(sides), 2):
        if _meet(one, other, is_next=j == i + 1, is_last=i == 0 and j == len(sides) - 1):
            ends = (f"{side + 1} to {(side + 1) % len(points) + 1}" for side in (i, j))
            raise _refused(
                f"{name} crosses itself: its side from point {next(ends)} meets that from point {next(ends)}; give the "
                "points in their order around it, each once, or make two polygons of it"
            )
    area = abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in sides)) / 2
    if area < _LEAST_AREA:
        raise _refused(f"{name} has no area, or nearly: it is smaller than a pixel; {_SHARES}")


def _point(value: object, name: str) -> Point:
    given = _items(value, f"{name} is no point; want [x, y]")
    if len(given) != 2:
        raise _refused(f"{name} has {len(given)} numbers; want two, [x, y]")
    x, y = (_number(one, name) for one in given)
    if not (0 <= x <= 1 and 0 <= y <= 1):
        pixels = "; these are pixels, maybe" if max(x, y) > 2 else ""
        raise _refused(f"{name}, [{_shown(x)}, {_shown(y)}], lies outside the picture{pixels}; {_SHARES}")
    return float(x), float(y)


def _number(value: object, name: str) -> int | float:
    is_nan = isinstance(value, float) and math.isnan(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or is_nan:
        raise _refused(f"{name} has {_shown(value)} in it, which is no number; {_SHARES}")
    return value


def _meet(one: _Side, other: _Side, *, is_next: bool, is_last: bool) -> bool:
    """Whether two sides have a point in common, besides the corner that neighbours share."""
    (a, b), (c, d) = one, other
    if is_next or is_last:
        before, corner, after = (a, b, d) if is_next else (c, a, b)
        way_back = (before[0] - corner[0]) * (after[0] - corner[0]) + (before[1] - corner[1]) * (after[1] - corner[1])
        return before == corner or corner == after or (abs(_turn(before, corner, after)) <= _ON_LINE and way_back > 0)
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(
        abs(turn) <= _ON_LINE
        and min(start[0], end[0]) <= point[0] <= max(start[0], end[0])
        and min(start[1], end[1]) <= point[1] <= max(start[1], end[1])
        for turn, (start, end, point) in zip(turns, ends, strict=True)
    )


def _turn(a: Point, b: Point, c: Point) -> float:
    """Twice the area of the triangle; its sign says to which side it turns."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _items(value: object, refusal: str) -> Sequence[object]:
    if not isinstance(value, (list, tuple)):
        raise _refused(refusal)
    return value


def _is_point(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and not isinstance(value[0], (list, tuple))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _refused(message: str) -> PydanticCustomError:
    return PydanticCustomError("polygons", "{message}", {"message": message})


Polygons = Annotated[tuple[Polygon, ...], Field(max_length=MOST_POLYGONS), BeforeValidator(read_polygons)]
