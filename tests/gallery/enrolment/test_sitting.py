from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gallery.enrolment.shots import Shot, Taken
from gallery.enrolment.sitting import follow
from gallery.errors import SeveralFaces
from tests.gallery.fakes import SPACE, near, photo_of, unit

ADA, BOB, EVE = unit(1), unit(2), unit(3)
THRESHOLD = 0.4


def picture(number: int, *faces: np.ndarray, clear: bool = True) -> tuple[Path, Taken]:
    """These faces, the most prominent first, each a little other than in the next picture."""
    shots = [
        Shot(photo_of(near(face, 0.85, 10 * number + place), 10 * number + place), ())
        for place, face in enumerate(faces)
    ]
    return Path(f"door at {number} s"), Taken(tuple(shots), clear, len(shots))


def followed(pictures: Sequence[tuple[Path, Taken]]):
    return follow(dict(pictures), SPACE, THRESHOLD)


def test_one_person_alone_is_followed_through_all_pictures() -> None:
    pictures = [picture(number, ADA) for number in range(10)]
    chosen, refused = followed(pictures)
    assert list(chosen) == [path for path, _ in pictures]
    assert refused == {}
    assert len({shot.photo.digest for shot in chosen.values()}) == 10


def test_who_walks_by_behind_is_nobody_and_one_who_is_in_front_for_a_moment_is_left_out() -> None:
    pictures = [picture(number, ADA, BOB) for number in range(19)]
    chosen, refused = followed([*pictures, picture(19, BOB, ADA)])
    assert len(chosen) == 19
    faces = np.stack([shot.photo.templates[0].embedding for shot in chosen.values()])
    assert (faces @ ADA).min() > 0.8
    assert [(path.name, error.code) for path, error in refused.items()] == [("door at 19 s", "person_differs")]


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ([ADA] * 5 + [BOB] * 5, "in 5 of 10 pictures the largest face is another person's"),
        ([ADA] * 8 + [BOB] * 2, "in 2 of 10 pictures"),
        ([ADA, BOB] * 6, "in 6 of 12 pictures"),
        ([ADA, BOB, EVE], "in 2 of 3 pictures"),
    ],
)
def test_several_people_after_one_another_are_refused(people: list[np.ndarray], said: str) -> None:
    with pytest.raises(SeveralFaces, match=said):
        followed([picture(number, face) for number, face in enumerate(people)])


def test_two_who_are_about_as_large_are_refused() -> None:
    with pytest.raises(SeveralFaces, match="in 4 of 4 pictures several faces are about as large"):
        followed([picture(number, ADA, BOB, clear=False) for number in range(4)])
    with pytest.raises(SeveralFaces, match="in 2 of 8 pictures"):
        followed([picture(number, ADA, BOB, clear=number > 1) for number in range(8)])


def test_a_picture_with_the_same_face_twice_is_left_out() -> None:
    """A mirror: the other face may be a twin's as well."""
    pictures = [picture(number, ADA) for number in range(9)]
    chosen, refused = followed([*pictures, picture(9, ADA, ADA)])
    assert len(chosen) == 9
    assert [error.code for error in refused.values()] == ["several_faces"]


def test_no_picture_with_a_face_is_nobody() -> None:
    assert followed([]) == ({}, {})


def test_a_head_that_turns_stays_the_same_person() -> None:
    """Each picture is like the one before, the last hardly like the first."""
    pictures = []
    for number, angle in enumerate(np.linspace(0, 1.2, 12)):
        face = np.cos(angle) * unit(1) + np.sin(angle) * unit(2)
        photo = photo_of((face / np.linalg.norm(face)).astype(np.float32), number)
        pictures.append((Path(f"{number}"), Taken((Shot(photo, ()),), True, 1)))
    chosen, _ = followed(pictures)
    assert len(chosen) == 12
