"""Polygons of masks and regions as users write them: what is taken, and what is said of what is not."""

import math

import pytest
from pydantic_core import PydanticCustomError

from streamer.errors import ConfigInvalid
from streamer.sections.polygons import MOST_POINTS, MOST_POLYGONS, read_polygons
from streamer.settings_reading import load

SQUARE = [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]


def circle(points: int) -> list[list[float]]:
    angles = [2 * math.pi * number / points for number in range(points)]
    return [[0.5 + 0.4 * math.cos(angle), 0.5 + 0.4 * math.sin(angle)] for angle in angles]


TAKEN = {
    "none": [],
    "a square": [SQUARE],
    "the other way round": [SQUARE[::-1]],
    "several that overlap": [SQUARE, [[0.2, 0.2], [0.9, 0.2], [0.9, 0.9]]],
    "with a notch": [[[0, 0], [1, 0], [1, 1], [0.5, 0.2], [0, 1]]],
    "a point in the middle of a side": [[[0, 0], [0.5, 0], [1, 0], [1, 1]]],
    "all of the picture": [[[0, 0], [1, 0], [1, 1], [0, 1]]],
    "as many as may be": [circle(MOST_POINTS)] * MOST_POLYGONS,
}


@pytest.mark.parametrize("what", TAKEN)
def test_polygons_are_taken_as_they_are(what):
    given = TAKEN[what]
    assert read_polygons(given) == tuple(tuple((float(x), float(y)) for x, y in one) for one in given)


def test_one_that_is_closed_by_its_first_point_has_that_once():
    assert read_polygons([[*SQUARE, SQUARE[0]]]) == read_polygons([SQUARE])


OUTSIDE = "give x and y as shares of the picture's width and height, from 0 to 1"
REFUSED = {
    "text": ("left half", "want a list of polygons"),
    "a key without a value": (None, "want a list of polygons"),
    "one polygon": (SQUARE, "this is one polygon: put another pair of brackets around it"),
    "a number": ([5], "polygon 1 is no list of points"),
    "two points": ([SQUARE, [[0, 0], [1, 0]]], "polygon 2 has 2 different points; a polygon has three or more"),
    "one point again and again": ([[[0, 0], [0, 0], [1, 1], [1, 1]]], "polygon 1 has 2 different points"),
    "no point": ([[]], "polygon 1 has 0 different points"),
    "three numbers": ([[[0, 0, 1], [1, 0], [1, 1]]], "polygon 1: point 1 has 3 numbers; want two"),
    "no numbers": ([[[0, 0], 7, [1, 1]]], "polygon 1: point 2 is no point; want [x, y]"),
    "text in it": ([[[0, 0], ["0.5", 0], [1, 1]]], "polygon 1: point 2 has '0.5' in it, which is no number"),
    "yes in it": ([[[0, 0], [True, 0], [1, 1]]], "polygon 1: point 2 has True in it, which is no number"),
    "not a number": ([[[0, 0], [math.nan, 0], [1, 1]]], "polygon 1: point 2 has nan in it, which is no number"),
    "infinity": ([[[0, 0], [math.inf, 0], [1, 1]]], "polygon 1: point 2, [inf, 0], lies outside the picture"),
    "a number without end": ([[[10**400, 0], [0, 0], [1, 1]]], "polygon 1: point 1, [1000"),
    "beside the picture": (
        [SQUARE, [[0, 0], [1, 0], [1, 1.2]]],
        f"point 3, [1, 1.2], lies outside the picture; {OUTSIDE}",
    ),
    "left of it": ([[[-0.1, 0], [1, 0], [1, 1]]], "polygon 1: point 1, [-0.1, 0], lies outside"),
    "pixels": (
        [[[0, 0], [640, 0], [640, 480]]],
        "point 2, [640, 0], lies outside the picture; these are pixels, maybe",
    ),
    "a bow tie": ([[[0, 0], [1, 1], [1, 0], [0, 1]]], "its side from point 1 to 2 meets that from point 3 to 4"),
    "a point on another side": ([[[0, 0], [1, 0], [1, 1], [0.5, 0], [0, 1]]], "polygon 1 crosses itself"),
    "a corner twice": ([[[0.5, 0.5], [0, 0], [0, 1], [0.5, 0.5], [1, 0], [1, 1]]], "polygon 1 crosses itself"),
    "there and back": ([[[0, 0], [1, 0], [1, 1], [1, 0.5], [1, 0.8]]], "polygon 1 crosses itself"),
    "a line": ([[[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]], "polygon 1 has no area: its points lie on one line"),
    "less than a pixel": ([[[0, 0], [1e-4, 0], [0, 1e-4]]], "polygon 1 has no area"),
    "too many points": ([circle(MOST_POINTS + 1)], "polygon 1 has 65 points, at most 64 are allowed"),
    "too many polygons": ([SQUARE] * (MOST_POLYGONS + 1), "there are 33 polygons, at most 32 are allowed"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_none_is_refused_in_words(what):
    given, told = REFUSED[what]
    with pytest.raises(PydanticCustomError) as refused:
        read_polygons(given)
    message = refused.value.message()
    assert told in message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize("key", ["masks", "regions"])
def test_the_settings_name_camera_and_file(key, tmp_path):
    file = tmp_path / "whosthere.yaml"
    file.write_text(f"cameras:\n  door: {{url: door.mp4, {key}: [[[0, 0], [.nan, 0], [1, 1]]]}}\n")
    with pytest.raises(ConfigInvalid) as refused:
        load(file, (), {})
    assert str(refused.value) == (
        f"cameras.door.{key}: polygon 1: point 2 has nan in it, which is no number; {OUTSIDE} (config {file})"
    )


def test_a_variable_holds_them_as_json(tmp_path):
    file = tmp_path / "whosthere.yaml"
    file.write_text("cameras:\n  door: {url: door.mp4}\n")
    environ = {"WHOSTHERE_CAMERAS__DOOR__MASKS": "[[[0, 0], [0.5, 0], [0.5, 0.5]]]"}
    assert load(file, (), environ).cameras["door"].masks == (((0.0, 0.0), (0.5, 0.0), (0.5, 0.5)),)
