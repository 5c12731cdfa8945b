"""Real strangers, each seen several times: a cluster is of one person, and a person is in few clusters."""

import hashlib
import zipfile
from collections import Counter
from pathlib import PurePath

import numpy as np

from recognition.image import decode_image
from recognition.recogniser import RecogniserConfig, open_recogniser
from streamer.kept_visits.visit import VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.review.reading import review_of
from tests.streamer.kept_visits.made import NOW, change, event, keys_in, visit_id

STRANGERS, VISITS = 20, 4


def photos_of_strangers(archive: zipfile.ZipFile) -> dict[str, list[str]]:
    people: dict[str, list[str]] = {}
    for name in sorted(archive.namelist()):
        if name.endswith(".jpg"):
            people.setdefault(PurePath(name).parent.name, []).append(name)
    often = sorted(
        (one for one in people if len(people[one]) >= VISITS), key=lambda one: hashlib.md5(one.encode()).digest()
    )
    return {one: people[one][:VISITS] for one in often[:STRANGERS]}


async def test_twenty_strangers(shared, tmp_path):
    whose: dict[str, str] = {}
    with (
        zipfile.ZipFile(shared / "faces" / "lfw_dev.zip") as archive,
        VisitsFile(tmp_path / "visits.db", keys_in(tmp_path), make=True) as file,
    ):
        file.unlock(encrypt=True)
        async with open_recogniser(RecogniserConfig("nano_det", "nano_embed", (), device="cpu")) as recogniser:
            space, rates = recogniser.space, recogniser.embedder.spec.thresholds
            for person, photos in photos_of_strangers(archive).items():
                for photo in photos:
                    faces = await recogniser.faces(decode_image(archive.read(photo), photo))
                    boxes = faces.detections.boxes
                    nearest = int(np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - 125.0).sum(axis=1).argmin())
                    face = VisitFace(faces.embeddings[nearest], 0.8, space, "made by these")
                    event_id = visit_id()
                    told = event(event_id, person=None, at=NOW, decision="unknown")
                    file.write([change(event_id, told, faces=(face,), pictures={})])
                    whose[event_id] = person
        review = review_of(file, file.unnamed(), space, {space: rates})

    clusters = [Counter(whose[event_id] for event_id in one.event_ids) for one in review.clusters]
    assert sum(one.total() for one in clusters) == STRANGERS * VISITS
    pure = sum(one.most_common(1)[0][1] for one in clusters) / (STRANGERS * VISITS)
    assert pure > 0.97, clusters
    assert len(clusters) < 2 * STRANGERS, clusters
