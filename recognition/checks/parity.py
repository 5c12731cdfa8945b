"""Whether a converted network, fed as its spec says, answers as PyTorch does when fed as the network's authors say.

Real faces, the bundled portraits, go through both. Blocks for about thirty runs of the network.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from recognition import embed
from recognition.architectures import Architecture
from recognition.arrays import F32, U8
from recognition.checks.portraits import looks, read_portraits
from recognition.errors import SelfTestFailed
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.specs.spec import EmbedderSpec

LEAST_COSINE = 0.9999
# fp16 keeps 11 bits of each number, bf16 8; from here on templates of both forms are of one space (spaces.py).
LEAST_HALF_COSINE = 0.999
_NORM_TOLERANCE = 1e-3
_HALF_NORM_TOLERANCE = 2e-2


@dataclass(frozen=True, slots=True)
class Parity:
    """The least cosine over the faces, and what it must reach; the same with the channels swapped on the way in.

    `norm_error`: the greatest relative error of the feature norm; None where there is none.
    """

    faces: int
    least_cosine: float
    bound: float
    swapped_cosine: float
    norm_error: float | None


def face_crops(spec: EmbedderSpec) -> U8:
    """Each portrait, and the known person in other looks, cut out as the spec says: (n,h,w,3) uint8 BGR."""
    portraits = read_portraits()
    known = next(portrait for portrait in portraits if portrait.name is not None)
    shown = [(portrait.image(), portrait.landmarks) for portrait in portraits]
    shown += [(look.image, look.landmarks) for look in looks(known)]
    return np.concatenate([embed.crops(spec, image, landmarks[None]) for image, landmarks in shown])


def authors_input(architecture: Architecture, crops: U8) -> torch.Tensor:
    """Crops (n,h,w,3) uint8 BGR -> (n,3,h,w) float32, as the family's authors write it, apart from any spec."""
    bgr = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    if architecture.family == "adaface":
        return (bgr / 255 - 0.5) / 0.5
    rgb = bgr.flip(1)
    return (rgb / 255 - 0.5) / 0.5 if architecture.family == "arcface" else (rgb - 127.5) / 128


def check_parity(architecture: Architecture, net: nn.Module, spec: EmbedderSpec, runner: TensorRunner) -> Parity:
    """`net` in float32 on the CPU against `runner` in the spec's precision.

    Raises SelfTestFailed where the two differ, and where not even swapped channels would make them differ.
    """
    full = spec.precision == "fp32"
    crops = face_crops(spec)
    with torch.no_grad():
        answers = [net(face[None]) for face in authors_input(architecture, crops)]
    parts = [answer if isinstance(answer, tuple) else (answer,) for answer in answers]
    raw = [[part.numpy() for part in answer] for answer in parts]
    expected = embed.parse(spec, raw)
    outputs = [runner.run(face[None]) for face in embed.prepare(spec, crops)]
    swapped = [runner.run(face[None]) for face in embed.prepare(spec, np.ascontiguousarray(crops[..., ::-1]))]
    parity = Parity(
        faces=len(crops),
        least_cosine=_least_cosine(expected, embed.parse(spec, outputs)),
        bound=LEAST_COSINE if full else LEAST_HALF_COSINE,
        swapped_cosine=_least_cosine(expected, embed.parse(spec, swapped)),
        norm_error=_norm_error(embed.norms(spec, raw), embed.norms(spec, outputs)),
    )
    _judge(spec, parity, _NORM_TOLERANCE if full else _HALF_NORM_TOLERANCE)
    return parity


def _judge(spec: EmbedderSpec, parity: Parity, norm_tolerance: float) -> None:
    form = f"converted ({spec.engine}, {spec.precision})"
    if not parity.least_cosine >= parity.bound:
        raise SelfTestFailed(
            f"model {spec.name}: {form}, it is not what it was in PyTorch (cosine {parity.least_cosine:.5f} on the "
            f"worst of {parity.faces} faces, want {parity.bound}); nothing was written"
        )
    if parity.norm_error is not None and not parity.norm_error <= norm_tolerance:
        raise SelfTestFailed(
            f"model {spec.name}: {form}, its feature norm is off by {parity.norm_error:.1%}; nothing was written"
        )
    if not parity.swapped_cosine < parity.bound:
        raise SelfTestFailed(
            f"model {spec.name}: it answers alike with red and blue swapped (cosine {parity.swapped_cosine:.5f}), so "
            "that nothing can be told of it: was it trained at all? Nothing was written"
        )


def _least_cosine(one: F32, other: F32) -> float:
    """0 where an embedding is not finite: parse() makes zeros of it."""
    return float((one * other).sum(axis=1).min())


def _norm_error(expected: F32 | None, got: F32 | None) -> float | None:
    if expected is None or got is None:
        return None
    return float(np.abs(got / expected - 1).max())
