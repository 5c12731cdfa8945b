"""The sample scene: it plays, its face leaves for long enough, and the detector finds it when it is there."""

import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from recognition.image import ArrayImage, read_image
from recognition.recogniser import RecogniserConfig, open_recogniser
from streamer.demo import scene
from streamer.errors import DemoFailed
from streamer.settings import EventsSettings

WITH_HER_S = (0.0, 1.8, 4.0, 5.6, 12.4, 14.0, 15.4)
WITHOUT_HER_S = (7.6, 9.0, 10.3, 17.6, 18.8)
BARE_WALL_S = (19.6, 19.8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    scene.render(path, threading.Event())
    return path


def pictures(clip, seconds):
    """The frames shown at these seconds, BGR."""
    wanted = {round(second * scene.FPS): second for second in seconds}
    with av.open(str(clip)) as container:
        return {
            wanted[number]: frame.to_ndarray(format="bgr24")
            for number, frame in enumerate(container.decode(video=0))
            if number in wanted
        }


def test_the_clip_is_what_a_camera_sends(clip):
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 1280, 720)
        assert stream.average_rate == Fraction(25)
        assert stream.frames == scene.SECONDS * scene.FPS
    assert clip.stat().st_size < 20_000_000


def hers(second):
    """Where her face is in the picture while it is whole; else None."""
    return next((face.box for face in scene.faces_at(second) if face.name and face.whole), None)


def test_she_is_away_for_longer_than_a_visit_takes_to_end():
    seen = [hers(number / scene.FPS) is not None for number in range(scene.SECONDS * scene.FPS)]
    gaps = "".join("x" if inside else "." for inside in seen * 2).strip(".").split("x")
    longest = sorted((len(gap) / scene.FPS for gap in gaps), reverse=True)
    assert seen[0]
    assert not seen[-1]
    # Two in a lap: three lie inside two laps that begin with a face.
    assert [gap > EventsSettings().gone_after_s + 1 for gap in longest[:4]] == [True, True, True, False]


def test_she_is_large_enough_wherever_she_is_whole():
    heights = [box[3] - box[1] for box in (hers(number / 5) for number in range(scene.SECONDS * 5)) if box]
    assert min(heights) >= 80
    assert max(heights) <= 260


def test_strangers_stay_long_enough_to_be_settled_beside_her_and_alone():
    shown = [[face for face in scene.faces_at(number / 5) if face.whole] for number in range(scene.SECONDS * 5)]
    strangers = [[face for face in faces if face.name is None] for faces in shown]
    beside = [bool(some) and any(face.name for face in faces) for some, faces in zip(strangers, shown, strict=True)]
    alone = [len(some) >= 2 and len(some) == len(faces) for some, faces in zip(strangers, shown, strict=True)]
    assert sum(beside) / 5 > EventsSettings().settle_s
    assert sum(alone) / 5 > 2 * EventsSettings().settle_s
    assert min(face.box[3] - face.box[1] for some in strangers for face in some) >= 80


@pytest.mark.parametrize("lap", [0, 3])
def test_who_is_at_a_box(lap):
    second = 12.3
    faces = scene.faces_at(second)
    assert sorted(face.name or "" for face in faces) == ["", "", "Eileen Collins"]
    for face in faces:
        x1, y1, x2, y2 = face.box
        assert scene.who_is_at(second + lap * scene.SECONDS, (x1 + 9, y1 - 7, x2 + 12, y2 - 9)) == face.name
    assert scene.who_is_at(second, (0, 0, 20, 20)) is None


def test_light_and_sharpness_change(clip):
    dark, light = (pictures(clip, [second])[second].mean() for second in (4.0, 5.6))
    assert light > dark * 1.3


def test_rendering_stops_when_nobody_wants_it(tmp_path):
    class UnwantedSoon(threading.Event):
        looks = 0

        def is_set(self):
            self.looks += 1
            return self.looks > 40

    scene.render(tmp_path / "scene.mp4", UnwantedSoon())
    with av.open(str(tmp_path / "scene.mp4")) as container:
        assert container.streams.video[0].frames <= 40


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(DemoFailed, match=r"can't be written to .*scene\.mp4"):
        scene.render(tmp_path / "missing" / "scene.mp4", threading.Event())


def test_stills_differ_from_one_another(tmp_path):
    stills = [read_image(path) for path in scene.write_stills(tmp_path)]
    assert len({(still.width, round(float(still.luma().mean()))) for still in stills}) == 3


async def test_our_own_models_know_her_and_nobody_else(clip, tmp_path):
    """What the demo promises. How many of the faces they find, and how surely, is the next test's with larger ones."""
    async with open_recogniser(RecogniserConfig("nano_det", "nano_embed", (), runners=1)) as recogniser:
        threshold = recogniser.embedder.spec.identification_threshold
        stills = [await recogniser.faces(read_image(path)) for path in scene.write_stills(tmp_path)]
        assert [len(faces) for faces in stills] == [1, 1, 1]
        enrolled = np.concatenate([faces.embeddings for faces in stills])
        known, strangers = [], []
        for second, picture in pictures(clip, WITH_HER_S + WITHOUT_HER_S).items():
            faces = await recogniser.faces(ArrayImage(picture))
            likeness = (enrolled @ faces.embeddings.T).max(axis=0)
            for box, cosine in zip(faces.detections.boxes, likeness, strict=True):
                hers_too = scene.who_is_at(second, tuple(box.tolist())) == scene.PERSON
                (known if hers_too else strangers).append(cosine >= threshold)
        assert sum(known) > len(WITH_HER_S) / 2
        assert len(strangers) > len(WITHOUT_HER_S)
        assert not any(strangers)


@pytest.mark.shared
async def test_the_detector_finds_whom_the_scene_shows_and_only_she_is_known(clip, shared, tmp_path):
    config = RecogniserConfig("scrfd_500m", "arcface_w600k_mbf", (shared / "models",), runners=1)
    async with open_recogniser(config) as recogniser:
        threshold = recogniser.embedder.spec.identification_threshold
        stills = [await recogniser.faces(read_image(path)) for path in scene.write_stills(tmp_path)]
        assert [len(faces) for faces in stills] == [1, 1, 1]
        enrolled = np.concatenate([faces.embeddings for faces in stills])
        for second, picture in pictures(clip, WITH_HER_S + WITHOUT_HER_S).items():
            faces = await recogniser.faces(ArrayImage(picture))
            boxes = faces.detections.boxes
            for face in scene.faces_at(second):
                if face.whole:
                    assert max(overlap(box, face.box) for box in boxes) > 0.5, second
            likeness = (enrolled @ faces.embeddings.T).max(axis=0)
            truth = [scene.who_is_at(second, tuple(box.tolist())) for box in boxes]
            assert truth.count(scene.PERSON) == (second in WITH_HER_S), second
            for name, cosine in zip(truth, likeness, strict=True):
                assert cosine > 0.7 if name else cosine < threshold, second
        for second, picture in pictures(clip, BARE_WALL_S).items():
            found = await recogniser.detect(ArrayImage(picture), "test")
            assert len(found.detections) == 0, second


def overlap(a, b):
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
