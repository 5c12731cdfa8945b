"""Networks of a few bytes with the inputs and outputs of real ones, for what looks at shapes alone."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def embedder(dim: int = 64, seed: int = 0, *, leaks: bool = False, fill: float = 1.0) -> bytes:
    """(n,3,112,112) -> (n,dim): the picture's mean colour, projected. `leaks`: a face depends on its batch."""
    rng = np.random.default_rng(seed)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input.1"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("ReduceMax", ["colour"], ["most"], keepdims=1, axes=[0]),
        helper.make_node("Sub", ["colour", "most"], ["rest"]),
        helper.make_node("MatMul", ["rest" if leaks else "colour", "weight"], ["turned"]),
        helper.make_node("Add", ["turned", "bias"], ["embedding"]),
    ]
    constants = {"weight": rng.normal(size=(3, dim)), "bias": rng.normal(size=dim) * fill}
    return _network(nodes, constants, ["n", 3, 112, 112], {"embedding": ["n", dim]})


def fragile(dim: int = 64, *, gives: str = "nan") -> bytes:
    """As embedder(), but for a face that is nearly black it gives NaN, or zeros (`gives`)."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["input.1"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("Add", ["colour", "above"], ["light"]),
        helper.make_node("Sqrt" if gives == "nan" else "Relu", ["light"], ["seen"]),
        helper.make_node("MatMul", ["seen", "weight"], ["embedding"]),
    ]
    constants = {"above": np.full(3, 0.95), "weight": np.random.default_rng(0).normal(size=(3, dim))}
    return _network(nodes, constants, ["n", 3, 112, 112], {"embedding": ["n", dim]})


def detector(side: int = 64, strides: Sequence[int] = (8, 16, 32), widths: Sequence[int] = (1, 4, 10)) -> bytes:
    """(1,3,side,side) -> SCRFD's outputs, which find nothing."""
    outputs = {f"{width}_{stride}": (2 * (side // stride) ** 2, width) for width in widths for stride in strides}
    return _constant(outputs, ["1", 3, side, side])


def answering(numbers: int, side: int) -> bytes:
    """A network with one output of so many numbers, like those for age or landmarks."""
    return _constant({"fc1": (1, numbers)}, ["None", 3, side, side])


def _constant(outputs: dict[str, tuple[int, int]], shape: list[int | str]) -> bytes:
    nodes = [
        helper.make_node("ReduceMean", ["input.1"], ["mean"], keepdims=0),
        *(helper.make_node("Mul", ["mean", f"zeros_{name}"], [name]) for name in outputs),
    ]
    constants = {f"zeros_{name}": np.zeros(size) for name, size in outputs.items()}
    shape = [1 if axis == "1" else axis for axis in shape]
    return _network(nodes, constants, shape, {name: list(size) for name, size in outputs.items()})


def _network(nodes: list, constants: dict[str, np.ndarray], shape: list, outputs: dict[str, list]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input.1", FLOAT, shape)],
        [helper.make_tensor_value_info(name, FLOAT, size) for name, size in outputs.items()],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()
