"""Scenes: the same pictures every time, quiet where nobody walks, and a truth that the pictures bear out."""

import zipfile
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from streamer.bench.idle.people import people_of
from streamer.bench.idle.scene import Scene, Walk, crowd, empty, hall
from streamer.errors import BenchFailed
from tests.faces import KNOWN

SMALL = (320, 180)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Two with four photos and two strangers, all with the same portrait: here nobody has to be known."""
    photo = _aligned(KNOWN.file)
    zipped = tmp_path_factory.mktemp("people") / "faces.zip"
    with zipfile.ZipFile(zipped, "w") as faces:
        for name, count in (("anna", 4), ("bert", 4), ("carl", 1), ("dora", 1)):
            for number in range(count):
                faces.writestr(f"{name}/{name}_{number}.jpg", photo)
    return people_of(zipped, 2, 2)


def _aligned(file):
    import cv2

    picture = cv2.resize(cv2.imread(str(file)), (250, 250))
    return cv2.imencode(".jpg", picture)[1].tobytes()


def pictures(scene, people=None):
    return [picture.copy() for picture in scene.pictures(people)]


def differs(one, other):
    """Mean difference of luma, blurred: noise alone gives next to nothing."""
    blurred = [picture[: SMALL[1]].reshape(SMALL[1] // 4, 4, SMALL[0] // 4, 4).mean((1, 3)) for picture in (one, other)]
    return float(np.abs(blurred[0] - blurred[1]).max())


def test_the_same_scene_has_the_same_pictures(people):
    scene = hall(people, size=SMALL, fps=5, seconds=4.0, begins_s=1.0)
    one, other = pictures(scene, people), pictures(scene, people)
    assert len(one) == scene.frames == 20
    assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True))
    assert not np.array_equal(one[0], pictures(replace(scene, seed=4), people)[0])


def test_somebody_is_seen_from_the_first_picture_with_the_whole_face_to_the_last(people):
    quiet = replace(empty(SMALL, 5, 12.0), noise=0.0, clock=False, drift=0.0)
    scene = replace(quiet, walks=(Walk("anna", True, 2.0, 10.0, 0, (4.0, 8.0), turns=True),))
    (seen,) = scene.in_view
    assert 2.0 < seen.from_s < 4.0
    assert 8.0 < seen.until_s < 10.0
    nobody, shown = pictures(quiet), pictures(scene, people)
    there = [number / 5 for number, pair in enumerate(zip(nobody, shown, strict=True)) if differs(*pair) > 20]
    assert min(there) <= seen.from_s
    assert max(there) >= seen.until_s
    assert all(2.0 <= at_s <= 10.0 for at_s in there)
    assert {round(at_s * 5) for at_s in there} >= set(range(round(seen.from_s * 5), round(seen.until_s * 5) + 1))


def test_whoever_stands_hardly_moves_and_turns_back(people):
    walk = Walk("anna", True, 2.0, 10.0, 0, (4.0, 8.0), turns=True)
    scene = Scene(*SMALL, 10, 12.0, (walk,))
    standing = [scene.place(walk, at_s) for at_s in np.arange(4.0, 8.0, 0.1)]
    assert len({x for x, _ in standing}) == 1
    assert scene.place(walk, 3.0)[0] == pytest.approx(scene.place(walk, 9.0)[0], abs=2)


def test_a_quiet_hall_has_noise_a_clock_and_light_that_drifts():
    plain = empty(SMALL, 2, 20.0)
    shown = pictures(replace(plain, drift_s=20.0))
    assert all(not np.array_equal(*pair) for pair in pairwise(shown))
    assert max(differs(*pair) for pair in pairwise(pictures(replace(plain, clock=False)))) < 6
    means = [picture[100:180].mean() for picture in shown]
    assert max(means) - min(means) > 5


@pytest.mark.parametrize("weather", [{"infrared_s": (1.0, 2.0)}, {"rain_s": (1.0, 2.0)}])
def test_weather_comes_and_goes(weather):
    plain = replace(empty(SMALL, 2, 3.0), noise=0.0, clock=False, drift=0.0)
    shown = pictures(replace(plain, **weather))
    nothing = pictures(plain)
    assert [np.array_equal(*pair) for pair in zip(nothing, shown, strict=True)] == [True] * 2 + [False] * 2 + [True] * 2


def test_a_crowd_is_always_there(people):
    scene = crowd(people, size=SMALL, fps=2, seconds=12.0)
    assert all(len(scene.present(at_s)) >= 2 for at_s in np.arange(1.0, 11.0, 0.5) if at_s % 4 < 3.5)


@pytest.mark.parametrize("wanted", [(3, 1), (1, 3)])
def test_too_few_people_are_told(people, wanted):
    with pytest.raises(BenchFailed, match="give another ZIP by --faces"):
        people_of(people.faces, *wanted)


def test_what_is_no_zip_is_told(tmp_path):
    (tmp_path / "faces.zip").write_bytes(b"no zip")
    for file in (tmp_path / "faces.zip", tmp_path / "missing.zip"):
        with pytest.raises(BenchFailed, match="give a ZIP with a folder a person by --faces"):
            people_of(file)


def test_photos_to_enrol_are_not_those_that_walk(people, tmp_path):
    written = people.write_enrolment(tmp_path)
    assert {person: [file.name for file in files] for person, files in written.items()} == {
        person: [f"{person}_{number}.jpg" for number in (1, 2, 3)] for person in ("anna", "bert")
    }
