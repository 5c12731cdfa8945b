"""MobileFaceNet (Chen et al. 2018, https://arxiv.org/abs/1804.07573), layers named as in InsightFace's source.

(n,3,112,112) float32 in, (n,512) out, not normalised. Runs on the caller's thread.
"""

from typing import Literal

import torch
from torch import nn

_LAST_WIDTH = 512
_LAST_SIDE = 7


class _Layers(nn.Module):
    """What is called `layers` in the checkpoints."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Bottleneck(_Layers):
    """Widen, convolve each channel for itself, narrow: Sandler et al. 2018's inverted residual, with PReLU."""

    def __init__(self, before: int, inner: int, after: int, stride: int) -> None:
        super().__init__(
            _convolution(before, inner, 1),
            _convolution(inner, inner, 3, stride, groups=inner),
            _convolution(inner, after, 1, active=False),
        )
        self.residual = stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileFaceNet(nn.Module):
    """`scale`: InsightFace's published ones have 2 (`mbf`), the original and InsightFace's older `y1` have 1.

    `head`: `depthwise` is that of the published source. `dense`, another convolution and a large linear layer, is what
    the network in InsightFace's pack buffalo_s (w600k_mbf) ends with; no published source has it, and the name
    `conv_last` is ours.
    """

    def __init__(
        self, embedding_size: int = 512, scale: int = 2, head: Literal["depthwise", "dense"] = "depthwise"
    ) -> None:
        super().__init__()
        narrow, wide = 64 * scale, 128 * scale
        self.layers = nn.Sequential(
            _convolution(3, narrow, 3, 2),
            _convolution(narrow, narrow, 3, groups=64),
            Bottleneck(narrow, 128, narrow, 2),
            _Layers(*(Bottleneck(narrow, 128, narrow, 1) for _ in range(4))),
            Bottleneck(narrow, 256, wide, 2),
            _Layers(*(Bottleneck(wide, 256, wide, 1) for _ in range(6))),
            Bottleneck(wide, 512, wide, 2),
            _Layers(*(Bottleneck(wide, 256, wide, 1) for _ in range(2))),
        )
        self.conv_sep = _convolution(wide, _LAST_WIDTH, 1)
        if head == "depthwise":
            self.features: nn.Module = _Layers(
                _convolution(_LAST_WIDTH, _LAST_WIDTH, _LAST_SIDE, groups=_LAST_WIDTH, active=False, padding=0),
                nn.Flatten(),
                nn.Linear(_LAST_WIDTH, embedding_size, bias=False),
                nn.BatchNorm1d(embedding_size),
            )
        else:
            self.conv_last = _convolution(_LAST_WIDTH, 64, 1)
            self.fc = nn.Linear(64 * _LAST_SIDE**2, embedding_size)
            self.features = nn.BatchNorm1d(embedding_size)
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_sep(self.layers(x))
        if self.head == "dense":
            x = self.fc(self.conv_last(x).flatten(1))
        return self.features(x)


def _convolution(
    before: int,
    after: int,
    kernel: int,
    stride: int = 1,
    *,
    groups: int = 1,
    padding: int | None = None,
    active: bool = True,
) -> _Layers:
    padding = kernel // 2 if padding is None else padding
    layers = [nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(after)]
    return _Layers(*layers, *([nn.PReLU(after)] if active else []))
