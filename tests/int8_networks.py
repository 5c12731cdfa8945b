"""Int8 networks of one layer as quantisers write them, and what each has to answer: by exact integers, in NumPy.

Inputs and weights are large and of one sign, so that pairs of products leave 16 bits wherever they are added in 16.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from tests.tiny_networks import embedder

ROWS, INNER, OUT = 3, 16, 8
SCALE_W = np.float32(0.01)
SIDE = 9


@dataclass(frozen=True)
class Int8Network:
    """`weights`: the file. `x`: an input in float32. `y`: the exact answer to it. `step`: one step of its rounding."""

    weights: bytes
    x: np.ndarray
    y: np.ndarray
    step: float


def large_weights(shape: Sequence[int], seed: int = 0, largest: int = 127) -> np.ndarray:
    return np.random.default_rng(seed).integers(largest * 4 // 5, largest + 1, shape).astype(np.int8)


def qdq(
    op: str,
    *,
    signed_input: bool = False,
    per_channel: bool = True,
    zero_point: bool = True,
    shared: bool = False,
    largest: int = 127,
) -> Int8Network:
    """Quantise and dequantise nodes around a Conv (1x1), MatMul or Gemm; `shared`: two layers have the same weights."""
    x = _input((1, OUT, SIDE, SIDE) if op == "Conv" else (ROWS, OUT if shared else INNER), signed=signed_input)
    shape = (OUT, OUT, 1, 1) if op == "Conv" else (x.shape[1], OUT)
    w = large_weights(shape, largest=largest)
    axis = 0 if op == "Conv" else 1
    dims = (OUT,) if per_channel else ()
    constants = {
        "w": w,
        "ws": np.full(dims, SCALE_W),
        "xs": np.float32(2 if signed_input else 1),
        "xz": np.int8(0) if signed_input else np.uint8(0),
        "yz": np.uint8(0),
    }
    zero = []
    if zero_point:
        constants["wz"] = np.zeros(dims, np.int8)
        zero = ["wz"]
    nodes = [_node("QuantizeLinear", ["x", "xs", "xz"], "xq"), _node("DequantizeLinear", ["xq", "xs", "xz"], "x0")]
    y = np.clip(np.rint(x / constants["xs"]), -128, 255 if not signed_input else 127) * constants["xs"]
    step = 0.0
    for layer in range(2 if shared else 1):
        y = _product(op, y, w.astype(np.float64) * float(SCALE_W))
        step = float(np.abs(y).max()) / 200
        constants[f"ys{layer}"] = np.float32(step)
        y = np.clip(np.rint(y / np.float32(step)), 0, 255) * np.float32(step)
        ends = "y" if layer == (1 if shared else 0) else f"x{layer + 1}"
        nodes += [
            _node("DequantizeLinear", ["w", "ws", *zero], f"w{layer}", **({"axis": axis} if per_channel else {})),
            _node(op, [f"x{layer}", f"w{layer}"], f"c{layer}"),
            _node("QuantizeLinear", [f"c{layer}", f"ys{layer}", "yz"], f"q{layer}"),
            _node("DequantizeLinear", [f"q{layer}", f"ys{layer}", "yz"], ends),
        ]
    return Int8Network(_file(nodes, constants, x.shape), x, y.astype(np.float32), step)


def operators(op: str, *, signed_input: bool = False) -> Int8Network:
    """QLinearConv or QLinearMatMul, as the quantiser's operator form has them."""
    x = _input((1, OUT, SIDE, SIDE) if op == "QLinearConv" else (ROWS, INNER), signed=signed_input)
    w = large_weights((OUT, OUT, 1, 1) if op == "QLinearConv" else (INNER, OUT))
    kind = np.int8 if signed_input else np.uint8
    scale = np.float32(2 if signed_input else 1)
    y = _product(op[7:], np.rint(x / scale) * float(scale), w.astype(np.float64) * float(SCALE_W))
    step = np.float32(np.abs(y).max() / (100 if signed_input else 200))
    constants = {"w": w, "ws": SCALE_W, "wz": np.int8(0), "xs": scale, "xz": kind(0), "ys": step, "yz": kind(0)}
    nodes = [
        _node("QuantizeLinear", ["x", "xs", "xz"], "xq"),
        _node(op, ["xq", "xs", "xz", "w", "ws", "wz", "ys", "yz"], "yq"),
        _node("DequantizeLinear", ["yq", "ys", "yz"], "y"),
    ]
    return Int8Network(_file(nodes, constants, x.shape), x, (np.rint(y / step) * step).astype(np.float32), float(step))


