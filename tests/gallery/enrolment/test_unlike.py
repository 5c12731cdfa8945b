from pathlib import Path

import numpy as np
import pytest

from gallery.enrolment.quality_gate import Gate
from gallery.enrolment.unlike import face_in
from gallery.errors import NoFace, QualityTooLow, SeveralFaces
from recognition.align import ARCFACE_TEMPLATE, CHIP_TEMPLATE, loose_chip, similarity_transforms
from recognition.errors import ImageUnreadable
from recognition.image import ArrayImage
from tests.gallery.fakes import FakeFinder, near, unit

GATE = Gate(40, 0.5)
OWN = np.stack([unit(1), unit(2)])


@pytest.fixture
def finder() -> FakeFinder:
    return FakeFinder()


async def seen(finder: FakeFinder, path: Path, own: np.ndarray = OWN):
    return await face_in(path, finder, GATE, None, own, 0.5)


async def test_the_face_of_a_photo_in_every_space_with_its_chip(tmp_path: Path, finder: FakeFinder) -> None:
    finder.views["other.1"] = lambda face: face[:32] / np.linalg.norm(face[:32])
    found = await seen(finder, finder.paint(tmp_path / "a.png", unit(9)))
    assert [template.space for template in found.templates] == list(finder.views)
    np.testing.assert_array_equal(found.templates[0].embedding, unit(9))
    assert found.jpeg is not None
    assert found.jpeg.startswith(b"\xff\xd8")
    assert found.source.startswith("photo ")
    assert len(found.source) == 6 + 64
    assert found.quality == pytest.approx(0.9)


async def test_of_several_the_one_that_was_taken_for_the_person(tmp_path: Path, finder: FakeFinder) -> None:
    group = finder.paint(tmp_path / "group.png", unit(5), near(unit(1), 0.7), unit(6))
    np.testing.assert_array_equal((await seen(finder, group)).templates[0].embedding, near(unit(1), 0.7))
    large = finder.paint(tmp_path / "large.png", unit(5), unit(6), sides=(90, 30))
    np.testing.assert_array_equal((await seen(finder, large)).templates[0].embedding, unit(5))


async def test_what_is_no_clear_face_is_refused(tmp_path: Path, finder: FakeFinder) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    for path, error in (
        (finder.paint(tmp_path / "nobody.png"), NoFace),
        (finder.paint(tmp_path / "crowd.png", *(unit(n) for n in range(10, 18))), SeveralFaces),
        (finder.paint(tmp_path / "poor.png", (unit(3), {"score": 0.1})), QualityTooLow),
        (text, ImageUnreadable),
    ):
        with pytest.raises(error):
            await seen(finder, path)


@pytest.mark.parametrize("turn", [0.0, 0.4, -1.2])
def test_a_chip_is_aligned_the_same_by_the_template_as_by_its_own_landmarks(turn: float) -> None:
    """Kept visits keep the chip without landmarks."""
    rng = np.random.default_rng(3)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (ARCFACE_TEMPLATE @ rotation.T * 1.7 + 150 + rng.normal(0, 3, (5, 2))).astype(np.float32)
    _, moved = loose_chip(ArrayImage(np.zeros((600, 600, 3), np.uint8)), points)
    assert np.abs(moved - CHIP_TEMPLATE).max() > 1
    both = similarity_transforms(np.stack([moved, CHIP_TEMPLATE]).astype(np.float32))
    np.testing.assert_allclose(both[0], both[1], atol=1e-4)
