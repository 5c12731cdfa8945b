import asyncio
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest

from recognition.errors import Overloaded, RunnerDead, WeightsMissing
from recognition.image import ArrayImage
from recognition.recogniser import RecogniserConfig, open_recogniser
from recognition.serving.lanes import PHOTO
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from tests.faces import EVERYBODY, write_film

DETECTOR, EMBEDDER = "nano_det", "nano_embed"
SPEC = load_specs()[EMBEDDER]
assert isinstance(SPEC, EmbedderSpec)


@pytest.fixture
def config() -> RecogniserConfig:
    return RecogniserConfig(DETECTOR, EMBEDDER, (), device="cpu", cpu_threads=2, runners=2)


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("run-", "cpu_", "patient-"))]


async def test_faces_of_a_photo(config, six):
    async with open_recogniser(config) as recogniser:
        faces = await recogniser.faces(six)
        found = await recogniser.detect(six, "door")
        embedded = await recogniser.embed(six, found.detections.landmarks, "door")
        assert recogniser.queue_depths() == {DETECTOR: 0, EMBEDDER: 0}
    assert len(faces) == len(found.detections) == 6
    assert faces.embeddings.shape == (6, SPEC.embedding_size)
    assert found.thumbs.shape == (6, 16, 16)
    assert len(found.quality) == 6
    np.testing.assert_allclose(np.sum(faces.embeddings * embedded.embeddings, axis=1), 1, atol=1e-4)
    times = (found.prepare_s, found.queue_s, found.run_s, found.grade_s)
    assert all(second >= 0 for second in (*times, embedded.align_s, embedded.queue_s, embedded.run_s))
    assert not our_threads()


@pytest.mark.parametrize(("niceness", "own"), [(0, []), (1, ["patient-cpu_0"]), (7, ["patient-cpu_0"])])
async def test_photos_have_threads_of_their_own_where_that_is_wanted(config, six, niceness, own):
    async with open_recogniser(replace(config, patient_niceness=niceness)) as recogniser:
        await recogniser.detect(six, "door")
        before = {thread.name for thread in threading.enumerate()}
        faces = await recogniser.faces(six)
        assert sorted({thread.name for thread in threading.enumerate()} - before)[: len(own)] == own
        assert (recogniser.pool_of(PHOTO) is recogniser.pool_of("photo")) == (not own)
    assert len(faces) == 6
    assert not [name for name in our_threads() if name.startswith("patient")]


async def test_a_picture_without_faces(config):
    async with open_recogniser(config) as recogniser:
        faces = await recogniser.faces(ArrayImage(np.zeros((480, 640, 3), np.uint8)))
    assert len(faces) == 0
    assert faces.embeddings.shape == (0, SPEC.embedding_size)


async def test_what_it_is(config):
    sizes: list[tuple[str, int]] = []
    async with open_recogniser(config) as recogniser:
        assert recogniser.space == SPEC.space
        assert (recogniser.detector.name, recogniser.embedder.name) == (DETECTOR, EMBEDDER)
        signature = recogniser.signature
        assert len(signature) == 16
    async with open_recogniser(replace(config, on_batch=lambda *batch: sizes.append(batch))) as recogniser:
        assert recogniser.signature == signature
        await recogniser.embed(ArrayImage(np.zeros((99, 99, 3), np.uint8)), np.ones((3, 5, 2), np.float32), "a")
    assert {name for name, _ in sizes} == {EMBEDDER}
    assert sum(size for _, size in sizes) == 3


@pytest.mark.shared
async def test_another_model_has_another_signature(config, weights):
    async with open_recogniser(config) as recogniser:
        signature = recogniser.signature
    other = replace(config, embedder="mobileface_v2", weights_folders=tuple(weights))
    async with open_recogniser(other) as recogniser:
        assert recogniser.signature != signature


async def test_the_threshold_can_be_set(config, six):
    async with open_recogniser(config) as recogniser:
        scores = (await recogniser.detect(six, "a")).detections.scores
    between = float(scores.min() + scores.max()) / 2
    async with open_recogniser(replace(config, detection_threshold=between)) as recogniser:
        strict = (await recogniser.detect(six, "a")).detections.scores
    assert strict.tolist() == [score for score in scores.tolist() if score >= between]
    assert len(strict) < 6


async def test_many_cameras_at_once_get_their_own_answers(config, six):
    """Pictures of different shapes, so that no tensor is like its neighbour's."""
    pixels = six.bgr()
    parts = {"left": pixels[:, :640], "right": pixels[:, 640:], "all": pixels, "top": pixels[:320]}
    async with open_recogniser(config) as recogniser:
        alone = {
            lane: len((await recogniser.detect(ArrayImage(part), lane)).detections) for lane, part in parts.items()
        }
        lanes = list(parts) * 5
        found = await asyncio.gather(*(recogniser.detect(ArrayImage(parts[lane]), lane) for lane in lanes))
    assert [len(one.detections) for one in found] == [alone[lane] for lane in lanes]
    assert alone == {"left": 4, "right": 2, "all": 6, "top": 3}


async def test_a_full_queue_is_overloaded(config, six):
    small = RecogniserConfig(
        DETECTOR, EMBEDDER, config.weights_folders, device="cpu", runners=1, queue_limit=1, cpu_threads=4
    )
    async with open_recogniser(small) as recogniser:
        results = await asyncio.gather(*(recogniser.detect(six, "a") for _ in range(12)), return_exceptions=True)
    kinds = {type(result).__name__ for result in results}
    assert kinds == {"Found", "Overloaded"}
    assert any(isinstance(result, Overloaded) for result in results)


async def test_bad_weights_are_met_before_anything_starts(tmp_path):
    with pytest.raises(WeightsMissing):
        async with open_recogniser(RecogniserConfig("yunet_n", EMBEDDER, (tmp_path,))):
            pytest.fail("must not be reached")
    assert not our_threads()


async def test_the_body_s_own_error_comes_out_as_it_is(config):
    with pytest.raises(KeyError, match="ours"):
        async with open_recogniser(config):
            raise KeyError("ours")
    assert not our_threads()


async def test_cancelling_the_body_ends_every_thread(config):
    started = asyncio.Event()

    async def service() -> None:
        async with open_recogniser(config):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(service())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not our_threads()


async def test_a_dead_runner_ends_the_body(config, six):
    async def service() -> None:
        async with open_recogniser(config) as recogniser:
            recogniser.detector.runner.close()
            with pytest.raises(RunnerDead):
                await recogniser.detect(six, "a")
            await asyncio.Event().wait()

    async with asyncio.timeout(10):
        with pytest.raises(RunnerDead, match=f"{DETECTOR}: its runner failed"):
            await service()
    assert not our_threads()


async def test_video_and_photo_views_agree(config, tmp_path):
    """A frame of a clip as the camera's thread hands it over finds what the same pixels as an array do."""
    av = pytest.importorskip("av")
    frame_module = pytest.importorskip("streamer.ingest.frame")
    with av.open(str(write_film(tmp_path / "six.mp4", (EVERYBODY, 1)))) as container:
        frame = next(container.decode(video=0))
    async with open_recogniser(config) as recogniser:
        direct = await recogniser.detect(frame_module.VideoImage(frame), "a")
        pixels = await recogniser.detect(ArrayImage(frame.to_ndarray(format="bgr24")), "a")
    assert len(direct.detections) == 6
    for box in direct.detections.boxes:
        assert np.abs(pixels.detections.boxes - box).max(axis=1).min() < 12


async def test_opencv_keeps_to_one_thread(config):
    async with open_recogniser(config):
        assert cv2.getNumThreads() == 1
