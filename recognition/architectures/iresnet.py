"""ArcFace's IResNet (Deng et al. 2019, https://arxiv.org/abs/1801.07698), layers named as in InsightFace's source.

(n,3,112,112) float32 in, (n,512) out, not normalised. Runs on the caller's thread.
"""

from collections.abc import Sequence

import torch
from torch import nn

_WIDTHS = (64, 128, 256, 512)
_LAST_SIDE = 7


class Block(nn.Module):
    """Normalise, convolve, and again: He et al. 2016's residual unit as ArcFace changed it."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.prelu = nn.PReLU(after)
        self.conv2 = nn.Conv2d(after, after, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample: nn.Module | None = None
        if stride > 1 or before != after:
            shortcut = nn.Conv2d(before, after, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(inner)) + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """`depths`: how many blocks each of the four stages has; each halves the side first."""

    def __init__(self, depths: Sequence[int], embedding_size: int = 512) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.prelu = nn.PReLU(_WIDTHS[0])
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(before, after, depth)
            for before, after, depth in zip((_WIDTHS[0], *_WIDTHS), _WIDTHS, depths, strict=False)
        )
        self.bn2 = nn.BatchNorm2d(_WIDTHS[-1])
        self.fc = nn.Linear(_WIDTHS[-1] * _LAST_SIDE**2, embedding_size)
        self.features = nn.BatchNorm1d(embedding_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.features(self.fc(self.bn2(x).flatten(1)))


def _stage(before: int, after: int, depth: int) -> nn.Sequential:
    return nn.Sequential(Block(before, after, 2), *(Block(after, after, 1) for _ in range(depth - 1)))
