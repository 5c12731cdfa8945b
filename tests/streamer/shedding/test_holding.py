"""For how long it has been shed: a pause of a few seconds does not end it, a longer one does."""

from streamer.shedding.holding import Holding


def test_it_holds_from_the_first_shed_frame_on_across_short_pauses():
    holding = Holding()
    assert holding.held_s(100.0) == 0
    for now_s in (100.0, 101.0, 105.5, 109.0):
        holding.shed(now_s, has_faces=False)
    assert holding.held_s(110.0) == 10.0
    assert holding.held_s(114.1) == 0
    holding.shed(120.0, has_faces=False)
    assert holding.held_s(121.0) == 1.0


def test_a_goal_that_is_missed_with_nothing_left_to_shed_holds_as_well():
    holding = Holding()
    holding.shed(100.0, has_faces=False)
    for now_s in range(101, 161):
        holding.strained(float(now_s))
    assert holding.held_s(160.0) == 60.0


def test_it_reaches_faces_only_where_cameras_with_faces_lose_frames():
    holding = Holding()
    holding.shed(100.0, has_faces=False)
    assert not holding.reaches_faces(100.0)
    holding.shed(101.0, has_faces=True)
    assert holding.reaches_faces(102.9)
    assert not holding.reaches_faces(103.1)
