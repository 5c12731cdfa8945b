import numpy as np
import pytest

from recognition.faces import Detections
from recognition.training.matching_faces import GroundTruth, recall_at

NONE = np.empty((0, 4), np.float32)
HERE, THERE, ELSEWHERE = ([10, 10, 30, 40], [50, 50, 80, 90], [5, 60, 25, 85])


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def found(*rows):
    """(box, score) -> Detections."""
    return Detections(
        boxes(*(box for box, _ in rows)),
        np.array([score for _, score in rows], np.float32),
        np.zeros((len(rows), 5, 2), np.float32),
    )


@pytest.mark.parametrize(
    ("detections", "doubtful", "allowed", "recall"),
    [
        (found((HERE, 0.9), (THERE, 0.8)), NONE, 0.0, 1.0),
        (found((HERE, 0.9)), NONE, 0.0, 0.5),
        (found((ELSEWHERE, 0.95), (HERE, 0.9), (THERE, 0.8)), NONE, 0.0, 0.0),
        (found((ELSEWHERE, 0.95), (HERE, 0.9), (THERE, 0.8)), NONE, 1.0, 1.0),
        (found((ELSEWHERE, 0.95), (HERE, 0.9), (THERE, 0.8)), boxes(ELSEWHERE), 0.0, 1.0),
        (found((HERE, 0.9), (HERE, 0.85), (THERE, 0.8)), NONE, 0.0, 0.5),
        (found(), NONE, 1.0, 0.0),
    ],
    ids=["all", "half", "false alarm first", "one allowed", "doubtful place", "twice the same", "nothing"],
)
def test_recall_at_so_many_false_alarms(detections, doubtful, allowed, recall):
    known = [GroundTruth(boxes(HERE, THERE), doubtful, 100, 100)]
    assert recall_at([detections], known, allowed).recall == recall


def test_a_face_cut_off_is_compared_within_the_picture():
    known = [GroundTruth(boxes([-40, 0, 20, 50]), NONE, 100, 100)]
    assert recall_at([found(([0, 0, 20, 50], 0.9))], known, 0.0).recall == 1.0


def test_the_threshold_is_the_score_where_alarms_are_just_few_enough():
    known = [GroundTruth(boxes(HERE, THERE), NONE, 100, 100)] * 10
    alarm = found((HERE, 0.9), (ELSEWHERE, 0.7), (THERE, 0.6))
    quiet = found((HERE, 0.9), (THERE, 0.65))
    answer = recall_at([alarm, alarm, *[quiet] * 8], known, 0.1)
    assert answer.threshold == pytest.approx(0.9)
    assert recall_at([alarm, *[quiet] * 9], known, 0.1).threshold == pytest.approx(0.6)
