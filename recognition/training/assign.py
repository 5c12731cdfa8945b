"""Which cell of a detector answers for which face, and what its answer costs: raw maps and truth in, losses out.

PyTorch, whole batches at once. Assignment is SimOTA (Ge et al. 2021, YOLOX), boxes EIoU (Zhang et al. 2022).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_CANDIDATES = 10
_CENTRE_CELLS = 1.5
_IOU_WEIGHT = 3.0
_FAR = 1e5
_NEAR = 100.0
_TINY = 1e-7
_LEGIBLE_PX = 80.0  # of smaller faces the landmarks count for less: a pixel's error is much of them
LANDMARK_WEIGHT = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """A batch's faces, padded: boxes (b,m,4) xyxy px; landmarks (b,m,10); real (b,m) bool; doubtful (b,k,4)."""

    boxes: Tensor
    landmarks: Tensor
    real: Tensor
    doubtful: Tensor

    def trimmed(self) -> "Truth":
        """Without columns that are padding in every picture; some are left, for shapes' sake."""
        most = max(1, int(self.real.sum(1).max()))
        unsure = max(1, int((self.doubtful[..., 2] != self.doubtful[..., 0]).sum(1).max()))
        return Truth(self.boxes[:, :most], self.landmarks[:, :most], self.real[:, :most], self.doubtful[:, :unsure])


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """All n cells of the maps. corners (n,2) xy px; strides (n,1)."""

    corners: Tensor
    strides: Tensor

    @property
    def centres(self) -> Tensor:
        return self.corners + self.strides / 2


def cells_of(high: int, wide: int, strides: tuple[int, ...], device: torch.device) -> Cells:
    """The cells of a picture of high x wide pixels, stride by stride, row by row."""
    corners, sizes = [], []
    for stride in strides:
        rows = torch.arange(high // stride, device=device, dtype=torch.float32)
        columns = torch.arange(wide // stride, device=device, dtype=torch.float32)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        corners.append(torch.stack((x, y), -1).reshape(-1, 2) * stride)
        sizes.append(torch.full((corners[-1].shape[0], 1), float(stride), device=device))
    return Cells(torch.cat(corners), torch.cat(sizes))


def decode_boxes(raw: Tensor, cells: Cells) -> Tensor:
    """(b,n,4) raw -> xyxy px, as YuNet means them."""
    centre = cells.corners + raw[..., :2] * cells.strides
    half = raw[..., 2:].clamp(max=6).exp() * cells.strides / 2
    return torch.cat((centre - half, centre + half), -1)


def detection_losses(raw: Tensor, cells: Cells, truth: Truth) -> dict[str, Tensor]:
    """(b,n,16) raw maps against the truth -> the four losses, each per face-bearing cell."""
    truth = truth.trimmed()
    boxes = decode_boxes(raw[..., 2:6], cells)
    owner = assign(raw.detach(), boxes.detach(), cells, truth)
    taken = owner >= 0
    count = taken.sum().clamp(min=1)
    objectness = functional.binary_cross_entropy_with_logits(raw[..., 1], taken.float(), reduction="none")
    counted = taken | ~_covered(cells.centres, truth.doubtful)
    batch, cell = torch.nonzero(taken, as_tuple=True)
    wanted = truth.boxes[batch, owner[batch, cell]]
    similarity, penalty = _eiou(boxes[batch, cell], wanted)
    quality = functional.binary_cross_entropy_with_logits(
        raw[batch, cell, 0], similarity.detach().clamp(0, 1), reduction="sum"
    )
    size = (wanted[:, 2:] - wanted[:, :2]).prod(-1, keepdim=True).clamp(min=1).sqrt()
    points = cells.corners[cell].repeat(1, 5) + raw[batch, cell, 6:] * cells.strides[cell]
    astray = (points - truth.landmarks[batch, owner[batch, cell]]) / size
    counts = (size / _LEGIBLE_PX).clamp(max=1)
    landmarks = functional.smooth_l1_loss(astray, torch.zeros_like(astray), beta=0.01, reduction="none")
    return {
        "objectness": (objectness * counted).sum() / count,
        "class": quality / count,
        "box": 3.0 * (1 - similarity + penalty).sum() / count,
        "landmarks": LANDMARK_WEIGHT * (landmarks * counts).mean(-1).sum() / counts.sum().clamp(min=1),
    }


def assign(raw: Tensor, boxes: Tensor, cells: Cells, truth: Truth) -> Tensor:
    """(b,n) int64: the number of the face that a cell answers for, -1 for none. SimOTA; wants detached maps."""
    inside, central = _near(cells, truth)
    overlap = _iou(truth.boxes[:, :, None], boxes[:, None])
    overlap = overlap * (inside | central)
    score = (raw[..., 0].sigmoid() * raw[..., 1].sigmoid()).clamp(min=_TINY)
    cost = -0.5 * score.log()[:, None] - _IOU_WEIGHT * (overlap + _TINY).log()
    cost = cost + _NEAR * ~(inside & central) + _FAR * ~((inside | central) & truth.real[..., None])
    shares = overlap.topk(_CANDIDATES, dim=-1).values.sum(-1).int().clamp(min=1)
    cheapest = cost.topk(_CANDIDATES, dim=-1, largest=False)
    wins = torch.arange(_CANDIDATES, device=raw.device) < shares[..., None]
    wins = wins & (cheapest.values < _FAR)
    chosen = torch.zeros(cost.shape, dtype=torch.bool, device=raw.device).scatter_(-1, cheapest.indices, wins)
    best, owner = cost.masked_fill(~chosen, torch.inf).min(dim=1)
    return owner.masked_fill(torch.isinf(best), -1)


def _near(cells: Cells, truth: Truth) -> tuple[Tensor, Tensor]:
    """(b,m,n) each: cells whose middle lies in the face's box, and those near the box's middle."""
    centres = cells.centres
    low, high = truth.boxes[:, :, None, :2], truth.boxes[:, :, None, 2:]
    within = (centres > low) & (centres < high)
    close = (centres - (low + high) / 2).abs() < _CENTRE_CELLS * cells.strides
    return within[..., 0] & within[..., 1], close[..., 0] & close[..., 1]


def _covered(points: Tensor, boxes: Tensor) -> Tensor:
    """(b,n) bool: points (n,2) that lie in any of the boxes (b,k,4)."""
    within = (points > boxes[:, :, None, :2]) & (points < boxes[:, :, None, 2:])
    return (within[..., 0] & within[..., 1]).any(1)


def _iou(one: Tensor, two: Tensor) -> Tensor:
    shared = (torch.minimum(one[..., 2:], two[..., 2:]) - torch.maximum(one[..., :2], two[..., :2])).clamp(min=0)
    inter = shared[..., 0] * shared[..., 1]
    return inter / (_area(one) + _area(two) - inter + _TINY)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _eiou(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """IoU, and EIoU's penalty for middles, widths and heights that differ."""
    hull = torch.maximum(one[..., 2:], two[..., 2:]) - torch.minimum(one[..., :2], two[..., :2]) + _TINY
    middles = (one[..., :2] + one[..., 2:] - two[..., :2] - two[..., 2:]) / 2
    sizes = (one[..., 2:] - one[..., :2]) - (two[..., 2:] - two[..., :2])
    penalty = middles.square().sum(-1) / hull.square().sum(-1) + (sizes.square() / hull.square()).sum(-1)
    return _iou(one, two), penalty
