"""Quantisation-aware training: a network in, the same one that feels its int8 weights' rounding while it learns out.

PyTorch. Weights are rounded to 7 bits, and gradients pass as if they were not (Jacob et al. 2018,
https://arxiv.org/abs/1712.05877). 7 bits, since processors with AVX2 or AVX-512 and without VNNI add pairs of products
of an unsigned and a signed byte in 16 bits: 2 * 255 * 64 fits there, 2 * 255 * 127 does not. What layers give is left
alone: its 8 bits cost a cosine of .001, and feeling them half of the training speed.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

M = TypeVar("M", bound=nn.Module)

WEIGHT_LIMIT = 64  # what ONNX Runtime's quantiser calls reduce_range
_LEAST_RANGE = 1e-6


class _RoundedWeight(nn.Module):
    """Weights (out, …), each output channel with a scale of its own.

    A batch normalisation behind them may be folded in later: it scales whole channels, and rounding follows.
    """

    def forward(self, weight: Tensor) -> Tensor:
        scale = weight.detach().abs().flatten(1).amax(dim=1).clamp_min(_LEAST_RANGE) / WEIGHT_LIMIT
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -WEIGHT_LIMIT, WEIGHT_LIMIT)


def quantisation_aware(net: nn.Module) -> None:
    """Round, from now on, the weights of all convolutions and linear layers."""
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(module, "weight", _RoundedWeight())


def plain(net: nn.Module, fresh: M) -> M:
    """`fresh`, a network of the same kind that feels nothing, with the rounded weights of `net`; for the exporter.

    Not a copy without its parametrisations: a deep copy shares its modules' classes, and taking them from it breaks
    the original (PyTorch 2.13).
    """
    values = {name.replace(".parametrizations.weight.original", ".weight"): v for name, v in net.state_dict().items()}
    for path, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            values[f"{path}.weight"] = module.weight.detach()
    fresh.load_state_dict(values)
    return fresh
