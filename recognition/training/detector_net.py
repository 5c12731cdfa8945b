"""The student detector: pictures in, per stride a map of 16 numbers out (class, objectness, box, five landmarks).

PyTorch. The outputs mean what YuNet's do, so that one parser serves both. Shaped by what ONNX Runtime's int8 kernels
are fast at: dense 3x3 convolutions of 16 channels and more. Strides 8 and 16 share a head; large faces have their own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
OUTPUTS = 16
_LANDMARK_NUMBERS = 10
OUTPUT_NAMES = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
_PARTS = ((0, 1), (1, 2), (2, 6), (6, 16))
INPUT_SCALE = 1 / 128
_FIRST_SIZE = 1.0  # a box before anything is learnt: e strides wide and high
_SELDOM = -4.5  # a cell's objectness before anything is learnt: about one in a hundred


class _Conv(nn.Sequential):
    def __init__(self, before: int, after: int, size: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        )


class _Residual(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def _separable(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_Conv(before, before, 3, stride, before), _Conv(before, after, 1))


class NanoDetector(nn.Module):
    """About 97 thousand parameters. Input (n,3,h,w) BGR 0..255, h and w multiples of 32."""

    def __init__(self, widths: Sequence[int] = (16, 16, 32, 48, 64), neck: int = 32) -> None:
        super().__init__()
        first, fourth, eighth, sixteenth, last = widths
        self.first = _Conv(3, first, 3, 2)
        self.stage4 = nn.Sequential(_Conv(first, fourth, 3, 2), _Residual(_Conv(fourth, fourth)))
        self.stage8 = nn.Sequential(
            _Conv(fourth, eighth, 3, 2), _Residual(_Conv(eighth, eighth)), _Residual(_Conv(eighth, eighth))
        )
        self.stage16 = nn.Sequential(_Conv(eighth, sixteenth, 3, 2), _Residual(_Conv(sixteenth, sixteenth)))
        self.stage32 = nn.Sequential(
            _separable(sixteenth, last, 2), _Residual(_separable(last, last)), _Residual(_separable(last, last))
        )
        self.lateral = nn.ModuleList(_Conv(width, neck, 1) for width in (eighth, sixteenth, last))
        self.head = _Conv(neck, neck)
        self.large_head = _separable(last, last)
        self.out = nn.ModuleList(_answers(width) for width in (neck, neck, last))
        self.out_landmarks = nn.ModuleList(nn.Conv2d(width, _LANDMARK_NUMBERS, 1) for width in (neck, neck, last))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Per stride (n, cells, 16), cells row by row; class and objectness before the sigmoid."""
        return self.from_first(self.first(pictures * INPUT_SCALE))

    def from_first(self, x: Tensor) -> list[Tensor]:
        """The same from the first convolution's output on."""
        eighth = self.stage8(self.stage4(x))
        sixteenth = self.stage16(eighth)
        thirtysecond = self.stage32(sixteenth)
        coarse = self.lateral[2](thirtysecond)
        middle = self.lateral[1](sixteenth) + functional.interpolate(coarse, scale_factor=2.0)
        fine = self.lateral[0](eighth) + functional.interpolate(middle, scale_factor=2.0)
        ready = (self.head(fine), self.head(middle), self.large_head(thirtysecond))
        maps = [
            torch.cat((out(level), landmarks(level)), dim=1)
            for out, level, landmarks in zip(self.out, ready, self.out_landmarks, strict=True)
        ]
        return [one.permute(0, 2, 3, 1).reshape(one.shape[0], -1, OUTPUTS) for one in maps]


def _answers(width: int) -> nn.Conv2d:
    out = nn.Conv2d(width, OUTPUTS - _LANDMARK_NUMBERS, 1)
    nn.init.zeros_(out.bias)
    nn.init.constant_(out.bias[1], _SELDOM)
    nn.init.constant_(out.bias[4:6], _FIRST_SIZE)
    return out


class ExportedDetector(nn.Module):
    """The same for inference: YuNet's twelve outputs.

    The first convolution gets a fourth channel of zero weight (a copy of blue): ONNX Runtime's int8 kernel wants
    multiples of four and takes half the time with it.
    """

    def __init__(self, net: NanoDetector) -> None:
        super().__init__()
        self.net = net
        convolution, normalisation = net.first[0], net.first[1]
        assert isinstance(convolution, nn.Conv2d)
        wider = nn.Conv2d(4, convolution.out_channels, 3, 2, 1, bias=False)
        with torch.no_grad():
            wider.weight.zero_()
            wider.weight[:, :3] = convolution.weight * INPUT_SCALE
        self.first = nn.Sequential(wider, normalisation, nn.ReLU())

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        levels = self.net.from_first(self.first(torch.cat((pictures, pictures[:, :1]), dim=1)))
        return as_yunet(levels)


def as_yunet(levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Raw maps -> cls, obj (after the sigmoid), bbox and kps, each at strides 8, 16 and 32."""
    outputs = []
    for start, end in _PARTS:
        for level in levels:
            part = level[..., start:end]
            outputs.append(part.sigmoid() if end <= 2 else part)
    return tuple(outputs)
