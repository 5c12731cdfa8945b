"""Int8 networks of every kind, held to exact integers on this processor, whichever it is."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from recognition.errors import UnsupportedRuntime, WeightsUnreadable
from recognition.runtimes import int8_forms
from recognition.runtimes.int8_forms import EXACT, UNFUSED, open_form, planned_form, saturates
from recognition.runtimes.int8_graph import LARGEST_SAFE, is_quantised, read_graph, risk_of
from recognition.runtimes.onnx_session import open_session
from tests.int8_networks import (
    Int8Network,
    dynamic,
    fake_quantised,
    from_bytes,
    hidden,
    in_a_branch,
    in_a_function,
    listed_as_inputs,
    operators,
    qdq,
    transposed,
    with_zero_point,
)
from tests.tiny_networks import embedder

KINDS = {
    "conv per channel": qdq("Conv"),
    "conv per tensor": qdq("Conv", per_channel=False),
    "conv without zero points": qdq("Conv", zero_point=False),
    "conv of signed pixels": qdq("Conv", signed_input=True),
    "matmul": qdq("MatMul"),
    "matmul of signed pixels": qdq("MatMul", signed_input=True),
    "gemm": qdq("Gemm", per_channel=False),
    "shared conv": qdq("Conv", shared=True),
    "shared matmul": qdq("MatMul", shared=True, per_channel=False),
    "QLinearConv": operators("QLinearConv"),
    "QLinearMatMul": operators("QLinearMatMul"),
    "dynamic matmul": dynamic("MatMulInteger"),
    "dynamic conv": dynamic("ConvInteger"),
    "weights of a node": dynamic("MatMulInteger", constant_node=True),
    "pixels that are cast": from_bytes(),
    "fake-quantised conv": fake_quantised(),
    "fake-quantised matmul": fake_quantised("MatMul"),
    "constants listed as inputs": listed_as_inputs(9),
    "constants listed as inputs, of old": listed_as_inputs(3),
    "a function of its own": in_a_function(),
}
SIGNED = {
    "QLinearConv with a zero point": with_zero_point(),
    "QLinearConv": operators("QLinearConv", signed_input=True),
    "QLinearMatMul": operators("QLinearMatMul", signed_input=True),
}


def answer(opened: int8_forms.Opened, net: Int8Network) -> np.ndarray:
    return opened.session.run(None, {"x": net.x})[0]


def steps_away(got: np.ndarray, net: Int8Network) -> float:
    """How many steps of its own rounding an answer is away from the exact one."""
    return float(np.abs(got - net.y).max()) / net.step


@pytest.fixture(params=["this processor", "one without VNNI"])
def processor(request, monkeypatch):
    """The exact form is right on every processor; where it isn't needed it is tried all the same."""
    if request.param == "one without VNNI":
        monkeypatch.setattr(int8_forms, "saturates", lambda: True)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exact(kind, processor):
    net = KINDS[kind]
    opened = open_form(net.weights, "model x")
    assert opened.form == planned_form(net.weights, "model x") == (EXACT if int8_forms.saturates() else None)
    assert steps_away(answer(opened, net), net) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exact_unfused(kind, processor):
    net = KINDS[kind]
    opened = open_form(net.weights, "model x", unfused=True)
    assert opened.form == UNFUSED
    assert steps_away(answer(opened, net), net) <= 1


@pytest.mark.parametrize("kind", SIGNED)
def test_signed_times_signed_is_left_alone(kind, processor):
    net = SIGNED[kind]
    opened = open_form(net.weights, "model x")
    assert opened.form is None
    assert steps_away(answer(opened, net), net) <= 1


@pytest.mark.parametrize("net", [transposed(), in_a_branch()], ids=["turned weights", "in a branch"])
def test_what_can_not_be_edited_runs_unfused(net, monkeypatch):
    monkeypatch.setattr(int8_forms, "saturates", lambda: True)
    assert planned_form(net.weights, "model x") == UNFUSED
    opened = open_form(net.weights, "model x")
    assert opened.form == UNFUSED
    assert steps_away(answer(opened, net), net) <= 1


def test_what_no_form_of_can_be_right_is_refused(monkeypatch):
    monkeypatch.setattr(int8_forms, "saturates", lambda: True)
    with pytest.raises(UnsupportedRuntime, match=r"model x: .*no VNNI.*int8 weights w .*another precision"):
        open_form(hidden(), "model x")
    monkeypatch.setattr(int8_forms, "saturates", lambda: False)
    assert open_form(hidden(), "model x").form is None


def test_what_is_damaged_or_not_whole_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr(int8_forms, "saturates", lambda: True)
    for damage in ("short", "elsewhere"):
        model = onnx.load_from_string(KINDS["matmul"].weights)
        (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "w")
        if damage == "short":
            tensor.raw_data = tensor.raw_data[:-3]
        else:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="beside.bin")
        for look in (open_form, planned_form):
            with pytest.raises(WeightsUnreadable, match=r"model x: its (int8 )?weights"):
                look(model.SerializeToString(), "model x")


def test_an_exact_form_that_can_not_be_loaded_runs_unfused(monkeypatch):
    monkeypatch.setattr(int8_forms, "saturates", lambda: True)
    refused = int8_forms.refusals()[0]

    def open_slow_ones(weights: bytes, *, unfused: bool = False) -> object:
        if not unfused:
            raise refused("Attempt to replace the existing tensor")
        return open_session(weights, unfused=unfused)

    monkeypatch.setattr(int8_forms, "open_session", open_slow_ones)
    net = KINDS["shared conv"]
    opened = open_form(net.weights, "model x")
    assert opened.form == UNFUSED
    assert steps_away(answer(opened, net), net) <= 1


def test_seven_bits_need_nothing(monkeypatch):
    monkeypatch.setattr(int8_forms, "saturates", lambda: True)
    net = qdq("Conv", largest=LARGEST_SAFE)
    assert risk_of(read_graph(net.weights, "x")).weights == ()
    opened = open_form(net.weights, "model x")
    assert opened.form is None
    assert steps_away(answer(opened, net), net) <= 1


def test_what_this_processor_does_is_what_is_found():
    """Where sums saturate, a network as its file has it is wrong; elsewhere it is right."""
    net = KINDS["matmul"]
    got = open_session(net.weights).run(None, {"x": net.x})[0]
    assert (steps_away(got, net) > 1) == saturates()


def test_float_networks_are_opened_as_they_are():
    assert not is_quantised(embedder())
    assert open_form(embedder(), "model x").form is None
