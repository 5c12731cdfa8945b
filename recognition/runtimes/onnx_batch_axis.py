"""Gives SCRFD's graphs their batch axis back: an ONNX file's bytes in, those of the same network for batches out.

Blocks for some ten milliseconds. InsightFace exported them for one picture: their last reshapes fold the batch into
the cells. Nothing else is touched, and who loads the result compares a batch with its pictures alone.
"""

from collections.abc import Sequence
from importlib.util import find_spec

from recognition.errors import UnsupportedRuntime, WeightsUnreadable

_BATCH_LAST, _BATCH_FIRST = [2, 3, 0, 1], [0, 2, 3, 1]  # what Transpose makes of (n, c, h, w)
_KEPT = 0  # Reshape: as long as the input's axis


def with_batch_axis(weights: bytes, who: str) -> bytes:
    """The network for any number of pictures; its outputs become (n, cells, width).

    `who` names the model in errors. Raises UnsupportedRuntime where the onnx package is missing, WeightsUnreadable
    where the file is not such a network.
    """
    if find_spec("onnx") is None:
        raise UnsupportedRuntime(f"{who}: batches of pictures need the onnx package; pip install 'whosthere[cpu]'")
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(weights)
    except DecodeError:
        raise WeightsUnreadable(f"{who}: its file is no ONNX file; get it again") from None
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    ends = [node for node in graph.node if node.op_type == "Reshape" and _is_transposed(makers.get(node.input[0]))]
    if not ends:
        raise WeightsUnreadable(f"{who}: its graph has no reshaped answers as SCRFD's have; say batch: 1 in its spec")
    for node in ends:
        shape = constants.get(node.input[1])
        if shape is None:
            continue  # worked out from the input: it keeps the batch already
        wanted = list(onnx.numpy_helper.to_array(shape))
        if len(wanted) == 2:
            shape.CopyFrom(onnx.helper.make_tensor(shape.name, shape.data_type, [3], [_KEPT, -1, int(wanted[1])]))
        (order,) = makers[node.input[0]].attribute
        if list(order.ints) == _BATCH_LAST:
            order.ints[:] = _BATCH_FIRST
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    edited: bytes = model.SerializeToString()
    return edited


def with_output_shapes(weights: bytes, widths: Sequence[int]) -> bytes:
    """The same network, which says of its outputs that they are (n, cells, width): a server may want to know."""
    import onnx

    model = onnx.load_from_string(weights)
    for output, width in zip(model.graph.output, widths, strict=True):
        shape = ["n", f"cells_{output.name}", width]
        output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, onnx.TensorProto.FLOAT, shape))
    told: bytes = model.SerializeToString()
    return told


def _is_transposed(node: object) -> bool:
    return node is not None and getattr(node, "op_type", "") == "Transpose"