def dynamic(op: str, *, constant_node: bool = False) -> Int8Network:
    """MatMulInteger or ConvInteger behind DynamicQuantizeLinear. `constant_node`: the weights are a node's."""
    x = _input((1, OUT, SIDE, SIDE) if op == "ConvInteger" else (ROWS, INNER))
    w = large_weights((OUT, OUT, 1, 1) if op == "ConvInteger" else (INNER, OUT))
    constants = {"ws": SCALE_W}
    nodes = []
    if constant_node:
        nodes.append(_node("Constant", [], "w", value=numpy_helper.from_array(w)))
    else:
        constants["w"] = w
    nodes += [
        _node("DynamicQuantizeLinear", ["x"], "xq", "xs", "xz"),
        _node(op, ["xq", "w", "xz"], "sum"),
        _node("Cast", ["sum"], "f", to=TensorProto.FLOAT),
        _node("Mul", ["xs", "ws"], "s"),
        _node("Mul", ["f", "s"], "y"),
    ]
    step = np.float32(x.max()) / np.float32(255)
    y = _product(op[:-7], np.rint(x / step) * float(step), w.astype(np.float64) * float(SCALE_W))
    return Int8Network(_file(nodes, constants, x.shape), x, y.astype(np.float32), float(np.abs(y).max()) * 1e-5)


def transposed() -> Int8Network:
    """Weights that a node turns before they are dequantised: nothing that could be edited, but right in float32."""
    net = qdq("MatMul", per_channel=False)
    w = large_weights((INNER, OUT))
    constants = {"w": np.ascontiguousarray(w.T), "ws": SCALE_W, "wz": np.int8(0), "xs": np.float32(1)}
    constants |= {"xz": np.uint8(0), "yz": np.uint8(0), "ys": np.float32(net.step)}
    nodes = [
        _node("QuantizeLinear", ["x", "xs", "xz"], "xq"),
        _node("DequantizeLinear", ["xq", "xs", "xz"], "x0"),
        _node("Transpose", ["w"], "wt", perm=[1, 0]),
        _node("DequantizeLinear", ["wt", "ws", "wz"], "w0"),
        _node("MatMul", ["x0", "w0"], "c"),
        _node("QuantizeLinear", ["c", "ys", "yz"], "q"),
        _node("DequantizeLinear", ["q", "ys", "yz"], "y"),
    ]
    return Int8Network(_file(nodes, constants, net.x.shape), net.x, net.y, net.step)


def with_zero_point() -> Int8Network:
    """Signed pixels whose zero point is -128, as a quantiser has them behind a ReLU; in the operator form."""
    x = _input((1, OUT, SIDE, SIDE))
    w = large_weights((OUT, OUT, 1, 1))
    y = _product("Conv", x, w.astype(np.float64) * float(SCALE_W))
    step = np.float32(np.abs(y).max() / 200)
    constants = {"w": w, "ws": SCALE_W, "wz": np.int8(0), "xs": np.float32(1), "xz": np.int8(-128)}
    constants |= {"ys": step, "yz": np.int8(-128)}
    nodes = [
        _node("QuantizeLinear", ["x", "xs", "xz"], "xq"),
        _node("QLinearConv", ["xq", "xs", "xz", "w", "ws", "wz", "ys", "yz"], "yq"),
        _node("DequantizeLinear", ["yq", "ys", "yz"], "y"),
    ]
    return Int8Network(_file(nodes, constants, x.shape), x, (np.rint(y / step) * step).astype(np.float32), float(step))


def from_bytes() -> Int8Network:
    """Pixels that are cast and not quantised: no operator has Quantize in its name."""
    net = operators("QLinearConv")
    model = onnx.load_from_string(net.weights)
    model.graph.node[0].CopyFrom(_node("Cast", ["x"], "xq", to=TensorProto.UINT8))
    return Int8Network(model.SerializeToString(), net.x, net.y, net.step)


