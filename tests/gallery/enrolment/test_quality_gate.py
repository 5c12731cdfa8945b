from collections.abc import Mapping

import numpy as np
import pytest

from gallery.enrolment.quality_gate import Gate, Passed, check_face, pass_faces, standing
from gallery.errors import FaceDoubtful, FaceNotUpright, NoFace, PhotoRefused, QualityTooLow
from recognition.faces import Quality
from recognition.recogniser import Found
from tests.gallery.fakes import graded

GATE = Gate(min_face_px=48, min_quality=0.25)


def quality_of(*faults: dict[str, float]) -> Quality:
    return graded(*faults)[1]


def prominence(*sides: float) -> np.ndarray:
    return np.array(sides, np.float32)


def test_one_good_face_passes() -> None:
    assert pass_faces(prominence(90), quality_of({}), GATE) == Passed((0,), clear=True)


def test_no_face() -> None:
    with pytest.raises(NoFace):
        pass_faces(prominence(), quality_of(), GATE)


@pytest.mark.parametrize(
    ("sides", "faces", "clear"),
    [
        ((90, 72), (0, 1), True),
        ((90, 73), (0, 1), False),
        ((40, 90, 60), (1, 2, 0), True),
        ((80, 90, 60), (1, 0, 2), False),
        ((90, 90), (0, 1), False),
    ],
)
def test_of_several_one_is_clear_that_is_by_far_the_largest(
    sides: tuple[float, ...], faces: tuple[int, ...], clear: bool
) -> None:
    assert pass_faces(prominence(*sides), quality_of(*[{}] * len(sides)), GATE) == Passed(faces, clear)


def test_the_largest_may_be_picked() -> None:
    assert pass_faces(prominence(80, 90), quality_of({}, {}), GATE, "largest") == Passed((1,), clear=True)


def test_poor_faces_beside_the_person_are_no_candidates() -> None:
    small, blurred = {"size_px": 20.0}, {"score": 0.1}
    assert pass_faces(prominence(90, 30, 60), quality_of({}, small, blurred), GATE) == Passed((0,), clear=True)
    # That the other one is blurred does not make the photo the sharp one's.
    assert pass_faces(prominence(90, 80), quality_of(blurred, {}), GATE) == Passed((1,), clear=False)


@pytest.mark.parametrize("pick", [None, "largest"])
@pytest.mark.parametrize("sides", [(90, 40), (90, 85)])
def test_the_largest_must_be_good_enough_too(pick: str | None, sides: tuple[float, ...]) -> None:
    poor = {"score": 0.1, "yaw": 55.0}
    with pytest.raises(QualityTooLow, match="turned"):
        pass_faces(prominence(*sides), quality_of(poor, {} if pick or sides[1] < 50 else poor), GATE, pick)


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"size_px": 31.0, "score": 0.9}, "too small, 31 px high where 48"),
        ({"brightness": 0.04, "score": 0.1}, "too dark"),
        ({"brightness": 0.07, "contrast": 0.04, "score": 0.1}, "too dark"),
        ({"brightness": 0.95, "score": 0.1}, "overexposed"),
        ({"contrast": 0.015, "score": 0.05}, "too flat"),
        ({"yaw": -52.0, "score": 0.1}, "turned away by about 52 degrees"),
        ({"pitch": 58.0, "score": 0.1}, "bowed or raised by about 58 degrees"),
        ({"roll": -57.0, "score": 0.1}, "tilted by about 57 degrees"),
        ({"sharpness": 5.0, "score": 0.1}, "too blurred"),
    ],
)
def test_what_is_worst_about_a_poor_face_is_named(faults: dict[str, float], said: str) -> None:
    with pytest.raises(QualityTooLow, match=said):
        check_face(quality_of(faults), 0, GATE)


def test_a_face_at_the_gate_passes() -> None:
    check_face(quality_of({"size_px": 48.0, "score": 0.25}), 0, GATE)


def looked_at(*faults: Mapping[str, float]) -> Found:
    detections, quality = graded(*faults)
    return Found(detections, quality, np.zeros((len(detections), 16, 16), np.float32), 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("turn", "error", "said"),
    [
        (180.0, FaceNotUpright, "upside down"),
        (90.0, FaceNotUpright, "on its side"),
        (270.0, FaceNotUpright, "on its side"),
        (np.nan, FaceDoubtful, "hardly a face"),
    ],
)
def test_what_does_not_stand_upright_is_no_face(turn: float, error: type[PhotoRefused], said: str) -> None:
    with pytest.raises(error, match=said):
        standing(looked_at({"turn": turn}))
    found = standing(looked_at({"turn": turn}, {"size_px": 70.0}, {"turn": np.nan}))
    assert found.quality.size_px.tolist() == [70.0]
    check_face(found.quality, 0, GATE)


def test_nobody_is_nobody_to_turn() -> None:
    assert len(standing(looked_at()).detections) == 0
