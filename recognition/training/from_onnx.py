"""First weights: those of a run, or of a network that shipped as ONNX, back in PyTorch so that training can go on.

Blocks for some runs of the network. Batch normalisations, which the export folded into the convolutions, are made
anew from what the convolutions give for a few batches: the network answers as before and trains as before.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recognition.arrays import F32
from recognition.errors import RunMismatch
from recognition.training.loop import start_from
from recognition.training.quantised import quantisation_aware

Layer = tuple[F32, F32]  # weights (out, …) and biases (out,)


def begin(
    net: nn.Module,
    start: Path | None,
    input_scale: float,
    example: Callable[[], Tensor],
    path_in_net: Callable[[str], str] = str,
) -> dict[str, Any] | None:
    """Give `net` its first weights and have it feel their rounding; what the record says of where they are from.

    `start`: the folder of a run, an ONNX file that was exported of such a network, or None for random weights.
    `example`: inputs to fit the file's network to; `path_in_net`: what the network calls a layer of the file.
    Raises RunMismatch.
    """
    if start is None or not start.is_file():
        quantisation_aware(net)
        return start_from(net, start) if start is not None else None
    layers = {path_in_net(path): layer for path, layer in read_layers(start).items()}
    take_layers(net, layers, input_scale, example())
    quantisation_aware(net)
    return {"file": start.name, "sha256": hashlib.sha256(start.read_bytes()).hexdigest()}


def read_layers(file: Path) -> dict[str, Layer]:
    """Each convolution and linear layer by its module's path, dequantised where it is int8. Raises RunMismatch."""
    try:
        model = onnx.load(str(file))
    except Exception as error:  # noqa: BLE001 - protobuf's own errors have no public base
        raise RunMismatch(f"{file}: no ONNX file that can be read ({type(error).__name__})") from None
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    try:
        for node in model.graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] in values:
                values[node.output[0]] = _dequantised(*(values[name] for name in node.input))
        found = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
        return {_path(node.name): (_own(values[node.input[1]]), _own(values[node.input[2]])) for node in found}
    except (KeyError, IndexError, TypeError, ValueError):
        raise RunMismatch(f"{file}: a layer without constant weights and biases; it is no network of ours") from None


def _own(values: NDArray[np.generic]) -> F32:
    return np.array(values, np.float32)


def _path(node: str) -> str:
    """The exporter's /head/head.0_1/Conv -> head.0: each scope repeats the one around it; _1 is a second use."""
    path: list[str] = []
    for scope in node.strip("/").split("/")[:-1]:
        scope = re.sub(r"_\d+$", "", scope)
        if path and scope.startswith(f"{path[-1]}."):
            path.pop()
        path.append(scope)
    return ".".join(path)


def _dequantised(codes: NDArray[np.generic], scale: F32, zero: NDArray[np.generic]) -> F32:
    """Per tensor, or per first axis as our exports are."""
    wide = (-1,) + (1,) * (codes.ndim - 1) if scale.size > 1 else ()
    return (codes.astype(np.float32) - zero.astype(np.float32).reshape(wide)) * scale.reshape(wide)


@torch.no_grad()  # type: ignore[untyped-decorator]
def take_layers(net: nn.Module, layers: Mapping[str, Layer], input_scale: float, example: Tensor) -> None:
    """Give `net` these layers, by its modules' paths. `example`: inputs that its normalisations are to be fitted to.

    `input_scale`: by what `net` multiplies its input, which the export folded into the first layer.

    Raises RunMismatch where the shapes are not the network's.
    """
    net.eval()
    paths = {module: path for path, module in net.named_modules()}
    for place, (layer, norm) in enumerate(_places(net, example[:1])):
        weight, bias = layers.get(paths[layer], (None, None))
        if weight is None or bias is None:
            raise RunMismatch(f"no layer {paths[layer]} in the file: it is another network's")
        if place == 0:
            weight = weight / np.float32(input_scale)
        wanted = tuple(layer.weight.shape)
        fits = len(weight.shape) == len(wanted) and (weight.shape[0], *weight.shape[2:]) == (wanted[0], *wanted[2:])
        if not fits or weight.shape[1] < wanted[1]:
            raise RunMismatch(f"layer {paths[layer]} is {weight.shape} in the file, {wanted} in this network")
        layer.weight.copy_(torch.from_numpy(weight[:, : wanted[1]].copy()))  # the export pads to multiples of four
        if norm is None:
            assert layer.bias is not None
            layer.bias.copy_(torch.from_numpy(bias))
            continue
        seen = _given(net, layer, example)
        variance, mean = torch.var_mean(seen, dim=1)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(torch.from_numpy(bias) + mean)


def _places(net: nn.Module, example: Tensor) -> list[tuple[nn.Conv2d | nn.Linear, nn.BatchNorm2d | None]]:
    """Each layer in the order of its first use, with the normalisation behind it."""
    used: dict[nn.Module, None] = {}
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    hooks = [
        module.register_forward_hook(lambda module, _inputs, _output: used.setdefault(module))
        for module in net.modules()
        if isinstance(module, kinds)
    ]
    net(example)
    for hook in hooks:
        hook.remove()
    places: list[tuple[nn.Conv2d | nn.Linear, nn.BatchNorm2d | None]] = []
    for module in used:
        if isinstance(module, nn.BatchNorm2d):
            places[-1] = (places[-1][0], module)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            places.append((module, None))
    return places


def _given(net: nn.Module, layer: nn.Module, example: Tensor) -> Tensor:
    """What the layer gives for the example with all before it in place, (channels, places)."""
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output.transpose(0, 1).flatten(1)))
    net(example)
    hook.remove()
    return torch.cat(seen, dim=1)
