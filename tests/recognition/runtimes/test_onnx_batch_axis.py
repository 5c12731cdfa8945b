"""SCRFD with its batch axis: a batch's answers are those of its pictures alone."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from recognition import detect
from recognition.checks.self_test import self_test
from recognition.errors import WeightsUnreadable
from recognition.image import read_image
from recognition.runtimes.onnx_batch_axis import with_batch_axis
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import bundled, load_specs
from recognition.specs.profile import BatchBuckets
from recognition.specs.spec import DetectorSpec

onnx = pytest.importorskip("onnx", reason="needs the onnx package")


@pytest.mark.parametrize("name", ["scrfd_500m", "scrfd_2.5g"])
def test_a_batch_of_real_pictures_is_its_pictures_alone(shared: Path, name: str) -> None:
    spec = load_specs()[name]
    assert isinstance(spec, DetectorSpec)
    weights = (shared / "models" / spec.file).read_bytes()
    pictures = [read_image(file) for file in sorted(bundled("faces").glob("*.jpg"))]
    prepared = [detect.prepare(spec, picture) for picture in pictures]
    alone = onnxruntime.InferenceSession(weights)
    together = onnxruntime.InferenceSession(with_batch_axis(weights, name))
    feed = spec.input.name or alone.get_inputs()[0].name
    outputs = together.run(None, {feed: np.stack([one.tensor for one in prepared])})
    for row, one in enumerate(prepared):
        want = detect.parse(spec, alone.run(None, {feed: one.tensor[None]}), one, 0.5)
        got = detect.parse(spec, [output[row : row + 1] for output in outputs], one, 0.5)
        assert len(want) >= 1
        np.testing.assert_allclose(got.boxes, want.boxes, atol=1e-2)
        np.testing.assert_allclose(got.landmarks, want.landmarks, atol=1e-2)
        np.testing.assert_allclose(got.scores, want.scores, atol=1e-5)


def test_the_runner_edits_the_graph_where_batches_are_run(shared: Path) -> None:
    spec = load_specs()["scrfd_500m"]
    batched = spec.model_copy(update={"batch_buckets": BatchBuckets(cpu=(1, 2, 4))})
    weights = (shared / "models" / spec.file).read_bytes()
    assert self_test(batched, OnnxRunner(batched, weights, "cpu"), batched=True) is None
    with pytest.raises(Exception, match="Got: 4 Expected: 1"):
        self_test(spec, OnnxRunner(spec, weights, "cpu"), batched=True)


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(WeightsUnreadable, match="thing: its file is no ONNX file"):
        with_batch_axis(b"\xff\xff not a network", "thing")


def test_another_network_is_refused() -> None:
    weights = (bundled("nano") / "nano_embed.onnx").read_bytes()
    with pytest.raises(WeightsUnreadable, match="no reshaped answers"):
        with_batch_axis(weights, "nano_embed")
