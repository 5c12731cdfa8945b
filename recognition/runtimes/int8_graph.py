"""Int8 weights of an ONNX file: which of them may saturate, and the same network in a form that can't. Pure.

x86 processors with AVX2 or AVX-512 and without VNNI multiply unsigned by signed bytes and add pairs of products in 16
bits, which saturate (Intel's VPMADDUBSW): 2 * 255 * 64 fits there, 2 * 255 * 127 does not. Unsigned weights take
another path of ONNX Runtime's there, which is slower and exact. Blocks for some milliseconds a megabyte.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recognition.errors import UnsupportedRuntime, WeightsUnreadable

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

Int8 = NDArray[np.int8]

LARGEST_SAFE = 64
"""A weight of at most this size never saturates: 2 * 255 * 64 = 32640 < 2 ** 15."""

# Where each operator has its weights, and their zero point.
_WEIGHTS: Mapping[str, tuple[int, int]] = {
    "DequantizeLinear": (0, 2),
    "QLinearConv": (3, 5),
    "QLinearMatMul": (3, 5),
    "QGemm": (3, 5),
    "ConvInteger": (1, 3),
    "MatMulInteger": (1, 3),
    "MatMulIntegerToFloat": (1, 5),
    "DynamicQuantizeMatMul": (1, 3),
}
# Where the zero point of what comes in is: where that is signed, both sides are, and that path is exact.
_INPUT_ZERO: Mapping[str, int] = {
    "QLinearConv": 2,
    "QLinearMatMul": 2,
    "QGemm": 2,
    "ConvInteger": 2,
    "MatMulInteger": 2,
    "MatMulIntegerToFloat": 4,
}
# Whatever else may use int8 weights as they are: these can't be edited.
_INTEGER = re.compile(r"Q(?!uantizeLinear)|.*Integer|DynamicQuantize(?!Linear)")
_SIGNS = (b"uantizeLinear", b"DynamicQuantize", b"QLinear", b"Integer", b"QGemm", b"QAttention")
_ELEMENTWISE = "QLinear"  # QLinearAdd and its like: no sums of products, but for those in _WEIGHTS
_SHIFT = 128
_CONSTANTS_ARE_NO_INPUTS = 4  # the first version of the format in which a constant need not be listed as an input


def is_quantised(weights: bytes) -> bool:
    """Whether the file may have int8 arithmetic in it, by the names of its operators; float files seldom do."""
    return any(sign in weights for sign in _SIGNS)


def need_onnx(who: str) -> None:
    """Raises UnsupportedRuntime where the onnx package is missing; `who` names the model."""
    if find_spec("onnx") is None:
        raise UnsupportedRuntime(f"{who}: int8 networks need the onnx package; pip install 'whosthere[cpu]'")


def read_graph(weights: bytes, who: str) -> "ModelProto":
    """The parsed file, its functions written out and its constant weights quantised. `who` names the model in errors.

    Raises WeightsUnreadable where the bytes are no ONNX file, or one whose weights lie in other files.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import inliner

    try:
        model: ModelProto = onnx.load_from_string(weights)
    except DecodeError:
        raise WeightsUnreadable(f"{who}: its file is no ONNX file; get it again") from None
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise WeightsUnreadable(f"{who}: its weights lie in other files beside it; get it as one file")
    if model.functions:
        model = inliner.inline_local_functions(model)
    _quantise_constants(model)
    return model


def _quantise_constants(model: "ModelProto") -> None:
    """What training leaves: float weights behind a QuantizeLinear of their own, as the int8 constants that they are."""
    import onnx

    constants = _constants_of(model)
    for node in list(model.graph.node):
        known = all(name in constants for name in node.input)
        if node.op_type != "QuantizeLinear" or len(node.input) < 3 or not known:
            continue
        values, scale, zero = (onnx.numpy_helper.to_array(constants[name]) for name in node.input)
        if zero.dtype != np.int8:
            continue
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        wide = [-1 if place == axis % values.ndim else 1 for place in range(values.ndim)] if scale.size > 1 else []
        steps = np.rint(values / scale.reshape(wide)) + zero.astype(np.float32).reshape(wide)
        codes = np.clip(steps, -128, 127).astype(np.int8)
        model.graph.initializer.append(onnx.numpy_helper.from_array(codes, node.output[0]))
        model.graph.node.remove(node)


@dataclass(frozen=True, slots=True)
class Risk:
    """What may saturate where there is no VNNI. `weights`: constants that with_unsigned_weights() can mend; `others`:
    constants that it can't. `unfused_is_exact`: run node by node, all products would be float32's.
    """

    weights: tuple[str, ...]
    others: tuple[str, ...]
    unfused_is_exact: bool


