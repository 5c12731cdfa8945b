"""Our own int8 networks answer alike on every processor: by their graphs, and held to their unfused run here."""

from functools import cache

import cv2
import numpy as np
import onnx
import pytest

from recognition import detect, embed
from recognition.checks.portraits import read_portraits
from recognition.faces import Detections
from recognition.runtimes.int8_forms import UNFUSED
from recognition.runtimes.int8_graph import risk_of
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import load_specs
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from recognition.specs.weights import read_weights

NANO = ("nano_det", "nano_embed")
SIDE = 320


@cache
def runner(name: str, *, unfused: bool = False) -> OnnxRunner:
    spec = load_specs()[name]
    return OnnxRunner(spec, read_weights(spec, []), "cpu", unfused=unfused)


def random_pictures(side: int, count: int = 12) -> list[np.ndarray]:
    """Noise, and patches of random colours; (side, side, 3) uint8."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(count // 2)]
    patches = [rng.integers(0, 256, (side // 16, side // 16, 3), np.uint8) for _ in range(count // 2)]
    return noise + [cv2.resize(patch, (side, side), interpolation=cv2.INTER_CUBIC) for patch in patches]


@pytest.mark.parametrize("name", NANO)
def test_no_pair_of_products_can_leave_16_bits(name):
    """Activations are unsigned bytes, weights signed ones: the worst pair is 2 * 255 * the largest weight."""
    model = onnx.load_from_string(read_weights(load_specs()[name], []))
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    quantised = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert quantised
    assert {constants[node.input[2]].dtype for node in quantised} == {np.dtype(np.uint8)}
    weights = [values for values in constants.values() if values.dtype == np.int8 and values.any()]
    assert len(weights) > 10
    assert all(2 * 255 * int(np.abs(values.astype(int)).max()) < 2**15 for values in weights)
    risk = risk_of(model)
    assert (risk.weights, risk.others) == ((), ())


@pytest.mark.parametrize("name", NANO)
def test_they_run_as_their_file_is(name):
    assert runner(name).form is None
    assert runner(name, unfused=True).form == UNFUSED


def test_pixels_are_whole_steps():
    """A pixel that lay between two steps would be rounded by the last bit of each processor's float32."""
    for name in NANO:
        model = onnx.load_from_string(read_weights(load_specs()[name], []))
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        first = next(node for node in model.graph.node if "input" in node.input)
        assert first.op_type == "QuantizeLinear"
        assert [float(constants[name]) for name in first.input[1:]] == [1.0, 0.0]


def test_embeddings_are_those_of_the_unfused_run():
    spec = embedder_spec()
    faces = [embed.crops(spec, portrait.image(), portrait.landmarks[None])[0] for portrait in read_portraits()]
    assert likeness(np.stack(faces)) >= 0.999


def test_embeddings_of_noise_are_near_those_of_the_unfused_run():
    """Noise has little in it that the network looks for: one value rounded otherwise is more, beside it."""
    assert likeness(np.stack(random_pictures(112))) >= 0.99


def embedder_spec() -> EmbedderSpec:
    spec = load_specs()["nano_embed"]
    assert isinstance(spec, EmbedderSpec)
    return spec


def likeness(crops: np.ndarray) -> float:
    """The least cosine between the fused and the unfused run's embeddings."""
    spec = embedder_spec()
    tensors = embed.prepare(spec, crops)
    fast, slow = (
        embed.parse(spec, [runner(spec.name, unfused=unfused).run(tensor[None]) for tensor in tensors])
        for unfused in (False, True)
    )
    return float((fast * slow).sum(axis=1).min())


@pytest.mark.parametrize("place", range(len(read_portraits())))
def test_faces_are_those_of_the_unfused_run(place):
    portrait = read_portraits()[place]
    picture = cv2.resize(portrait.image().bgr(), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    fast, slow = found(picture, unfused=False), found(picture, unfused=True)
    assert len(fast) == len(slow) == 1
    assert np.abs(fast.boxes - slow.boxes).max() <= 1
    assert np.abs(fast.landmarks - slow.landmarks).max() <= 1
    assert np.abs(fast.scores - slow.scores).max() <= 0.02


def test_scores_of_noise_are_those_of_the_unfused_run():
    for picture in random_pictures(SIDE):
        fast, slow = scores(picture, unfused=False), scores(picture, unfused=True)
        assert np.abs(fast - slow).max() <= 0.03


def found(picture: np.ndarray, *, unfused: bool) -> Detections:
    spec = load_specs()["nano_det"]
    assert isinstance(spec, DetectorSpec)
    tensor = tensor_of(picture)
    outputs = runner(spec.name, unfused=unfused).run(tensor)
    return detect.parse(spec, outputs, detect.Prepared(tensor[0], 1.0), spec.thresholds.score)


def scores(picture: np.ndarray, *, unfused: bool) -> np.ndarray:
    """Of every cell at every stride, as YuNet defines it: the root of class times objectness."""
    outputs = runner("nano_det", unfused=unfused).run(tensor_of(picture))
    return np.concatenate([np.sqrt(outputs[k] * outputs[k + 3]).ravel() for k in range(3)])


def tensor_of(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32)[None]
