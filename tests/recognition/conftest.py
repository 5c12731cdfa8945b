"""Real models, photos and pairs for the recognition tests; each model is loaded once for the whole run.

Our own models and the picture of six come with the project; the rest needs ../shared.
"""

import csv
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from recognition import detect
from recognition.faces import Detections
from recognition.image import ArrayImage, decode_image, read_image
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import bundled, load_specs
from recognition.specs.spec import DetectorSpec
from recognition.specs.weights import read_weights
from tests.faces import EVERYBODY, picture_of

Runners = Callable[[str], OnnxRunner]
Folders = Callable[[str], list[Path]]


@pytest.fixture(scope="session")
def weights(shared: Path) -> list[Path]:
    return [shared / "models"]


@pytest.fixture(scope="session")
def folders(request: pytest.FixtureRequest) -> Folders:
    """A model's name -> where its weights are; the test skips where they are a larger model's and not here."""

    def found(name: str) -> list[Path]:
        ours = bundled("nano") / load_specs()[name].file
        return [ours.parent] if ours.exists() else request.getfixturevalue("weights")

    return found


@pytest.fixture(scope="session")
def runners(folders: Folders) -> Runners:
    """A model's name -> its runner on the CPU."""

    @cache
    def runner(name: str) -> OnnxRunner:
        spec = load_specs()[name]
        return OnnxRunner(spec, read_weights(spec, folders(name)), "cpu")

    return runner


@pytest.fixture(scope="session")
def find(runners: Runners) -> Callable[..., Detections]:
    """An image -> its faces, by scrfd_500m or another detector."""

    def detections(image: ArrayImage, name: str = "scrfd_500m", *, trim: bool = True) -> Detections:
        spec = load_specs()[name]
        assert isinstance(spec, DetectorSpec)
        prepared = detect.prepare(spec, image, trim=trim)
        outputs = runners(name).run(prepared.tensor[None])
        return detect.parse(spec, outputs, prepared, spec.thresholds.score)

    return detections


@pytest.fixture(scope="session")
def group(shared: Path) -> ArrayImage:
    return read_image(shared / "faces" / "group_of_six.jpg")


@pytest.fixture(scope="session")
def six() -> ArrayImage:
    """Six people who come with the project, three above three."""
    return ArrayImage(picture_of(EVERYBODY))


@pytest.fixture(scope="session")
def lfw(shared: Path) -> Callable[[str], ArrayImage]:
    """The path of a photo within lfw_dev.zip -> the photo."""
    archive = zipfile.ZipFile(shared / "faces" / "lfw_dev.zip")
    names = {Path(name).name: name for name in archive.namelist() if name.endswith(".jpg")}
    return cache(lambda path: decode_image(archive.read(names[Path(path).name]), path))


@pytest.fixture(scope="session")
def pairs(shared: Path) -> list[tuple[str, str, bool]]:
    """Every 20th of the 2000 pairs of lfw_dev: 50 of one person, 50 of two."""
    with open(shared / "faces" / "lfw_dev_pairs.csv", encoding="utf-8") as file:
        rows = [(row["image_a"], row["image_b"], row["same"] in ("1", "true", "True")) for row in csv.DictReader(file)]
    same, different = ([row for row in rows if row[2] is truth] for truth in (True, False))
    return same[::20] + different[::20]


@pytest.fixture(scope="session")
def central(find: Callable[..., Detections]) -> Callable[[ArrayImage], np.ndarray]:
    """A photo -> the landmarks (1,5,2) of the face nearest its centre."""

    @cache
    def landmarks(image: ArrayImage) -> np.ndarray:
        found = find(image)
        middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        nearest = np.abs(middles - [image.width / 2, image.height / 2]).sum(axis=1).argmin()
        return found.landmarks[nearest][None]

    return landmarks
