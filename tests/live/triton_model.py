"""A model of Triton's Python backend: an ONNX file on the CPU. Run by the server, in .triton-venv.

The folder's config.pbtxt names the file (parameter `onnx`) and the outputs, in the graph's order. Where the file
named by `gate` is there, a request waits until it is gone, and makes a file `.waiting` beside it.
"""

import json
import time
from pathlib import Path

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        told = {key: value["string_value"] for key, value in config["parameters"].items()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(told["onnx"], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.shown_input = config["input"][0]["name"]
        self.shown_outputs = [output["name"] for output in config["output"]]
        self.gate = Path(told["gate"])

    def execute(self, requests: list) -> list:
        while self.gate.exists():
            self.gate.with_suffix(".waiting").touch()
            time.sleep(0.01)
        return [self.answer(request) for request in requests]

    def answer(self, request):
        batch = triton.get_input_tensor_by_name(request, self.shown_input).as_numpy()
        outputs = self.session.run(None, {self.input: batch})
        tensors = [triton.Tensor(name, output) for name, output in zip(self.shown_outputs, outputs, strict=True)]
        return triton.InferenceResponse(output_tensors=tensors)
