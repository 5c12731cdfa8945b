#!/usr/bin/env bash
# ONNX Runtime 1.31.0, quantize_dynamic(): the model with its shapes inferred is written into the folder of the model that it reads,
# as NAME-inferred.onnx, and removed at the end, wherever the result is to go. Two processes that quantise the same model at once
# therefore read each other's half-written file (an onnx DecodeError now and then), and a folder of models that can't be written can't
# be quantised from. Copy the model first.
# Seen: while it runs there is "model-inferred.onnx" beside model.onnx, though the result goes into another folder.
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.31.0 onnx==1.23.0 numpy==2.4.6
mkdir "$folder/models" "$folder/result"
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

folder = Path(sys.argv[1])
weights = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    "one",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.save(model, folder / "models" / "model.onnx")

beside, load = set(), onnx.load


def watching(*arguments, **more):
    beside.update(one.name for one in (folder / "models").iterdir())
    return load(*arguments, **more)


onnx.load = watching
quantize_dynamic(folder / "models" / "model.onnx", folder / "result" / "quantised.onnx")
print("while it ran:", sorted(beside))
print("afterwards:", sorted(one.name for one in (folder / "models").iterdir()))
sys.exit(0 if "model-inferred.onnx" in beside else 1)
PY
