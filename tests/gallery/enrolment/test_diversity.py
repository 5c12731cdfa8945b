import numpy as np
import pytest

from gallery.enrolment.diversity import NEARLY_THE_SAME, LeftOver, diverse_few
from tests.gallery.fakes import DIM, near, unit

ADA = unit(1)
NONE = np.empty((0, DIM), np.float32)


def several(count: int) -> np.ndarray:
    """Faces of one person, each of its own."""
    return np.stack([near(ADA, 0.8, number) for number in range(count)])


def test_faces_of_one_person_that_differ_are_all_kept_while_there_is_room() -> None:
    assert diverse_few(several(5), [0.5, 0.9, 0.7, 0.6, 0.8], NONE, room=5) == []


@pytest.mark.parametrize(
    ("quality", "room", "left"),
    [([0.5, 0.9, 0.7], 2, [0]), ([0.9, 0.9, 0.9], 1, [1, 2]), ([0.3, 0.2, 0.1], 0, [0, 1, 2])],
)
def test_the_poorest_goes_first_where_there_is_no_room(quality: list[float], room: int, left: list[int]) -> None:
    assert sorted(diverse_few(several(3), quality, NONE, room)) == [LeftOver(face) for face in left]


def test_of_faces_that_are_nearly_the_same_the_best_is_kept() -> None:
    alike = [near(ADA, 0.98, number) for number in range(3)]
    left = sorted(diverse_few(np.stack([*alike, near(ADA, 0.5, 9)]), [0.5, 0.9, 0.6, 0.1], NONE, room=9))
    assert [(one.face, one.like) for one in left] == [(0, 1), (2, 1)]
    assert all(one.cosine is not None and one.cosine > NEARLY_THE_SAME for one in left)


def test_what_the_person_has_stays_and_what_is_nearly_the_same_is_left_out() -> None:
    mine = several(2)
    new = np.stack([near(mine[1], 0.97), near(ADA, 0.8, 7)])
    ((face, like, cosine),) = diverse_few(new, [0.99, 0.2], mine, room=5)
    assert (face, like) == (0, None)
    assert cosine == pytest.approx(0.97, abs=1e-3)


def test_no_room_is_no_room_even_for_a_better_one() -> None:
    assert diverse_few(several(1), [1.0], several(3)[1:], room=-1) == [LeftOver(0)]
