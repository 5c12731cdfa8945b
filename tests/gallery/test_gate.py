from collections.abc import Mapping

import numpy as np
import pytest

from gallery.errors import FaceDoubtful, FaceNotUpright, NoFace, PhotoRefused, QualityTooLow, SeveralFaces
from gallery.gate import Gate, choose_face, standing
from recognition.recogniser import Found
from tests.gallery.fakes import graded

GATE = Gate(min_face_px=48, min_quality=0.25)


def test_one_good_face_is_chosen() -> None:
    assert choose_face(*graded({}), GATE) == 0


def test_no_face() -> None:
    with pytest.raises(NoFace):
        choose_face(*graded(), GATE)


def test_several_faces_unless_the_largest_may_be_picked() -> None:
    faces = graded({}, {})
    with pytest.raises(SeveralFaces, match="2 faces"):
        choose_face(*faces, GATE)
    assert choose_face(*faces, GATE, "largest") == 0


def test_the_largest_must_be_good_enough_too() -> None:
    with pytest.raises(QualityTooLow, match="turned"):
        choose_face(*graded({"score": 0.1, "yaw": 55.0}, {}), GATE, "largest")


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
        choose_face(*graded(faults), GATE)


def test_a_face_at_the_gate_passes() -> None:
    assert choose_face(*graded({"size_px": 48.0, "score": 0.25}), GATE) == 0


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
    assert choose_face(found.detections, found.quality, GATE) == 0


def test_nobody_is_nobody_to_turn() -> None:
    assert len(standing(looked_at()).detections) == 0
