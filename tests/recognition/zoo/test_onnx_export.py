"""Exported networks: int8 stays near float32, and a batch's answer is that of single calls."""

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")

from recognition.checks.spaces import probe_faces  # noqa: E402
from recognition.training.crops import SIDE, inner  # noqa: E402
from recognition.training.embedder_net import DIM, NanoEmbedder  # noqa: E402
from recognition.training.export_embedder import ExportedEmbedder, calibration, export_embedder  # noqa: E402
from recognition.zoo.onnx_export import to_int8, to_onnx  # noqa: E402


@pytest.fixture(scope="module")
def student() -> NanoEmbedder:
    """Random weights, the normalisations set as training would: else all faces would look alike to it."""
    torch.manual_seed(3)
    net = NanoEmbedder().train()
    rng = np.random.default_rng(0)
    for _ in range(20):
        faces = np.concatenate((inner(probe_faces((SIDE, SIDE))), rng.integers(0, 256, (12, 112, 112, 3), np.uint8)))
        with torch.no_grad():
            net(torch.from_numpy(faces.transpose(0, 3, 1, 2).astype(np.float32)))
    return net.eval()


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """(4,3,112,112) float32 RGB 0..255."""
    return np.ascontiguousarray(inner(probe_faces((SIDE, SIDE)))[..., ::-1].transpose(0, 3, 1, 2), np.float32)


def answers(file, tensor: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    raw = session.run(None, {"input": tensor})[0]
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def test_the_float_export_answers_as_the_network_does(student, faces, tmp_path):
    export_embedder(student, probe_faces((SIDE, SIDE)), tmp_path / "plain.onnx", int8=False)
    with torch.no_grad():
        raw = student(torch.from_numpy(faces)).numpy()
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    got = answers(tmp_path / "plain.onnx", faces)
    assert got.shape == (4, DIM)
    assert (got * expected).sum(axis=1).min() > 0.99999
    assert (got @ got.T)[0, 1] < 0.999  # it does tell them apart


def test_int8_is_small_near_to_float_and_the_same_alone_and_in_a_batch(student, faces, tmp_path):
    crops = probe_faces((SIDE, SIDE))
    export_embedder(student, crops, tmp_path / "plain.onnx", int8=False)
    export_embedder(student, crops, tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size < (tmp_path / "plain.onnx").stat().st_size / 3
    together = answers(tmp_path / "int8.onnx", faces)
    alone = np.concatenate([answers(tmp_path / "int8.onnx", face[None]) for face in faces])
    assert (together * alone).sum(axis=1).min() > 0.9999
    assert (together * answers(tmp_path / "plain.onnx", faces)).sum(axis=1).min() > 0.98


def test_colour_order_is_part_of_what_is_exported(student, faces, tmp_path):
    """Swapped channels must not pass for the same: this is where products break."""
    export_embedder(student, probe_faces((SIDE, SIDE)), tmp_path / "plain.onnx", int8=False)
    right, swapped = answers(tmp_path / "plain.onnx", faces), answers(tmp_path / "plain.onnx", faces[:, ::-1].copy())
    assert (right * swapped).sum(axis=1).max() < 0.9999


def test_quantising_needs_samples_of_the_right_shape(student, tmp_path):
    to_onnx(ExportedEmbedder(student), (3, 112, 112), ["embedding"], (0,), tmp_path / "plain.onnx")
    samples = list(calibration(probe_faces((SIDE, SIDE))))
    assert {sample.shape for sample in samples} == {(1, 3, 112, 112)}
    to_int8(tmp_path / "plain.onnx", samples[:4], tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size > 0
