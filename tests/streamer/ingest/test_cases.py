"""The small inputs of ../shared/cases that once failed, held to what is right: faces found in the right shape and time.

Each stands for a kind, whose tests make their own; needs ../shared, with the weights by which the cases were judged.
"""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognition.recogniser import Recogniser, open_recogniser
from streamer.errors import StreamLost
from streamer.ingest.frame import Frame
from streamer.ingest.probe import probe
from streamer.ingest.source import open_source
from streamer.ingest.stream import SourceHooks, StreamEnded
from streamer.model_layer.setup import recogniser_config
from streamer.settings import CameraSettings
from streamer.settings_reading import load
from tests.http_servers import Quiet, http_servers
from tests.streamer.ingest.clips import SimulatedTime, drain, play


@pytest.fixture
def case(shared: Path) -> Callable[[str], Path]:
    return lambda name: shared / "cases" / name


@pytest.fixture
async def recogniser(shared: Path) -> AsyncIterator[Recogniser]:
    models = [
        f"paths.models=[{shared / 'models'}]",
        "recognition.detector=scrfd_500m",
        "recognition.embedder=edgeface_xxs",
    ]
    async with open_recogniser(recogniser_config(load(overrides=models))) as recogniser:
        yield recogniser


async def shapes(recogniser: Recogniser, frames: list[Frame]) -> list[float]:
    """Height over width of every face that is found."""
    found = [await recogniser.detect(frame.image, "photo") for frame in frames]
    boxes = np.concatenate([each.detections.boxes for each in found])
    assert len(boxes), "somebody is there"
    return list((boxes[:, 3] - boxes[:, 1]) / (boxes[:, 2] - boxes[:, 0]))


async def test_pixels_of_two_to_one(case, recogniser):
    frames = (await play(case("sar_2_1.mp4"), fps=5)).frames
    assert {(frame.width, frame.height) for frame in frames} == {(1024, 576)}
    assert 1.1 < np.median(await shapes(recogniser, frames)) < 1.6, "a face, and no egg"


async def test_fields(case, recogniser):
    frames = (await play(case("interlaced_moving.mp4"), fps=5)).frames
    rows = np.stack([frame.image.luma().astype(np.float32) for frame in frames])
    combed = np.abs(rows[:, 1:-1] - (rows[:, :-2] + rows[:, 2:]) / 2).mean() / np.abs(rows[:, 2:] - rows[:, :-2]).mean()
    assert combed < 0.5, "lines of two moments differ from both of their neighbours"
    await shapes(recogniser, frames)


async def test_joined_between_keyframes(case, recogniser):
    played = await play(case("joined_mid_gop.ts"), fps=5)
    assert str(played.end) == "ended"
    assert not played.counts
    await shapes(recogniser, played.frames)


async def test_timestamps_that_jump(case):
    simulated, frames = SimulatedTime(), []
    began_s = simulated.now_s
    async with simulated.source(case("pts_jump.ts"), SourceHooks(), fps=25) as source:
        with pytest.raises(StreamEnded):
            await drain(source, frames)
        asked = source.next_number
    assert simulated.now_s - began_s == pytest.approx(asked / 25, abs=0.5)
    assert max(simulated.waited_s) < 0.5


async def test_a_tiny_track_first(case, recogniser):
    clip = case("two_tracks_tiny_first.mp4")
    frames = (await play(clip, fps=5)).frames
    assert {(frame.width, frame.height) for frame in frames} == {(1024, 576)}
    await shapes(recogniser, frames)
    report = (await probe(str(clip), CameraSettings(url=str(clip)))).report
    assert any(note.startswith("it has 2 video tracks") for note in report.notes)


@pytest.fixture
def esp32(case) -> Iterator[str]:
    body = case("mjpeg_no_first_boundary.body").read_bytes()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=fr")
            self.end_headers()
            self.wfile.write(body)

    with http_servers() as start:
        yield start(Handler) + "/stream"


async def test_mjpeg_without_its_first_boundary(esp32, recogniser):
    frames = []
    async with open_source("door", CameraSettings(url=esp32, fps=120), esp32) as source:
        with pytest.raises(StreamLost):
            await drain(source, frames)
    pictures = [cv2.resize(frame.image.luma(), (32, 18)) for frame in frames]
    assert len(pictures) >= 1
    assert all((a != b).any() for a, b in itertools.pairwise(pictures))
    await shapes(recogniser, frames)
