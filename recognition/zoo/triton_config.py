"""A model of a Triton repository -> its config.pbtxt, by Triton's own protobuf (extra `triton`). Pure.

What Triton is told of a model: its tensors without the batch axis, the batches worth making, where its instances run,
and what it runs before it calls itself ready.
"""

from dataclasses import dataclass
from typing import Literal

from recognition.runtimes.triton_client import need_tritonclient
from recognition.runtimes.triton_contract import TensorInfo
from recognition.specs.devices import gpu_number
from recognition.specs.profile import TritonModel
from recognition.specs.spec import AnySpec

# A face waits no longer for others on the server: the service has made batches already, of all its cameras.
QUEUE_DELAY_US = 1000
_FLOAT32 = "TYPE_FP32"


@dataclass(frozen=True, slots=True)
class RepositoryOptions:
    """How the models of a repository are run.

    `device`: auto leaves it to the server (its GPUs, where it has some); `instances` of each model, on each device.
    """

    device: str = "auto"
    instances: int = 1
    queue_delay_us: int = QUEUE_DELAY_US


@dataclass(frozen=True, slots=True)
class RepositoryModel:
    """A model as the server will show it. Shapes have the batch axis, -1 stands for any length.

    `backend` and `file`: what runs which file. `batched`: the graph takes several items at once.
    """

    spec: AnySpec
    triton: TritonModel
    backend: Literal["onnxruntime", "tensorrt"]
    file: str
    input: TensorInfo
    outputs: tuple[TensorInfo, ...]
    batched: bool

    @property
    def buckets(self) -> tuple[int, ...]:
        """The batches that the service will send: those of the spec for CUDA, as for any server."""
        return self.spec.batch_buckets.cuda if self.batched else (1,)

    @property
    def max_batch(self) -> int:
        """0 where the first axis is none of Triton's."""
        return self.buckets[-1] if self.batched else 0


def config_text(model: RepositoryModel, options: RepositoryOptions) -> str:
    """config.pbtxt. Raises UnsupportedRuntime where tritonclient is not installed."""
    need_tritonclient()
    from google.protobuf import json_format, text_format
    from tritonclient.grpc import model_config_pb2

    config = json_format.ParseDict(_config(model, options), model_config_pb2.ModelConfig())
    text: str = text_format.MessageToString(config)
    spec = model.spec
    head = f"# {spec.name} version {spec.version}, weights {spec.short_digest}, by whosthere models triton-repo"
    return f"{head}\n{text}"


def _config(model: RepositoryModel, options: RepositoryOptions) -> dict[str, object]:
    """ModelConfig's fields; protobuf refuses any other."""
    kind = _kind(model, options.device)
    config: dict[str, object] = {
        "name": model.triton.model,
        "backend": model.backend,
        "default_model_filename": model.file,
        "max_batch_size": model.max_batch,
        "version_policy": {"specific": {"versions": [int(model.triton.version)]}},
        "input": [_tensor(model, model.input)],
        "output": [_tensor(model, output) for output in model.outputs],
        "instance_group": [{"kind": kind, "count": options.instances, "gpus": _gpus(kind, options.device)}],
        "model_warmup": _warm_ups(model),
    }
    if kind == "KIND_CPU":
        # Requests come side by side, so each needs no more than one core.
        threads = ("intra_op_thread_count", "inter_op_thread_count")
        config["parameters"] = {key: {"string_value": "1"} for key in threads}
    if model.batched:
        config["dynamic_batching"] = {
            "preferred_batch_size": [size for size in model.buckets if size > 1],
            "max_queue_delay_microseconds": options.queue_delay_us,
        }
    if model.spec.engine == "tensorrt" and model.backend == "onnxruntime":
        # ONNX Runtime hands such a model's graph to TensorRT when it is loaded.
        precision = "FP16" if model.spec.precision == "fp16" else "FP32"
        accelerator = {"name": "tensorrt", "parameters": {"precision_mode": precision}}
        config["optimization"] = {"execution_accelerators": {"gpu_execution_accelerator": [accelerator]}}
    return config


def _tensor(model: RepositoryModel, tensor: TensorInfo) -> dict[str, object]:
    dims = tensor.shape[1:] if model.batched else tensor.shape
    return {"name": tensor.name, "data_type": _FLOAT32, "dims": list(dims)}


def _kind(model: RepositoryModel, device: str) -> str:
    # ONNX Runtime computes int8 networks on CPUs, wherever the rest runs.
    if device == "cpu" or (model.spec.precision == "int8" and model.backend == "onnxruntime"):
        return "KIND_CPU"
    return "KIND_AUTO" if device == "auto" and model.backend == "onnxruntime" else "KIND_GPU"


def _gpus(kind: str, device: str) -> list[int]:
    return [gpu_number(device)] if kind == "KIND_GPU" and ":" in device else []


def _warm_ups(model: RepositoryModel) -> list[dict[str, object]]:
    """Each batch once, the largest first: memory is taken and kernels are chosen before the server is ready."""
    wide, high = model.spec.input.size
    dims = [3, high, wide] if model.batched else [1, 3, high, wide]
    tensor = {"data_type": _FLOAT32, "dims": dims, "zero_data": True}
    return [
        {
            "name": f"batch of {size}",
            "batch_size": size if model.batched else 0,  # without an axis of Triton's, the tensor's own counts
            "inputs": {model.input.name: tensor},
        }
        for size in reversed(model.buckets)
    ]
