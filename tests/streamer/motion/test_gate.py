"""The gate as pictures pass it: regions, and what a frame that gives way leaves to the next."""

import numpy as np

from streamer.motion.areas import Areas
from streamer.motion.attention import Attention
from streamer.motion.gate import MotionGate
from streamer.motion.moved import Moved
from tests.streamer.motion.scenes import COLUMNS, ROWS, Sensor, hall, with_head

HALL = hall()


def moved_by_two(gate):
    """After ten quiet pictures somebody on the left, then somebody on the right."""
    sensor = Sensor()
    for number in range(10):
        gate.look(sensor(HALL), number / 10)
    left = gate.look(sensor(with_head(HALL, 20, 40, 6, 8, 40)), 1.0)
    right = gate.look(sensor(with_head(HALL, 120, 40, 6, 8, 40)), 1.1)
    return left, right


def test_movement_outside_of_the_regions_is_none():
    everywhere = moved_by_two(MotionGate(Attention()))
    assert [moved.any for moved in everywhere] == [True, True]
    right_half = Areas(regions=(((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)),))
    left, right = moved_by_two(MotionGate(Attention(), right_half.looked_at))
    assert not left.any
    assert right.any
    assert not right.cells[:, : COLUMNS // 2 - 1].any()


def test_what_fills_most_of_the_picture_outside_of_the_regions_is_no_sudden_change_of_theirs():
    """A lorry in the street."""
    corner = Areas(regions=(((0.8, 0.8), (1.0, 0.8), (1.0, 1.0), (0.8, 1.0)),))
    for areas, is_sudden in ((corner, False), (Areas(), True)):
        gate, sensor = MotionGate(Attention(), areas.looked_at), Sensor()
        for number in range(10):
            gate.look(sensor(HALL), number / 10)
        lorry = HALL.copy()
        lorry[:70, 20:150] = 40
        moved = gate.look(sensor(lorry), 1.0)
        assert moved.is_sudden == moved.any == is_sudden
        assert gate.look(sensor(HALL * 0.4), 1.1).is_sudden, "a lamp that goes out is one"


def test_what_moved_in_a_frame_that_gave_way_moved_in_the_next():
    one, two = np.zeros((ROWS, COLUMNS), np.bool_), np.zeros((ROWS, COLUMNS), np.bool_)
    one[3, 4] = two[5, 6] = True
    both = Moved(two).with_earlier(Moved(one, is_sudden=True))
    assert both.cells[3, 4]
    assert both.cells[5, 6]
    assert both.is_sudden
    assert Moved(two).with_earlier(Moved(np.zeros((2, 2), np.bool_))).is_sudden


def test_attention_is_held_by_whoever_follows_and_followed_by_nobody_else():
    attention = Attention()
    assert not attention.is_held(0.0)
    attention.hold(5.0)
    assert attention.is_held(4.9)
    assert not attention.is_followed(4.9)
    attention.follow(3.0)
    assert attention.is_followed(2.9)
    assert not attention.is_followed(3.0)
    assert attention.is_held(4.9)


def test_attention_ends_with_whoever_was_followed_but_not_for_others():
    attention = Attention()
    attention.follow(600.0)
    assert attention.is_held(1.0)
    attention.hold(2.0)
    attention.unfollow()
    assert not attention.is_followed(1.0)
    assert attention.is_held(1.9)
    assert not attention.is_held(2.0)
