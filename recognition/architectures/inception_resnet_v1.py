"""InceptionResnetV1 (Szegedy et al. 2016, https://arxiv.org/abs/1602.07261), with the layer names of facenet-pytorch.

(n,3,160,160) float32 in, (n,512) unit vectors out. Runs on the caller's thread.
"""

import torch
from torch import nn
from torch.nn import functional

Kernel = int | tuple[int, int]


class Convolution(nn.Module):
    def __init__(self, before: int, after: int, kernel: Kernel, stride: int = 1, *, same: bool = False) -> None:
        """`same`: padded so that the side stays."""
        super().__init__()
        sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = (sides[0] // 2, sides[1] // 2) if same else (0, 0)
        self.conv = nn.Conv2d(before, after, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=1e-3)  # TensorFlow's, where the weights come from

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(x)))


class Branches(nn.Module):
    """Several ways through, laid side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.count = len(branches)
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.get_submodule(f"branch{number}")(x) for number in range(self.count)], dim=1)


class Residual(Branches):
    """A share (`scale`) of what the branches say is added to what came in; `width` channels stay `width`."""

    def __init__(self, width: int, inner: int, scale: float, *branches: nn.Module, active: bool = True) -> None:
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(inner, width, 1)
        self.scale = scale
        self.active = active

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2d(super().forward(x)) * self.scale + x
        return functional.relu(x) if self.active else x


class InceptionResnetV1(nn.Module):
    """Without the layer `logits`, which only training needs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = Convolution(3, 32, 3, 2)
        self.conv2d_2a = Convolution(32, 32, 3)
        self.conv2d_2b = Convolution(32, 64, 3, same=True)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = Convolution(64, 80, 1)
        self.conv2d_4a = Convolution(80, 192, 3)
        self.conv2d_4b = Convolution(192, 256, 3, 2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = Branches(
            Convolution(256, 384, 3, 2),
            nn.Sequential(Convolution(256, 192, 1), Convolution(192, 192, 3, same=True), Convolution(192, 256, 3, 2)),
            nn.MaxPool2d(3, 2),
        )
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = Branches(
            nn.Sequential(Convolution(896, 256, 1), Convolution(256, 384, 3, 2)),
            nn.Sequential(Convolution(896, 256, 1), Convolution(256, 256, 3, 2)),
            nn.Sequential(Convolution(896, 256, 1), Convolution(256, 256, 3, same=True), Convolution(256, 256, 3, 2)),
            nn.MaxPool2d(3, 2),
        )
        self.repeat_3 = nn.Sequential(*(_block8(0.2) for _ in range(5)))
        self.block8 = _block8(1.0, active=False)
        self.last_linear = nn.Linear(1792, 512, bias=False)
        self.last_bn = nn.BatchNorm1d(512, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(self.maxpool_3a(x))))
        x = self.repeat_2(self.mixed_6a(self.repeat_1(x)))
        x = self.block8(self.repeat_3(self.mixed_7a(x)))
        x = self.last_bn(self.last_linear(x.mean(dim=(2, 3))))
        return functional.normalize(x, dim=1)


def _block35() -> Residual:
    return Residual(
        256,
        96,
        0.17,
        Convolution(256, 32, 1),
        nn.Sequential(Convolution(256, 32, 1), Convolution(32, 32, 3, same=True)),
        nn.Sequential(Convolution(256, 32, 1), Convolution(32, 32, 3, same=True), Convolution(32, 32, 3, same=True)),
    )


def _block17() -> Residual:
    return Residual(896, 256, 0.1, Convolution(896, 128, 1), _crossed(896, 128, 7))


def _block8(scale: float, *, active: bool = True) -> Residual:
    return Residual(1792, 384, scale, Convolution(1792, 192, 1), _crossed(1792, 192, 3), active=active)


def _crossed(before: int, after: int, length: int) -> nn.Sequential:
    """A row of pixels, then a column."""
    return nn.Sequential(
        Convolution(before, after, 1),
        Convolution(after, after, (1, length), same=True),
        Convolution(after, after, (length, 1), same=True),
    )
