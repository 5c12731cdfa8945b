import asyncio
import threading

import cv2
import numpy as np
import pytest

from recognition.errors import Overloaded, RunnerDead, WeightsMissing
from recognition.image import ArrayImage
from recognition.recogniser import RecogniserConfig, open_recogniser


@pytest.fixture
def config(weights) -> RecogniserConfig:
    return RecogniserConfig("yunet_n", "edgeface_xxs", tuple(weights), device="cpu", cpu_threads=2, runners=2)


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("run-", "cpu_"))]


async def test_faces_of_a_photo(config, group):
    async with open_recogniser(config) as recogniser:
        faces = await recogniser.faces(group)
        found = await recogniser.detect(group, "door")
        embedded = await recogniser.embed(group, found.detections.landmarks, "door")
        assert recogniser.queue_depths() == {"yunet_n": 0, "edgeface_xxs": 0}
    assert len(faces) == len(found.detections) == 6
    assert faces.embeddings.shape == (6, 512)
    assert found.thumbs.shape == (6, 16, 16)
    assert len(found.quality) == 6
    np.testing.assert_allclose(np.sum(faces.embeddings * embedded.embeddings, axis=1), 1, atol=1e-4)
    times = (found.prepare_s, found.queue_s, found.run_s, found.grade_s)
    assert all(second >= 0 for second in (*times, embedded.align_s, embedded.queue_s, embedded.run_s))
    assert not our_threads()


async def test_a_picture_without_faces(config):
    async with open_recogniser(config) as recogniser:
        faces = await recogniser.faces(ArrayImage(np.zeros((480, 640, 3), np.uint8)))
    assert len(faces) == 0
    assert faces.embeddings.shape == (0, 512)


async def test_what_it_is(config):
    sizes: list[tuple[str, int]] = []
    async with open_recogniser(config) as recogniser:
        assert recogniser.space == "edgeface_xxs.1"
        assert (recogniser.detector.name, recogniser.embedder.name) == ("yunet_n", "edgeface_xxs")
        signature = recogniser.signature
        assert len(signature) == 16
    other = RecogniserConfig(
        "yunet_n",
        "mobileface_v2",
        config.weights_folders,
        device="cpu",
        on_batch=lambda *batch: sizes.append(batch),
    )
    async with open_recogniser(other) as recogniser:
        assert recogniser.signature != signature
        await recogniser.embed(ArrayImage(np.zeros((99, 99, 3), np.uint8)), np.ones((3, 5, 2), np.float32), "a")
    assert {name for name, _ in sizes} == {"mobileface_v2"}
    assert sum(size for _, size in sizes) == 3


async def test_the_threshold_can_be_set(config, group):
    strict = RecogniserConfig("yunet_n", "edgeface_xxs", config.weights_folders, device="cpu", detection_threshold=0.92)
    async with open_recogniser(strict) as recogniser:
        found = await recogniser.detect(group, "a")
    assert 0 < len(found.detections) < 6
    assert found.detections.scores.min() >= 0.92


async def test_many_cameras_at_once_get_their_own_answers(config, group):
    """Pictures of different shapes, so that no tensor is like its neighbour's."""
    pixels = group.bgr()
    halves = {"left": pixels[:, :640], "right": pixels[:, 640:], "all": pixels, "top": pixels[:443]}
    async with open_recogniser(config) as recogniser:
        alone = {
            lane: len((await recogniser.detect(ArrayImage(part), lane)).detections) for lane, part in halves.items()
        }
        lanes = list(halves) * 5
        found = await asyncio.gather(*(recogniser.detect(ArrayImage(halves[lane]), lane) for lane in lanes))
    assert [len(one.detections) for one in found] == [alone[lane] for lane in lanes]
    assert alone["all"] == 6
    assert alone["left"] == alone["right"] == 3


async def test_a_full_queue_is_overloaded(config, group):
    small = RecogniserConfig(
        "yunet_n",
        "edgeface_xxs",
        config.weights_folders,
        device="cpu",
        runners=1,
        queue_limit=1,
        cpu_threads=4,
    )
    async with open_recogniser(small) as recogniser:
        results = await asyncio.gather(*(recogniser.detect(group, "a") for _ in range(12)), return_exceptions=True)
    kinds = {type(result).__name__ for result in results}
    assert kinds == {"Found", "Overloaded"}
    assert any(isinstance(result, Overloaded) for result in results)


async def test_bad_weights_are_met_before_anything_starts(tmp_path):
    with pytest.raises(WeightsMissing):
        async with open_recogniser(RecogniserConfig("yunet_n", "edgeface_xxs", (tmp_path,))):
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


async def test_a_dead_runner_ends_the_body(config, group):
    async def service() -> None:
        async with open_recogniser(config) as recogniser:
            recogniser.detector.runner.close()
            with pytest.raises(RunnerDead):
                await recogniser.detect(group, "a")
            await asyncio.Event().wait()

    async with asyncio.timeout(10):
        with pytest.raises(RunnerDead, match="yunet_n: its runner failed"):
            await service()
    assert not our_threads()


async def test_video_and_photo_views_agree(config, shared):
    """A frame of a clip as the camera's thread hands it over finds what the same pixels as an array do."""
    av = pytest.importorskip("av")
    frame_module = pytest.importorskip("streamer.ingest.frame")
    with av.open(str(shared / "video" / "street_crowd_1080p_4s.mp4")) as container:
        frame = next(container.decode(video=0))
    async with open_recogniser(config) as recogniser:
        direct = await recogniser.detect(frame_module.VideoImage(frame), "a")
        pixels = await recogniser.detect(ArrayImage(frame.to_ndarray(format="bgr24")), "a")
    assert len(direct.detections) >= 3
    for box in direct.detections.boxes[direct.detections.scores > 0.7]:
        assert np.abs(pixels.detections.boxes - box).max(axis=1).min() < 12


async def test_opencv_keeps_to_one_thread(config):
    async with open_recogniser(config):
        assert cv2.getNumThreads() == 1
