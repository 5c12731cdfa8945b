"""Real strangers, each seen several times: a cluster is of one person, and a person is in few clusters."""

import hashlib
import zipfile
from collections import Counter
from pathlib import PurePath

import numpy as np
import pytest

from recognition.image import decode_image
from recognition.recogniser import RecogniserConfig, open_recogniser
from streamer.kept_visits.visit import VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.review.reading import Queue
from tests.streamer.kept_visits.made import NOW, change, event, keys_in, visit_id


def photos_of_strangers(archive: zipfile.ZipFile, strangers: int, least: int, most: int) -> dict[str, list[str]]:
    """Of some who have so many at least: the same ones each time, by no order that means anything."""
    people: dict[str, list[str]] = {}
    for name in sorted(archive.namelist()):
        if name.endswith(".jpg"):
            people.setdefault(PurePath(name).parent.name, []).append(name)
    often = [one for one in people if len(people[one]) >= least]
    often.sort(key=lambda one: hashlib.md5(one.encode()).digest())
    return {one: people[one][:most] for one in often[:strangers]}


@pytest.mark.parametrize(
    ("strangers", "least", "most", "clusters_each"),
    [(20, 4, 4, 1.5), pytest.param(1000, 1, 1000, 1.3, marks=pytest.mark.thorough)],
)
async def test_strangers(shared, tmp_path, strangers, least, most, clusters_each, record_property):
    """A thousand are all that there are."""
    whose: dict[str, str] = {}
    with (
        zipfile.ZipFile(shared / "faces" / "lfw_dev.zip") as archive,
        VisitsFile(tmp_path / "visits.db", keys_in(tmp_path), make=True) as file,
    ):
        file.unlock(encrypt=True)
        async with open_recogniser(RecogniserConfig("nano_det", "nano_embed", (), device="cpu")) as recogniser:
            space, rates = recogniser.space, recogniser.embedder.spec.thresholds
            for person, photos in photos_of_strangers(archive, strangers, least, most).items():
                for photo in photos:
                    faces = await recogniser.faces(decode_image(archive.read(photo), photo))
                    boxes = faces.detections.boxes
                    nearest = int(np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - 125.0).sum(axis=1).argmin())
                    face = VisitFace(faces.embeddings[nearest], 0.8, space, "made by these")
                    event_id = visit_id()
                    told = event(event_id, person=None, at=NOW, decision="unknown")
                    file.write([change(event_id, told, faces=(face,), pictures={})])
                    whose[event_id] = person
        review = Queue().look(file, space, {space: rates})

    clusters = [Counter(whose[event_id] for event_id in one.event_ids) for one in review.clusters]
    assert sum(one.total() for one in clusters) == len(whose)
    pure = sum(one.most_common(1)[0][1] for one in clusters) / len(whose)
    told = f"{len(whose)} visits of {len(set(whose.values()))} in {len(clusters)} clusters, {pure:.4f} pure"
    record_property("found", told)
    assert pure > 0.98, told
    assert len(clusters) <= clusters_each * len(set(whose.values())), told
