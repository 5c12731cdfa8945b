"""A calibration of real faces beside people whom it never saw; see scripts/measure-calibration.py for all of them."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gallery.index.faiss_index import FaceIndex
from gallery.matching.calibration import Conditions, calibrate
from gallery.matching.cross_scores import cross_scores
from gallery.matching.decide import decide
from gallery.people import Templates
from recognition.evaluation.labelled_faces import LabelledFaces, embed_photos
from recognition.evaluation.pairs import by_person
from recognition.photos import PhotoSet
from recognition.recogniser import RecogniserConfig

SPACE, FPIR = "nano_embed.2", 0.05


async def embedded(folder: Path, shared: Path, people: int) -> LabelledFaces:
    """The first photo of so many people of lfw_dev."""
    with zipfile.ZipFile(shared / "faces" / "lfw_dev.zip") as all_, zipfile.ZipFile(folder / "few.zip", "w") as few:
        first = [name for name in all_.namelist() if name.endswith("_0001.jpg")]
        for name in np.random.default_rng(1).permutation(first)[:people]:
            few.writestr(str(name), all_.read(str(name)))
    photos = by_person(PhotoSet(folder / "few.zip"))
    return await embed_photos(RecogniserConfig("nano_det", "nano_embed", ()), photos, lambda done, total: None)


@pytest.mark.shared
async def test_as_many_strangers_are_named_as_was_asked_for(tmp_path: Path, shared: Path):
    faces = await embedded(tmp_path, shared, 400)
    faces.save(tmp_path / "faces.npz")
    again = LabelledFaces.saved(tmp_path / "faces.npz")
    assert (again.embeddings[SPACE] == faces.embeddings[SPACE]).all()

    usable = np.flatnonzero(faces.usable(0.15))
    halves = usable[::2], usable[1::2]
    named = np.array([_named(faces, *both) for both in (halves, halves[::-1])]).mean(axis=0)
    assert FPIR / 2 <= named[0] <= FPIR * 2
    assert named[1] > FPIR * 2


def _named(faces: LabelledFaces, enrolled: NDArray[np.intp], strangers: NDArray[np.intp]) -> tuple[float, float]:
    """The share of strangers who are named by the calibration's threshold, and by a lower one."""
    ids = np.arange(1, len(enrolled) + 1)
    templates = Templates(SPACE, ids, tuple(map(str, faces.people[enrolled])), faces.embeddings[SPACE][enrolled])
    conditions = Conditions("", "class_mean", 0.05, 0.15)
    found, _ = calibrate(SPACE, cross_scores(templates, "class_mean"), conditions, FPIR, 0.0)

    index = FaceIndex.of(templates, "class_mean")
    probes = index.search_people(np.ascontiguousarray(faces.embeddings[SPACE][strangers]), 10)
    first, second = (
        float(np.mean([decide([one], threshold, 0.05).outcome == "known" for one in probes]))
        for threshold in (found.threshold, found.threshold - 0.1)
    )
    return first, second
