"""Eight cameras' faces, gathered and one by one: both ways answer all of them, and are measured alike."""

import numpy as np

from recognition.serving.batch_limits import BatchLimits
from streamer.bench.eight_cameras import LOAD_SHARE, eight_cameras
from streamer.bench.full_load import Pace
from tests.recognition.fakes import FakeRunner, item

FACES = np.stack([item(value) for value in (1.0, 2.0, 3.0)])


async def test_both_ways_answer_every_face():
    runner = FakeRunner()
    found = await eight_cameras(runner, FACES, BatchLimits((1, 2, 4), queue_limit=1000), 2, Pace(0.05, 1))
    for way in (found.batched, found.single):
        assert way.lost == 0
        assert way.faces_per_s > 0
        assert 0 < way.p50_ms <= way.p95_ms
    assert found.load_faces_per_s == LOAD_SHARE * found.single.faces_per_s
    assert {shape[0] for shape in runner.started} > {1}, "the batcher gathered none"
