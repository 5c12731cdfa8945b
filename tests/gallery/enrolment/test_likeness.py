import numpy as np
import pytest

from gallery.enrolment.likeness import agreement, others_alike
from tests.gallery.fakes import DIM, near, unit

NONE = np.empty((0, 0), np.float32)
ADA, BOB, EVE = unit(1), unit(2), unit(3)


def _shots(*faces: tuple[np.ndarray, int]) -> np.ndarray:
    """Photos of these people, each a little different: two of one person have a cosine of about .64."""
    return np.stack([near(face, 0.8, seed=seed) for face, seed in faces])


@pytest.mark.parametrize(
    ("new", "before", "strays", "apart"),
    [
        (_shots((ADA, 1)), NONE, set(), ()),
        (_shots((ADA, 1), (ADA, 2)), NONE, set(), ()),
        (_shots((ADA, 1), (BOB, 2)), NONE, set(), (1,)),
        (_shots((ADA, 1), (BOB, 2), (ADA, 3)), NONE, {1}, ()),
        (_shots((ADA, 1), (BOB, 2), (EVE, 3)), NONE, {0, 1, 2}, ()),
        (_shots((ADA, 1), (ADA, 2), (BOB, 3), (BOB, 4)), NONE, set(), (2, 3)),
        (_shots((BOB, 1), (BOB, 2), (ADA, 3), (ADA, 4), (ADA, 5)), NONE, set(), (0, 1)),
        (_shots((BOB, 1), (ADA, 2), (BOB, 3), (EVE, 4), (EVE, 5), (BOB, 6)), NONE, {1}, (3, 4)),
        (_shots((ADA, 1)), _shots((ADA, 2)), set(), ()),
        (_shots((BOB, 1)), _shots((ADA, 2)), set(), (0,)),
        (_shots((BOB, 1)), _shots((ADA, 2), (ADA, 3)), {0}, ()),
        (_shots((BOB, 1), (BOB, 2)), _shots((ADA, 3), (ADA, 4)), set(), (0, 1)),
        (_shots((BOB, 1), (BOB, 2), (ADA, 5)), _shots((ADA, 3), (ADA, 4)), set(), (0, 1)),
        (_shots((ADA, 1), (ADA, 2)), _shots((ADA, 3), (BOB, 4)), set(), ()),
    ],
)
def test_do_the_photos_show_one_person(
    new: np.ndarray, before: np.ndarray, strays: set[int], apart: tuple[int, ...]
) -> None:
    found = agreement(new, before, threshold=0.4)
    assert set(found.strays) == strays
    assert found.apart == apart
    assert found.nearest < 0.4
    assert all(cosine < 0.4 for cosine in found.strays.values())


def test_a_chain_of_likeness_holds_together() -> None:
    angles = np.radians([0, 40, 80, 120])
    chain = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = agreement(chain, NONE, threshold=0.7)
    assert (found.strays, found.apart) == ({}, ())


def test_nothing_new() -> None:
    assert agreement(np.empty((0, DIM), np.float32), _shots((ADA, 1), (ADA, 2)), 0.4).strays == {}


def test_whom_the_new_faces_resemble() -> None:
    new = np.stack([ADA, BOB])
    others = np.stack([near(ADA, 0.5), near(ADA, 0.7), near(BOB, 0.45), EVE])
    owners = ["p1", "p1", "p2", "p3"]
    ada, bob = others_alike(new, NONE, others, owners, 0.4)
    assert (ada.person_id, ada.same, ada.photos) == ("p1", False, (0,))
    assert (bob.person_id, bob.same, bob.photos) == ("p2", False, (1,))
    assert (ada.cosine, bob.cosine) == pytest.approx((0.7, 0.45), abs=1e-5)
    assert others_alike(new, NONE, NONE, [], 0.4) == []
    assert others_alike(np.empty((0, DIM), np.float32), NONE, others, owners, 0.4) == []


@pytest.mark.parametrize(
    ("new", "own", "same", "photos"),
    [
        (_shots((ADA, 1)), NONE, True, (0,)),
        (np.stack([near(ADA, 0.8, 50)] * 3), NONE, True, ()),
        (_shots((ADA, 1), (BOB, 2), (BOB, 3)), NONE, False, (0,)),
        # Twins: they are like each other, but each more like the photos of before.
        (_shots((ADA, 1)), np.stack([near(ADA, 0.9)]), False, ()),
        (_shots((ADA, 1)), _shots((BOB, 2)), True, (0,)),
    ],
)
def test_a_face_under_another_name(new: np.ndarray, own: np.ndarray, same: bool, photos: tuple[int, ...]) -> None:
    (other,) = others_alike(new, own, np.stack([near(ADA, 0.8, 50), near(ADA, 0.8, 51)]), ["p1", "p1"], 0.4)
    assert (other.person_id, other.same) == ("p1", same)
    assert other.photos == photos
