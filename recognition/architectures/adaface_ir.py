"""AdaFace's IR networks (Kim et al. 2022, https://arxiv.org/abs/2204.00964), with the layer names of its checkpoints.

(n,3,112,112) float32 in; (n,512) unit vectors and (n,1) out, how long the vectors were before: a blurred or dark face
has a short one. Runs on the caller's thread.
"""

from collections.abc import Sequence

import torch
from torch import nn

_WIDTHS = (64, 128, 256, 512)
_LAST_SIDE = 7


class Block(nn.Module):
    """As ArcFace's, but where the width stays a stride alone thins out the shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        if before == after:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        else:
            shortcut = nn.Conv2d(before, after, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(shortcut, nn.BatchNorm2d(after))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.PReLU(after),
            nn.Conv2d(after, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class AdaFaceIR(nn.Module):
    """`depths`: how many blocks each of the four stages has; each halves the side first."""

    def __init__(self, depths: Sequence[int], embedding_size: int = 512) -> None:
        super().__init__()
        first, last = _WIDTHS[0], _WIDTHS[-1]
        stem = nn.Conv2d(3, first, 3, padding=1, bias=False)
        self.input_layer = nn.Sequential(stem, nn.BatchNorm2d(first), nn.PReLU(first))
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(last),
            nn.Identity(),  # where dropout was in training: the numbers of what follows count it
            nn.Flatten(),
            nn.Linear(last * _LAST_SIDE**2, embedding_size),
            nn.BatchNorm1d(embedding_size, affine=False),
        )
        blocks = []
        for before, after, depth in zip((first, *_WIDTHS), _WIDTHS, depths, strict=False):
            blocks += [Block(before, after, 2), *(Block(after, after, 1) for _ in range(depth - 1))]
        self.body = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.output_layer(self.body(self.input_layer(x)))
        norm = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        return features / norm, norm
