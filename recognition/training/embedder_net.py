"""nano_embed's network: aligned faces in, embeddings out.

Dense 3x3 convolutions with few channels at high resolution: on CPUs they use the arithmetic units far better than
depthwise ones, in int8 even more, and they train ten times faster. A residual network (He et al. 2016) that ends,
as its teacher does, in one linear layer over the whole last map, so that where something is counts.
"""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 128)
DIM = 256
INPUT_SCALE = 1 / 127.5
_LAST = 32


class ConvBn(nn.Sequential):
    """Convolution and batch normalisation, which the export folds into one."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """x + conv(relu(conv(x))); `inner` below the width makes it a bottleneck with 1x1 convolutions around."""

    def __init__(self, width: int, inner: int = 0) -> None:
        super().__init__()
        if inner:
            self.body = nn.Sequential(
                ConvBn(width, inner, 1), nn.ReLU(), ConvBn(inner, inner), nn.ReLU(), ConvBn(inner, width, 1)
            )
        else:
            self.body = nn.Sequential(ConvBn(width, width), nn.ReLU(), ConvBn(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


class NanoEmbedder(nn.Module):
    """(n,3,112,112) float32, RGB 0..255 -> (n,256) float32, not normalised.

    Pixels are only scaled, not centred: they are whole numbers and stay so in int8. Centred ones (x - 127.5) would
    all lie half-way between two steps, and rounding them would be left to each processor's last bit.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.features = nn.Sequential(
            ConvBn(3, a, stride=2),
            nn.ReLU(),
            ConvBn(a, b, stride=2),
            nn.ReLU(),
            Residual(b),
            ConvBn(b, c, stride=2),
            nn.ReLU(),
            Residual(c),
            Residual(c, c // 2),
            ConvBn(c, d, stride=2),
            nn.ReLU(),
            Residual(d),
            Residual(d, d // 2),
            ConvBn(d, _LAST, 1),
            nn.ReLU(),
        )
        self.embedding = nn.Linear(_LAST * 7 * 7, DIM)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.embedding(self.features(x * INPUT_SCALE).flatten(1))
        return out
