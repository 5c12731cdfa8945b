import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra train")

from recognition.training.assign import Truth, assign, cells_of, decode_boxes, detection_losses  # noqa: E402  # after the skip

CELLS = cells_of(128, 128, (8, 16, 32), torch.device("cpu"))
FACES = [[20.0, 20.0, 34.0, 38.0], [40.0, 30.0, 120.0, 126.0]]
PADDING = [0.0, 0.0, 0.0, 0.0]


def truth(faces, doubtful=()):
    rows = torch.tensor([*faces, PADDING])
    middles = (rows[:, :2] + rows[:, 2:]) / 2
    spread = torch.tensor([[-0.2, -0.2], [0.2, -0.2], [0, 0], [-0.15, 0.25], [0.15, 0.25]])
    landmarks = middles[:, None] + spread * (rows[:, None, 2:] - rows[:, None, :2])
    real = torch.tensor([True] * len(faces) + [False])
    unsure = torch.tensor([*doubtful, PADDING])
    return Truth(rows[None], landmarks.reshape(1, -1, 10), real[None], unsure[None])


def perfect(faces):
    """Raw maps in which every cell answers rightly for the face whose middle is nearest to it."""
    wanted = truth(faces)
    middles = (wanted.boxes[0, :-1, :2] + wanted.boxes[0, :-1, 2:]) / 2
    nearest = torch.cdist(CELLS.centres, middles).argmin(1)
    box, points = wanted.boxes[0, nearest], wanted.landmarks[0, nearest]
    raw = torch.zeros(1, len(nearest), 16)
    raw[0, :, 2:4] = ((box[:, :2] + box[:, 2:]) / 2 - CELLS.corners) / CELLS.strides
    raw[0, :, 4:6] = ((box[:, 2:] - box[:, :2]) / CELLS.strides).log()
    raw[0, :, 6:] = (points - CELLS.corners.repeat(1, 5)) / CELLS.strides
    return raw


def test_right_answers_cost_nothing_for_boxes_and_landmarks():
    losses = detection_losses(perfect(FACES), CELLS, truth(FACES))
    assert float(losses["box"]) == pytest.approx(0, abs=1e-3)
    assert float(losses["landmarks"]) == pytest.approx(0, abs=1e-3)


def test_each_face_gets_cells_near_its_middle():
    raw = perfect(FACES)
    owner = assign(raw, decode_boxes(raw[..., 2:6], CELLS), CELLS, truth(FACES))[0]
    for number, face in enumerate(FACES):
        centres = CELLS.centres[owner == number]
        assert 1 <= len(centres) <= 10
        reach = 1.5 * float(CELLS.strides.max()) + max(face[2] - face[0], face[3] - face[1]) / 2
        assert ((centres - torch.tensor([(face[0] + face[2]) / 2, (face[1] + face[3]) / 2])).abs() < reach).all()


def test_an_untrained_net_gives_small_faces_to_fine_cells_and_large_ones_to_coarse():
    raw = torch.zeros(1, len(CELLS.corners), 16)
    owner = assign(raw, decode_boxes(raw[..., 2:6], CELLS), CELLS, truth(FACES))[0]
    assert float(CELLS.strides[owner == 0].float().mean()) < float(CELLS.strides[owner == 1].float().mean())


def test_a_picture_without_faces_has_no_owner_and_a_finite_loss():
    raw = torch.zeros(1, len(CELLS.corners), 16, requires_grad=True)
    losses = detection_losses(raw, CELLS, truth([]))
    assert float(losses["box"].detach()) == 0
    sum(losses.values()).backward()
    assert np.isfinite(raw.grad.numpy()).all()


def test_what_is_said_about_doubtful_places_costs_nothing():
    doubtful = [90.0, 2.0, 126.0, 20.0]
    raw = perfect(FACES)
    loud = raw.clone()
    within = ((CELLS.centres > torch.tensor(doubtful[:2])) & (CELLS.centres < torch.tensor(doubtful[2:]))).all(-1)
    assert within.any()
    loud[0, within, 1] = 9.0
    known = truth(FACES, [doubtful])
    assert float(detection_losses(loud, CELLS, known)["objectness"]) == pytest.approx(
        float(detection_losses(raw, CELLS, known)["objectness"])
    )
    assert float(detection_losses(loud, CELLS, truth(FACES))["objectness"]) > 1
