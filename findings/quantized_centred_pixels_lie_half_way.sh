#!/usr/bin/env bash
# ONNX Runtime 1.32.0, quantize_static (MinMax, unsigned activations) of a network that begins with (x - 127.5) / 127.5,
# as most face networks do: the range -1..1 gets the scale 2/255 and the zero point 128, so that every one of the 256
# pixel values lies exactly half-way between two codes. Which code a pixel gets is left to the last bit of float32:
# about half of the pixels are rounded up and half down, in no order, and neighbours fall together into one code.
# A network whose input is only scaled (x / 127.5) gets a code of its own for each pixel.
# Seen: zero point 128; 65 of 255 neighbouring pixel values share a code; scaled only: none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

logging.getLogger().setLevel(logging.ERROR)
PIXELS = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)


class Pictures(CalibrationDataReader):
    def __init__(self) -> None:
        self.left = iter([{"x": PIXELS}])

    def get_next(self):
        return next(self.left, None)


def codes(*, centred: bool):
    """The codes of the pixels 0..255 in the quantised network, and the zero point."""
    constants = {"half": np.float32(127.5), "w": np.ones((1, 1, 1, 1), np.float32)}
    nodes = [helper.make_node("Sub", ["x", "half"], ["c"])] if centred else []
    nodes.append(helper.make_node("Div", ["c" if centred else "x", "half"], ["n"]))
    nodes.append(helper.make_node("Conv", ["n", "w"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "float.onnx")
    quantize_static(
        "float.onnx", "int8.onnx", Pictures(), quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["Conv"],
    )
    model = onnx.load("int8.onnx")
    node = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "n")
    zero = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == node.input[2])
    model.graph.output.append(helper.make_tensor_value_info(node.output[0], TensorProto.UINT8, None))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run([node.output[0]], {"x": PIXELS})[0].ravel().astype(int), int(zero)


centred, zero = codes(centred=True)
scaled, _ = codes(centred=False)
shared = int((np.diff(centred) == 0).sum())
up = int((centred - np.arange(256) == 1).sum())
print(f"ONNX Runtime {onnxruntime.__version__}: centred pixels: zero point {zero}, {up} of 256 rounded up, "
      f"{shared} of 255 neighbouring pixel values share a code; only scaled: {int((np.diff(scaled) == 0).sum())} share one")
if zero != 128 or shared == 0 or (np.diff(scaled) == 0).any():
    sys.exit("this has changed")
PYTHON
