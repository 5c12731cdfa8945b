"""Metadata and answers as a server might give them, held against specs; addresses. No server is needed."""

import sys

import numpy as np
import pytest

from recognition.errors import TritonModelMismatch, UnsupportedRuntime
from recognition.runtimes.triton_client import TritonClient, TritonEndpoint
from recognition.runtimes.triton_contract import (
    Contract,
    TensorInfo,
    agree,
    check_answer,
    check_order,
    probe_tensor,
    same_answers,
)
from recognition.specs.files import load_specs

SPECS = load_specs()
EMBEDDER = SPECS["nano_embed"]
DETECTOR = SPECS["nano_det"]
WIDTHS = (1, 1, 1, 1, 1, 1, 4, 4, 4, 10, 10, 10)
INPUT = TensorInfo("input", "FP32", (-1, 3, 112, 112))
OUTPUT = TensorInfo("embedding", "FP32", (-1, 256))


def test_what_is_as_the_spec_says_is_agreed_on():
    assert agree(EMBEDDER, [INPUT], [OUTPUT], 8, "m") == Contract("input", ("embedding",), (256,), 8)
    assert agree(EMBEDDER, [INPUT], [TensorInfo("e", "FP32", (-1, -1))], 0, "m").max_batch is None


@pytest.mark.parametrize(
    ("inputs", "outputs", "complaint"),
    [
        ([TensorInfo("data", "FP32", (-1, 3, 112, 112))], [OUTPUT], r"takes data .* the spec wants input FP32"),
        ([TensorInfo("input", "UINT8", (-1, 3, 112, 112))], [OUTPUT], "takes input UINT8"),
        ([TensorInfo("input", "FP32", (-1, 3, 160, 160))], [OUTPUT], r".*160, 160\], the spec wants .*112, 112"),
        ([TensorInfo("input", "FP32", (1, 3, 112, 112))], [OUTPUT], r".*\[1, 3, 112, 112\], .* \[-1, 3"),
        ([TensorInfo("input", "FP32", (-1, 37632))], [OUTPUT], r"takes input FP32 \[-1, 37632\]"),
        ([INPUT, TensorInfo("scale", "FP32", (-1, 1))], [OUTPUT], "takes input .*, scale"),
        ([], [OUTPUT], "takes nothing"),
        ([INPUT], [TensorInfo("embedding", "FP32", (-1, 512))], r"gives embedding .*512\], the spec wants .*\[256\]"),
        ([INPUT], [TensorInfo("embedding", "FP16", (-1, 256))], "gives embedding FP16"),
        ([INPUT], [OUTPUT, OUTPUT], "gives embedding .*, embedding"),
        ([INPUT], [], "gives nothing"),
    ],
)
def test_what_differs_from_the_spec_is_named_with_what_was_wanted(inputs, outputs, complaint):
    with pytest.raises(TritonModelMismatch, match=f"^m: {complaint}"):
        agree(EMBEDDER, inputs, outputs, 8, "m")


def test_a_detector_that_is_given_smaller_pictures_too_needs_a_server_that_takes_them():
    outputs = [TensorInfo(f"o{number}", "FP32", (-1, -1, width)) for number, width in enumerate(WIDTHS)]
    assert agree(DETECTOR, [TensorInfo("input", "FP32", (-1, 3, -1, -1))], outputs, 8, "m").widths == WIDTHS
    with pytest.raises(TritonModelMismatch, match=r"640\], the spec wants input FP32 \[-1, 3, -1, -1\]"):
        agree(DETECTOR, [TensorInfo("input", "FP32", (-1, 3, 640, 640))], outputs, 8, "m")


def test_strides_in_another_order_are_seen():
    names = tuple(f"o{number}" for number in range(len(WIDTHS)))
    contract = Contract("input", names, WIDTHS, 8)
    answer = [np.zeros((1, (6400, 1600, 400)[n % 3], width), np.float32) for n, width in enumerate(WIDTHS)]
    check_order(DETECTOR, contract, answer, "m")
    answer[7], answer[8] = answer[8], answer[7]
    with pytest.raises(TritonModelMismatch, match=r"o6, o7, o8 have \[6400, 400, 1600\] rows"):
        check_order(DETECTOR, contract, answer, "m")


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (None, "embedding is nothing"),
        (np.zeros((2, 256), np.float16), "is float16"),
        (np.zeros((2, 512), np.float32), r"is float32 \[2, 512\], want float32 256"),
        (np.zeros((1, 256), np.float32), "2 items gave 1 rows"),
    ],
)
def test_an_answer_of_another_shape_is_refused(output, complaint):
    with pytest.raises(TritonModelMismatch, match=complaint):
        check_answer(Contract("input", ("embedding",), (256,), 8), 2, [output], "m")


def test_an_answer_may_be_written_to():
    frozen = np.frombuffer(bytes(2 * 256 * 4), np.float32).reshape(2, 256)
    (answer,) = check_answer(Contract("input", ("embedding",), (256,), 8), 2, [frozen], "m")
    answer += 1


@pytest.mark.parametrize(
    ("model", "side"), [("scrfd_500m", 160), ("nano_det", 160), ("nano_embed", 112), ("facenet_vggface2", 160)]
)
def test_the_probe_of_a_network_for_any_size_is_small(model, side):
    assert probe_tensor(SPECS[model]).shape == (1, 3, side, side)


def test_the_probe_covers_the_range_of_the_input():
    probe = probe_tensor(SPECS["arcface_w600k_mbf"])
    assert probe.shape == (1, 3, 112, 112)
    assert probe.dtype == np.float32
    assert -1.01 < probe.min() < -0.9 < 0.9 < probe.max() < 1.01


def test_another_precision_is_the_same_model_and_other_weights_are_not():
    before = np.random.default_rng(1).normal(size=(1, 256)).astype(np.float32)
    assert same_answers([before], [before.astype(np.float16).astype(np.float32)])
    assert not same_answers([before], [np.random.default_rng(2).normal(size=(1, 256)).astype(np.float32)])
    assert not same_answers([before], [before * np.float32(np.nan)])
    assert not same_answers([before], [before[:, :128]])


@pytest.mark.parametrize("url", ["127.0.0.1:8001", "triton:8001", "gpu-1.example.org:1", "[::1]:65535"])
def test_an_address(url):
    assert TritonEndpoint(url, "m", "1").url == url


@pytest.mark.parametrize(
    "url",
    [
        *("", "triton", ":8001", "triton:", "triton:0", "triton:65536", "triton:-1", "triton:grpc", "triton:8001\n"),
        *("http://triton:8000", "dns:///triton:8001", "user:password@triton:8001", "triton:8001/v2"),
        *("::1:8001", "a b:1"),
    ],
)
def test_no_address(url):
    with pytest.raises(ValueError, match="want host:port of its gRPC service") as caught:
        TritonEndpoint(url, "m", "1")
    assert "password" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [{"model": ""}, {"version": ""}, {"version": "0"}, {"version": "latest"}, {"deadline_s": 0.0}, {"retries": -1}],
)
def test_no_endpoint(values):
    with pytest.raises(ValueError, match="want"):
        TritonEndpoint(**{"url": "triton:8001", "model": "m", "version": "1", **values})


def test_without_the_client_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    with pytest.raises(UnsupportedRuntime, match=r"pip install 'whosthere\[triton\]'"):
        TritonClient(TritonEndpoint("127.0.0.1:1", "m", "1"), "m")
