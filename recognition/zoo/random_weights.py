"""Random weights of a published architecture, for figures about time and memory and for tests; they know nobody.

Blocks for one run of the network over the faces. Needs the extra `train`.
"""

import torch
from torch import nn

from recognition.architectures import Architecture


def random_network(architecture: Architecture, faces: torch.Tensor, seed: int = 0) -> nn.Module:
    """The network with weights from the seed, its normalisations set by `faces` (n,3,h,w), prepared, n >= 8.

    Without that a deep network is no test of anything: as their authors first make them, IResNet-100's sums overflow,
    and IR-101 puts all faces, and those with red and blue swapped, within a cosine of .93.
    """
    torch.manual_seed(seed)
    net = architecture.build().eval()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = None  # the plain mean over all batches seen, here one
            part.train()
    with torch.no_grad():
        net(faces)
    return net.eval()