def risk_of(model: "ModelProto") -> Risk:
    """Looks at every int8 constant beyond LARGEST_SAFE, whatever uses it."""
    constants = _constants_of(model)
    mendable = {(node.output[0], place) for node, place, _ in _risky(model, constants)}
    weights: set[str] = set()
    others: set[str] = set()
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if (node.output[0], place) in mendable:
                weights.add(name)
            elif name in constants and _is_large(constants[name]) and not _is_exact(node, place, constants):
                others.add(name)
        if any(_has_int8(graph) for graph in _graphs_in(node)):
            others.add(node.name or node.op_type)
    integer = any(_INTEGER.match(node.op_type) for node in _all_nodes(model.graph))
    return Risk(tuple(sorted(weights)), tuple(sorted(others)), not integer)


def with_unsigned_weights(model: "ModelProto") -> bytes:
    """The same network, its `Risk.weights` unsigned: they and their zero points grow by 128, and no product changes.

    `model` itself is edited.
    """
    import onnx

    constants = _constants_of(model)
    made: dict[str, TensorProto] = {}
    for node, place, zero_place in list(_risky(model, constants)):
        name = node.input[place]
        node.input.extend([""] * (zero_place + 1 - len(node.input)))
        zero_name = node.input[zero_place]
        zero = _values(constants[zero_name]) if zero_name else _no_shift(node, constants)
        # A zero point is its node's own: others of the same name may belong to what is not at risk.
        node.input[place], node.input[zero_place] = f"{name}.unsigned", f"{node.output[0]}.unsigned_zero"
        for new, values in ((node.input[place], _values(constants[name])), (node.input[zero_place], zero)):
            moved = (values.astype(np.int16) + _SHIFT).astype(np.uint8)
            made[new] = onnx.numpy_helper.from_array(moved, new)
    graph = model.graph
    used = {name for node in _all_nodes(graph) for name in node.input} | {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    dropped = {tensor.name for tensor in graph.initializer} - {tensor.name for tensor in kept}
    inputs = [each for each in graph.input if each.name not in dropped]  # old files list constants there, too
    del graph.initializer[:], graph.input[:]
    graph.initializer.extend([*kept, *made.values()])
    graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, _CONSTANTS_ARE_NO_INPUTS)
    edited: bytes = model.SerializeToString()
    return edited


def _risky(model: "ModelProto", constants: Mapping[str, "TensorProto"]) -> Iterator[tuple["NodeProto", int, int]]:
    """Each use that can be mended: the node, where it has its weights, and where their zero point is."""
    for node in model.graph.node:
        place, zero_place = _WEIGHTS.get(node.op_type, (len(node.input), 0))
        if (
            place >= len(node.input)
            or not _is_large(constants.get(node.input[place]))
            or _takes_signed(node, constants)
        ):
            continue
        zero = node.input[zero_place] if zero_place < len(node.input) else ""
        if not zero or zero in constants:
            yield node, place, zero_place


def _is_large(tensor: "TensorProto | None") -> bool:
    """Whether these are int8 and may saturate."""
    import onnx

    if tensor is None or tensor.data_type != onnx.TensorProto.INT8:
        return False
    return bool((np.abs(_values(tensor).astype(np.int16)) > LARGEST_SAFE).any())


def _is_exact(node: "NodeProto", place: int, constants: Mapping[str, "TensorProto"]) -> bool:
    """Whether an operator's constant is exact as it is: a zero point, a summand, or weights of signed pixels."""
    if node.op_type == "QuantizeLinear":
        return True
    if node.op_type not in _WEIGHTS:
        return str(node.op_type).startswith(_ELEMENTWISE)
    weights_place, _ = _WEIGHTS[node.op_type]
    return _takes_signed(node, constants) if place == weights_place else place != 0


def _graphs_in(node: "NodeProto") -> Iterator["GraphProto"]:
    """The graphs of an If, a Loop or a Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _all_nodes(graph: "GraphProto") -> Iterator["NodeProto"]:
    """The graph's nodes and those of the graphs within them."""
    for node in graph.node:
        yield node
        for inner in _graphs_in(node):
            yield from _all_nodes(inner)


def _has_int8(graph: "GraphProto") -> bool:
    """Whether any of its operators is one of int8 arithmetic."""
    return any(node.op_type in _WEIGHTS or bool(_INTEGER.match(node.op_type)) for node in _all_nodes(graph))


def _takes_signed(node: "NodeProto", constants: Mapping[str, "TensorProto"]) -> bool:
    """Whether what comes in is signed, too."""
    import onnx

    place = _INPUT_ZERO.get(node.op_type)
    zero = None if place is None or len(node.input) <= place else constants.get(node.input[place])
    return zero is not None and zero.data_type == onnx.TensorProto.INT8


def _no_shift(node: "NodeProto", constants: Mapping[str, "TensorProto"]) -> Int8:
    """The zero point of weights that have none: as many zeros as there are scales."""
    scales = constants.get(node.input[1]) if node.op_type == "DequantizeLinear" else None
    return np.zeros(() if scales is None else tuple(scales.dims), np.int8)


def _values(tensor: "TensorProto") -> Int8:
    import onnx

    return np.asarray(onnx.numpy_helper.to_array(tensor), dtype=np.int8)


def _constants_of(model: "ModelProto") -> dict[str, "TensorProto"]:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    return constants