def fake_quantised(op: str = "Conv") -> Int8Network:
    """Float weights with a QuantizeLinear of their own, as quantisation-aware training exports them."""
    net = qdq(op)
    model = onnx.load_from_string(net.weights)
    (codes,) = (tensor for tensor in model.graph.initializer if tensor.name == "w")
    weights = numpy_helper.to_array(codes).astype(np.float32) * SCALE_W
    codes.CopyFrom(numpy_helper.from_array(weights, "w"))
    model.graph.node.insert(0, _node("QuantizeLinear", ["w", "ws", "wz"], "wq", axis=0 if op == "Conv" else 1))
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] == "w":
            node.input[0] = "wq"
    return Int8Network(model.SerializeToString(), net.x, net.y, net.step)


def listed_as_inputs(ir_version: int) -> Int8Network:
    """Constants that the file lists among its inputs, as old exporters do."""
    net = qdq("MatMul", per_channel=False)
    model = onnx.load_from_string(net.weights)
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    model.ir_version = ir_version
    return Int8Network(model.SerializeToString(), net.x, net.y, net.step)


def in_a_function() -> Int8Network:
    """The layer as a function of the file's own."""
    net = qdq("MatMul", per_channel=False)
    model = onnx.load_from_string(net.weights)
    names = [tensor.name for tensor in model.graph.initializer]
    nodes, opsets = list(model.graph.node), [helper.make_opsetid("", 17)]
    layer = helper.make_function("own", "Layer", ["x", *names], ["y"], nodes, opsets)
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Layer", ["x", *names], ["y"], domain="own"))
    model.functions.append(layer)
    model.opset_import.append(helper.make_opsetid("own", 1))
    return Int8Network(model.SerializeToString(), net.x, net.y, net.step)


def in_a_branch() -> Int8Network:
    """The layer in the branches of an If."""
    net = qdq("MatMul", per_channel=False)
    model = onnx.load_from_string(net.weights)
    branch = helper.make_graph(
        list(model.graph.node),
        "branch",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        list(model.graph.initializer),
    )
    del model.graph.node[:], model.graph.initializer[:], model.graph.output[:]
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    model.graph.node.append(helper.make_node("If", ["always"], ["z"], then_branch=branch, else_branch=branch))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    return Int8Network(model.SerializeToString(), net.x, net.y, net.step)


def hidden() -> bytes:
    """Integer arithmetic on weights that a node turns: nothing here can say that it is right without VNNI."""
    nodes = [
        _node("DynamicQuantizeLinear", ["x"], "xq", "xs", "xz"),
        _node("Transpose", ["w"], "wt", perm=[1, 0]),
        _node("MatMulInteger", ["xq", "wt", "xz"], "sum"),
        _node("Cast", ["sum"], "f", to=TensorProto.FLOAT),
        _node("Mul", ["f", "xs"], "y"),
    ]
    return _file(nodes, {"w": large_weights((OUT, INNER))}, (ROWS, INNER))


def _input(shape: Sequence[int], *, signed: bool = False) -> np.ndarray:
    """Pixels that are bright; the largest is 255, or 254, so that each is whole in its steps."""
    x = np.random.default_rng(1).integers(200, 254, shape).astype(np.float32)
    x.flat[0] = 254 if signed else 255
    return np.rint(x / 2).astype(np.float32) * 2 if signed else x


def _product(op: str, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    if op == "Conv":
        return np.einsum("ncij,oc->noij", x.astype(np.float64), w[:, :, 0, 0])
    return x.astype(np.float64) @ w


def _node(op: str, inputs: Sequence[str], *outputs: str, **attributes: object) -> NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def _file(nodes: Sequence[NodeProto], constants: dict[str, np.ndarray], shape: Sequence[int]) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "int8",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def int8_embedder(folder: Path, *, seed: int = 0) -> bytes:
    """tiny_networks.embedder() as ONNX Runtime's quantiser makes it int8, with weights of 8 bits."""
    source, made = folder / "float.onnx", folder / "int8.onnx"
    source.write_bytes(embedder(seed=seed))
    faces = np.random.default_rng(0).uniform(-1, 1, (8, 3, 112, 112)).astype(np.float32)
    quantize_static(
        str(source),
        str(made),
        _Faces(faces),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return made.read_bytes()


class _Faces(CalibrationDataReader):
    def __init__(self, faces: np.ndarray) -> None:
        self._faces = iter(faces)

    def get_next(self) -> dict[str, np.ndarray] | None:
        face = next(self._faces, None)
        return None if face is None else {"input.1": face[None]}
