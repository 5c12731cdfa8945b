"""A backend of Triton in Python that stands in for its ONNX Runtime one. Run by the server, in .triton-venv.

It takes the same model folders: the file that config.pbtxt names, its tensors by their names. Like the real one it
refuses a graph whose tensors have other shapes than the configuration says.
"""

import json
from pathlib import Path

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        file = Path(args["model_repository"], args["model_version"], config["default_model_filename"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        batched = config["max_batch_size"] > 0
        for told, tensors in (("input", self.session.get_inputs()), ("output", self.session.get_outputs())):
            shapes = {tensor.name: tensor.shape for tensor in tensors}
            for entry in config[told]:
                self.check(entry["name"], shapes[entry["name"]], [int(side) for side in entry["dims"]], batched)
        self.input = config["input"][0]["name"]
        self.outputs = [output["name"] for output in config["output"]]

    def check(self, name: str, has: list, dims: list[int], batched: bool) -> None:
        wanted = [-1, *dims] if batched else dims
        graph = [side if isinstance(side, int) else -1 for side in has]
        fits = len(graph) == len(wanted) and all(side in (-1, want) for side, want in zip(graph, wanted, strict=True))
        if not fits or (batched and graph[0] != -1):
            raise triton.TritonModelException(f"tensor {name}: the graph has {graph}, config.pbtxt says {wanted}")

    def execute(self, requests: list) -> list:
        return [self.answer(request) for request in requests]

    def answer(self, request):
        batch = triton.get_input_tensor_by_name(request, self.input).as_numpy()
        outputs = self.session.run(self.outputs, {self.input: batch})
        tensors = [triton.Tensor(name, output) for name, output in zip(self.outputs, outputs, strict=True)]
        return triton.InferenceResponse(output_tensors=tensors)
