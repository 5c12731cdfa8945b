"""What counts of a picture: grids, faces and shares of it, held to plain geometry."""

import numpy as np
import pytest

from recognition.faces import Detections, Quality
from recognition.recogniser import Found
from streamer.motion.areas import Areas, covered, looked_at
from streamer.motion.within import Within

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
TOP = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.25), (0.0, 0.25))
ALL = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
TRIANGLE = ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9))
# An L, whose notch is no part of it.
NOTCHED = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.3), (0.3, 0.3), (0.3, 1.0), (0.0, 1.0))


def test_a_cell_is_covered_where_its_middle_is():
    grid = covered([TRIANGLE], 100, 160)
    y, x = (np.mgrid[0:100, 0:160] + 0.5) / np.array([100, 160])[:, None, None]
    inside = np.minimum(np.minimum(x, y) - 0.1, 1.0 - x - y)
    assert grid[inside > 0.01].all()
    assert not grid[inside < -0.015].any()


def test_two_polygons_that_overlap_cover_both():
    assert covered([LEFT, TOP], 400, 400).mean() == pytest.approx(0.625, abs=0.004)
    assert covered([LEFT, LEFT], 40, 40)[:, :20].all()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (36, 64), (720, 1280)])
def test_grids_of_all_sizes(size):
    assert looked_at((), (), *size).all()
    assert not looked_at((ALL,), (), *size).any()
    assert not looked_at((ALL,), (ALL,), *size).any()
    assert looked_at((), (ALL,), *size).all()


def test_a_coarse_cell_counts_where_a_part_of_it_does():
    """Nobody is missed for a cell that is masked by half, or that a region reaches into."""
    corner = ((0.0, 0.0), (0.13, 0.0), (0.13, 0.13), (0.0, 0.13))
    assert looked_at((), (corner,), 10, 10)[:2, :2].all()
    assert looked_at((), (corner,), 10, 10).sum() == 4
    assert not looked_at((corner,), (), 10, 10)[0, 0]
    assert looked_at((corner,), (), 10, 10).sum() == 99


def test_masks_win_over_regions():
    areas = Areas(masks=(TOP,), regions=(LEFT,))
    grid = areas.looked_at(8, 8)
    assert grid[2:, :4].all()
    assert not grid[:2].any()
    assert not grid[:, 5:].any()
    points = np.array([[0.2, 0.5], [0.2, 0.1], [0.8, 0.5], [0.8, 0.1]], np.float32)
    assert areas.counts(points).tolist() == [True, False, False, False]


def test_a_notch_is_outside():
    points = np.array([[0.1, 0.9], [0.9, 0.1], [0.6, 0.6]], np.float32)
    assert Areas(regions=(NOTCHED,)).counts(points).tolist() == [True, True, False]
    assert Areas(masks=(NOTCHED,)).counts(points).tolist() == [False, False, True]


def test_a_face_that_reaches_out_of_the_picture_counts_by_its_edge():
    points = np.array([[-0.05, 0.5], [1.05, 0.5]], np.float32)
    assert Areas(regions=(LEFT,)).counts(points).tolist() == [True, False]


def found(*boxes: tuple[float, float, float, float]) -> Found:
    n = len(boxes)
    landmarks = np.zeros((n, 5, 2), np.float32)
    some = np.linspace(0.9, 0.5, n, dtype=np.float32)
    detections = Detections(np.array(boxes, np.float32).reshape(n, 4), some, landmarks)
    return Found(detections, Quality(*[some] * 9), np.zeros((n, 16, 16), np.float32), 0.0, 0.0, 0.0, 0.0)


def test_faces_are_dropped_by_their_middle_and_counted():
    """In a picture of 200x100: one on the left, one whose middle is just on the right, one on the right."""
    told: list[int] = []
    within = Within(Areas(regions=(LEFT,)), told.append)
    seen = found((10, 10, 50, 60), (85, 10, 125, 60), (150, 10, 190, 60))
    kept = within.faces(seen, 200, 100)
    assert kept.detections.boxes.tolist() == [[10, 10, 50, 60]]
    assert len(kept.quality.score) == len(kept.thumbs) == 1
    assert told == [2]
    assert within.faces(kept, 200, 100) is kept
    assert len(within.faces(found(), 200, 100).detections) == 0
    assert told == [2]


def test_it_is_told_in_words():
    assert Areas().notes == ()
    assert Areas(masks=(LEFT,)).notes == ("50 % of its picture is masked: black, whoever looks at it",)
    assert Areas(regions=(TOP,)).notes == ("faces and movement count in 25 % of its picture: in its regions",)
    assert Areas(masks=(LEFT,), regions=(ALL,)).notes[1:] == (
        "faces and movement count in 50 % of its picture: in its regions, under no mask",
    )
    speck = ((0.0, 0.0), (0.02, 0.0), (0.02, 0.02))
    assert Areas(masks=(speck,)).notes[0].startswith("under 1 %")
    assert Areas(masks=(speck,)).trouble is None


@pytest.mark.parametrize(
    ("areas", "told"),
    [
        (Areas(masks=(ALL,)), "its masks cover all of its picture: nobody is seen there"),
        (Areas(masks=(LEFT, ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))), "its masks cover all of its picture"),
        (Areas(masks=(LEFT,), regions=(LEFT,)), "its masks cover all that lies in its regions"),
        (Areas(masks=(LEFT,), regions=(TRIANGLE,)), None),
    ],
)
def test_masks_that_leave_nothing_are_trouble(areas, told):
    assert (areas.trouble or "").startswith(told or "")
    assert (areas.trouble is None) is (told is None)
    assert (areas.trouble in areas.notes) is (told is not None)
