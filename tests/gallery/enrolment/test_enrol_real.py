"""Real photos through real models: enrol, follow with an index, name who comes by and nobody else."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from gallery.enrolment.enrol import Gate, Terms, enrol
from gallery.errors import EnrolledAlready, NoPhotoAccepted
from gallery.index.faiss_index import FaceIndex
from gallery.matching.decide import Match, confidence, decide
from gallery.storage.store import PersonStore
from recognition.image import read_image
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser
from streamer.demo.scene import write_stills
from tests.faces import KNOWN, STRANGERS, write_photo

GATE = Gate(min_face_px=48, min_quality=0.25)
MOYA, GUL, BOLTON = "Carlos_Moya", "Abdullah_Gul", "John_Bolton"
MIDDLE_PX = 125  # where LFW has the face that a photo is of

NANO = RecogniserConfig("nano_det", "nano_embed", (), device="cpu", runners=1)


@pytest.fixture
def photos(shared: Path, tmp_path: Path) -> dict[str, list[Path]]:
    """Six photos of each of three people."""
    with zipfile.ZipFile(shared / "faces" / "lfw_dev.zip") as archive:
        names = [n for n in sorted(archive.namelist()) if n.split("/")[0] in (MOYA, GUL, BOLTON)]
        archive.extractall(tmp_path, names)
    return {person: sorted((tmp_path / person).glob("*.jpg"))[:6] for person in (MOYA, GUL, BOLTON)}


async def _passer_by(photos: list[Path], recogniser: Recogniser, index: FaceIndex) -> Match:
    """A track of these photos, each face weighted by its quality."""
    probes, weights = [], []
    for path in photos:
        faces = await recogniser.faces(read_image(path))
        middle = np.abs(faces.detections.boxes[:, [0, 2]].mean(axis=1) - MIDDLE_PX).argmin()
        probes.append(faces.embeddings[middle])
        weights.append(float(faces.quality.score[middle]))
    candidates = index.search_people(np.stack(probes), 10, space=recogniser.space)
    threshold = recogniser.embedder.spec.identification_threshold
    return decide(candidates, threshold, 0.05, weights)


async def test_one_person_and_people_whom_nobody_knows(store: PersonStore, tmp_path: Path) -> None:
    """With what comes with the project: photos of her are all made from one, and the strangers are nobody."""
    upright, mirrored, tilted = write_stills(tmp_path)
    friend, *strangers = STRANGERS
    async with open_recogniser(NANO) as recogniser:
        spec = recogniser.embedder.spec
        threshold = spec.identification_threshold

        photos = [upright, friend.file, mirrored]
        eileen = await enrol("Eileen", photos, recogniser, store, Terms(GATE, threshold))
        assert [path for path, _ in eileen.taken] == [upright, mirrored]
        assert [(path, code) for path, code, _ in eileen.refused] == [(friend.file, "person_differs")]
        grace = await enrol("Grace", [friend.file], recogniser, store, Terms(GATE, threshold))
        assert grace.warnings == ()

        index = FaceIndex(recogniser.space, spec.embedding_size)
        assert index.sync(store) == (3, 0)
        for person, seen in ((eileen.person, tilted), (grace.person, write_photo(tmp_path / "grace.png", friend))):
            match = await _passer_by([seen], recogniser, index)
            assert (match.outcome, match.person_id) == ("known", person.id)
        for stranger in strangers:
            assert (await _passer_by([stranger.file], recogniser, index)).outcome == "unknown"

        with pytest.raises(EnrolledAlready, match=eileen.person.id):
            await enrol("Elaine", [tilted], recogniser, store, Terms(GATE, threshold))
        again = await enrol("Elaine", [tilted], recogniser, store, Terms(GATE, threshold, force=True))
        assert len(again.warnings) == 1
        assert eileen.person.id in again.warnings[0]

        store.forget(eileen.person.id)
        assert index.sync(store) == (1, 2)
        assert (await _passer_by([upright], recogniser, index)).person_id == again.person.id


async def test_photos_of_nobody_of_many_and_of_too_little(store: PersonStore, tmp_path: Path) -> None:
    bad = {
        write_photo(tmp_path / "two.png", KNOWN, STRANGERS[0]): ("several_faces", "2 faces"),
        write_photo(tmp_path / "wall.png"): ("no_face", "no face"),
        tmp_path / "small.png": ("quality_too_low", "small"),
    }
    cv2.imwrite(str(tmp_path / "small.png"), cv2.resize(KNOWN.image().bgr(), None, fx=0.3, fy=0.3))
    async with open_recogniser(NANO) as recogniser:
        with pytest.raises(NoPhotoAccepted) as caught:
            await enrol("Eileen", list(bad), recogniser, store, Terms(GATE, 0.5))
    assert [path for path, _, _ in caught.value.refused] == list(bad)
    for path, code, why in caught.value.refused:
        assert (code, bad[path][1] in why) == (bad[path][0], True), why
    assert store.people() == []


@pytest.mark.shared
async def test_from_photos_to_names(
    shared: Path, photos: dict[str, list[Path]], store: PersonStore, tmp_path: Path
) -> None:
    config = RecogniserConfig("scrfd_500m", "arcface_w600k_mbf", (shared / "models",), device="cpu", runners=1)
    async with open_recogniser(config) as recogniser:
        spec = recogniser.embedder.spec
        threshold = spec.identification_threshold

        odd = photos[GUL][4]
        mixed = [*photos[MOYA][:2], odd, photos[MOYA][2]]
        moya = await enrol("Carlos", mixed, recogniser, store, Terms(GATE, threshold, pick="largest"))
        assert [path for path, _ in moya.taken] == photos[MOYA][:3]
        assert [(path, code) for path, code, _ in moya.refused] == [(odd, "person_differs")]
        assert moya.warnings == ()

        gul = await enrol("Abdullah", photos[GUL][:3], recogniser, store, Terms(GATE, threshold, pick="largest"))
        assert (len(gul.taken), gul.warnings) == (3, ())

        index = FaceIndex(recogniser.space, spec.embedding_size)
        assert index.sync(store) == (6, 0)
        rates = [(row.fmr, row.cosine, row.tmr) for row in spec.thresholds.table]
        for person, seen in ((moya.person, photos[MOYA][3:]), (gul.person, [photos[GUL][3], photos[GUL][5]])):
            match = await _passer_by(seen, recogniser, index)
            assert (match.outcome, match.person_id) == ("known", person.id)
            assert confidence(match, rates, len(index)) == pytest.approx(1 - 6e-5)
        stranger = await _passer_by(photos[BOLTON][:3], recogniser, index)
        assert stranger.outcome == "unknown"
        assert confidence(stranger, rates, len(index)) > 0.97

        with pytest.raises(EnrolledAlready, match=moya.person.id):
            await enrol("Charly", photos[MOYA][5:], recogniser, store, Terms(GATE, threshold))
        again = await enrol("Charly", photos[MOYA][5:], recogniser, store, Terms(GATE, threshold, force=True))
        assert len(again.warnings) == 1
        assert moya.person.id in again.warnings[0]

        store.forget(moya.person.id)
        assert index.sync(store) == (1, 3)
        assert (await _passer_by(photos[MOYA][3:5], recogniser, index)).person_id == again.person.id


@pytest.mark.shared
async def test_photos_that_are_no_good(shared: Path, photos: dict[str, list[Path]], store: PersonStore) -> None:
    good = cv2.imread(str(photos[MOYA][0]))
    folder = photos[MOYA][0].parent

    def write(name: str, pixels: np.ndarray) -> Path:
        cv2.imwrite(str(folder / name), pixels)
        return folder / name

    bad = {
        write("blurred.png", cv2.GaussianBlur(good, (0, 0), 7)): ("quality_too_low", "blurred"),
        write("dark.png", (good * 0.2).astype(np.uint8)): ("quality_too_low", "dark"),
        write("small.png", cv2.resize(good, None, fx=0.35, fy=0.35)): ("quality_too_low", "small"),
        write("wall.png", np.full((300, 300, 3), 90, np.uint8)): ("no_face", "no face"),
        shared / "faces" / "group_of_six.jpg": ("several_faces", "6 faces"),
    }
    config = RecogniserConfig("scrfd_500m", "arcface_w600k_mbf", (shared / "models",), device="cpu", runners=1)
    async with open_recogniser(config) as recogniser:
        with pytest.raises(NoPhotoAccepted) as caught:
            await enrol("Carlos", list(bad), recogniser, store, Terms(GATE, 0.35))
    assert [path for path, _, _ in caught.value.refused] == list(bad)
    for path, code, why in caught.value.refused:
        assert code == bad[path][0], why
        assert bad[path][1] in why
    assert store.people() == []
