"""Whether a camera's faces are too small to be named: people in, yes or no out."""

import numpy as np
import pytest

from streamer.pipeline.camera_trouble import FaceSizes
from streamer.pipeline.tracking import Sighting, Track


def person(largest_px: float, sightings: int = 10) -> Track:
    thumb = np.zeros(4, np.float32)
    track = Track("door-1", np.zeros(4, np.float32), 0.9, 0.0, 0.0, 0.0, 0.0, thumb, sightings=sightings)
    track.largest_px = largest_px
    return track


def seen(track: Track) -> Sighting:
    return Sighting(track, 0, track.box, 0.5, 0.0)


@pytest.mark.parametrize(
    ("people", "too_small"),
    [
        ([20.0] * 5, True),
        ([20.0] * 4, False),
        ([20.0, 20.0, 40.0, 20.0, 20.0], False),
        ([40.0, *[27.9] * 5], True),
        ([28.0] * 9, False),
    ],
)
def test_five_people_in_a_row(people, too_small):
    sizes = FaceSizes(28.0)
    for largest_px in people:
        track = person(largest_px)
        sizes.look([seen(track)], [])
        sizes.look([], [track])
    assert sizes.too_small == too_small


def test_somebody_near_is_the_end_of_it_at_once():
    sizes = FaceSizes(28.0)
    sizes.look([], [person(20.0)] * 9)
    assert sizes.too_small
    sizes.look([seen(person(60.0))], [])
    assert not sizes.too_small


def test_a_flicker_is_nobody():
    sizes = FaceSizes(28.0)
    sizes.look([], [person(20.0, sightings=2)] * 9)
    assert not sizes.too_small
