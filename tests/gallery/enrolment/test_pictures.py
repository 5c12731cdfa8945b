from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gallery.enrolment.enrol import Gate, Terms
from gallery.enrolment.pictures import enrol_pictures
from gallery.errors import EnrolledAlready, NameTaken, NoPhotoAccepted, SeveralFaces
from gallery.storage.store import PersonStore
from recognition.image import Image, read_image
from tests.gallery.fakes import SPACE, FakeFinder, near, unit

ADA, BOB = unit(1), unit(2)
TERMS = Terms(Gate(min_face_px=48, min_quality=0.25), 0.4, by_hand=False)


class Camera:
    """What it shows, picture after picture."""

    def __init__(self, folder: Path) -> None:
        self.finder = FakeFinder()
        self.asked = 0
        self._folder = folder
        self._paths: list[Path] = []

    def shows(self, *faces: np.ndarray, pictures: int = 1, cosine: float = 0.8, **faults: float) -> None:
        for _ in range(pictures):
            number = len(self._paths)
            found = [(near(face, cosine, 10 * number + place), faults) for place, face in enumerate(faces)]
            self._paths.append(self.finder.paint(self._folder / f"{number}.png", *found))

    async def pictures(self) -> AsyncIterator[tuple[Path, Image]]:
        for number, path in enumerate(self._paths):
            self.asked += 1
            yield Path(f"door at {number} s"), read_image(path)


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    return Camera(tmp_path)


async def test_who_sits_there_is_enrolled_from_a_few_and_the_rest_is_told_by_reason(
    camera: Camera, store: PersonStore
) -> None:
    camera.shows(pictures=2)
    camera.shows(ADA, pictures=4)
    camera.shows(ADA, pictures=3, score=0.1, sharpness=3.0)
    camera.shows(ADA, pictures=5, cosine=0.999)
    looked: list[None] = []
    report = await enrol_pictures(
        "Ada", Path("door"), camera.pictures(), camera.finder, store, TERMS, lambda: looked.append(None)
    )
    assert len(looked) == 14
    assert len(report.taken) == 5
    assert len(report.left_out) == 4
    assert {(path.name, code) for path, code, _ in report.refused} == {
        ("door, 2 pictures", "no_face"),
        ("door, 3 pictures", "quality_too_low"),
    }
    assert (store.templates(SPACE).matrix @ ADA).min() > 0.7
    again = await enrol_pictures("Ada", Path("door"), camera.pictures(), camera.finder, store, TERMS)
    assert again.taken == ()
    assert again.person.photos == 5


async def test_two_people_are_refused_and_nothing_is_written(camera: Camera, store: PersonStore) -> None:
    camera.shows(ADA, pictures=5)
    camera.shows(BOB, pictures=5)
    with pytest.raises(SeveralFaces):
        await enrol_pictures("Ada", Path("door"), camera.pictures(), camera.finder, store, TERMS)
    assert store.people() == []


async def test_nobody_there_says_why_once_for_all_pictures(camera: Camera, store: PersonStore) -> None:
    camera.shows(pictures=40)
    with pytest.raises(NoPhotoAccepted, match=r"door, 40 pictures: no face was found.*\[no_face\]$") as caught:
        await enrol_pictures("Ada", Path("door"), camera.pictures(), camera.finder, store, TERMS)
    assert len(caught.value.refused) == 1
    assert store.people() == []


async def test_who_is_enrolled_under_another_name_is_refused(camera: Camera, store: PersonStore) -> None:
    camera.shows(ADA, pictures=3)
    await enrol_pictures("Ada", Path("door"), camera.pictures(), camera.finder, store, TERMS)
    with pytest.raises(EnrolledAlready):
        await enrol_pictures("Eve", Path("door"), camera.pictures(), camera.finder, store, TERMS)


async def test_a_name_that_is_taken_is_said_before_anybody_sits_down(camera: Camera, store: PersonStore) -> None:
    camera.shows(ADA)
    await enrol_pictures("Ada", Path("door"), camera.pictures(), camera.finder, store, TERMS)
    asked = camera.asked
    with pytest.raises(NameTaken):
        await enrol_pictures("ADA", Path("door"), camera.pictures(), camera.finder, store, TERMS)
    assert camera.asked == asked
