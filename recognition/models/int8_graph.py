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
    from onnx import ModelProto, NodeProto, TensorProto

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
_SIGNS = (b"QuantizeLinear", b"DynamicQuantize")  # every int8 network has a node of such a kind
_SHIFT = 128


def is_quantised(weights: bytes) -> bool:
    """Whether the file has int8 arithmetic in it, by the names of its operators."""
    return any(sign in weights for sign in _SIGNS)


def need_onnx(who: str) -> None:
    """Raises UnsupportedRuntime where the onnx package is missing; `who` names the model."""
    if find_spec("onnx") is None:
        raise UnsupportedRuntime(f"{who}: int8 networks need the onnx package; pip install 'whosthere[cpu]'")


def read_graph(weights: bytes, who: str) -> "ModelProto":
    """The parsed file. `who` names the model in errors. Raises WeightsUnreadable where the bytes are no ONNX file."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model: ModelProto = onnx.load_from_string(weights)
    except DecodeError:
        raise WeightsUnreadable(f"{who}: its file is no ONNX file; get it again") from None
    return model


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
    integer = any(_INTEGER.match(node.op_type) for node in model.graph.node)
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
    used = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *made.values()])
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
    """Whether the weights of an operator are exact as they are."""
    return _WEIGHTS.get(node.op_type, (-1, 0))[0] == place and _takes_signed(node, constants)


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
