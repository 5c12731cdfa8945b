import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra train")

from recognition import detect  # noqa: E402  # after the skip
from recognition.specs.files import load_specs  # noqa: E402
from recognition.training.assign import cells_of, decode_boxes  # noqa: E402
from recognition.training.detector_net import OUTPUT_NAMES, STRIDES, ExportedDetector, NanoDetector, as_yunet  # noqa: E402
from recognition.training.export_detector import export_detector  # noqa: E402
from tests.recognition.training.marked import marked_photo  # noqa: E402


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = NanoDetector()
    with torch.no_grad():
        for _ in range(3):  # batch normalisation gets statistics of its own
            net(torch.rand(2, 3, 96, 128) * 255)
    return net.eval()


def run(file, pictures):
    ort = pytest.importorskip("onnxruntime", reason="running the exported network needs the extra cpu")
    return ort.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"input": pictures})


def test_it_is_as_small_as_it_claims(net):
    assert sum(part.numel() for part in net.parameters()) < 105_000


def test_the_shipped_form_says_what_the_trained_one_says(net):
    pictures = torch.rand(2, 3, 64, 96) * 255
    with torch.no_grad():
        for ours, theirs in zip(ExportedDetector(net).eval()(pictures), as_yunet(net(pictures)), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_training_and_the_parser_mean_the_same_boxes(net):
    pictures = torch.rand(1, 3, 64, 96) * 255
    with torch.no_grad():
        levels = net(pictures)
    raw = torch.cat(levels, dim=1)
    boxes = decode_boxes(raw[..., 2:6], cells_of(64, 96, STRIDES, torch.device("cpu")))[0].numpy()
    outputs = [part.numpy() for part in as_yunet(levels)]
    prepared = detect.Prepared(np.zeros((3, 64, 96), np.float32), 1.0)
    parsed = detect.parse(load_specs()["yunet_n"], outputs, prepared, 1e-6)
    assert len(parsed)
    for box in parsed.boxes:
        assert np.abs(boxes - box).max(axis=1).min() < 1e-3


def test_the_int8_form_answers_in_more_than_a_handful_of_values(net, tmp_path):
    pytest.importorskip("onnx", reason="training needs the extra train")
    export_detector(net, [marked_photo()], tmp_path / "student.onnx")
    picture = np.random.default_rng(2).integers(0, 256, (1, 3, 256, 256)).astype(np.float32)
    for name, output in zip(OUTPUT_NAMES, run(tmp_path / "student.onnx", picture), strict=True):
        different = len(np.unique(output))
        assert different > 0.9 * output.size, f"{name}: {different} values among {output.size}"


@pytest.mark.parametrize("int8", [False, True])
def test_exported_it_takes_any_size_and_a_batch_is_as_good_as_single_pictures(net, int8, tmp_path):
    pytest.importorskip("onnx", reason="training needs the extra train")
    file = tmp_path / "student.onnx"
    export_detector(net, [marked_photo()], file, int8=int8)
    rng = np.random.default_rng(1)
    for high, wide in ((64, 96), (160, 128)):
        pictures = rng.integers(0, 256, (2, 3, high, wide)).astype(np.float32)
        together = run(file, pictures)
        assert len(together) == len(OUTPUT_NAMES)
        assert together[0].shape == (2, high // 8 * wide // 8, 1)
        for row in range(2):
            for alone, shared in zip(run(file, pictures[row : row + 1]), together, strict=True):
                np.testing.assert_allclose(alone[0], shared[row], atol=1e-5)
        with torch.no_grad():
            told = as_yunet(net(torch.from_numpy(pictures)))
        for ours, theirs in zip(together, told, strict=True):
            spread = float(theirs.std()) + 1e-3
            assert float(np.abs(ours - theirs.numpy()).mean()) < (0.5 * spread if int8 else 1e-3)
