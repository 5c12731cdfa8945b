"""A trained student embedder -> the ONNX file that ships.

Blocks for half a minute. Static int8, scales from clean and from spoiled crops; the embedding itself stays float32.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recognition.arrays import F32, U8
from recognition.training.augment import augment
from recognition.training.crops import inner
from recognition.training.embedder_net import INPUT_SCALE, NanoEmbedder
from recognition.training.quantised import plain
from recognition.zoo.onnx_export import to_int8, to_onnx

OUTPUT = "embedding"
_CALIBRATION_CROPS = 256
_CALIBRATION_SEED = 9_000_000


class ExportedEmbedder(nn.Module):
    """The student as it ships, its input's scale folded into the first convolution.

    That convolution gets a fourth channel of zero weight: ONNX Runtime's int8 kernels want multiples of four.
    """

    def __init__(self, net: NanoEmbedder) -> None:
        super().__init__()
        self.net = net
        first = net.features[0]
        self.first = nn.Conv2d(4, first[0].out_channels, 3, 2, 1, bias=False)
        with torch.no_grad():
            self.first.weight.zero_()
            self.first.weight[:, :3] = first[0].weight * INPUT_SCALE
        self.rest = nn.Sequential(first[1], *net.features[1:])

    def forward(self, faces: Tensor) -> Tensor:
        x = self.first(torch.cat((faces, faces[:, :1]), dim=1))
        embedding: Tensor = self.net.embedding(self.rest(x).flatten(1))
        return embedding


def as_trained(path: str) -> str:
    """A layer's path in ExportedEmbedder -> in NanoEmbedder."""
    return "features.0.0" if path == "first" else path.removeprefix("rest.")


def export_embedder(net: NanoEmbedder, crops: U8, out: Path, *, int8: bool = True) -> None:
    """Write the network for faces (n,3,112,112) float32 RGB 0..255; scales from crops (m,SIDE,SIDE,3)."""
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "full.onnx" if int8 else out
        to_onnx(ExportedEmbedder(plain(net, NanoEmbedder())), (3, 112, 112), [OUTPUT], (0,), full)
        if int8:
            to_int8(full, calibration(crops), out)


def calibration(crops: U8) -> Iterator[F32]:
    """Crops spread over all there are, clean and spoiled in turn, as the network eats them."""
    rows = np.linspace(0, len(crops) - 1, _CALIBRATION_CROPS).round().astype(int)
    for number, row in enumerate(rows):
        face = (
            augment(crops[row], np.random.default_rng((_CALIBRATION_SEED, number))) if number % 2 else inner(crops[row])
        )
        yield face[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
