"""A loaded model held to its spec: the shapes that it takes and gives, and that a face in a batch is the face alone.

Blocks for a few runs of the network; any thread.
"""

import numpy as np
from numpy.typing import NDArray

from recognition import detect, embed
from recognition.errors import SelfTestFailed
from recognition.image import ArrayImage
from recognition.models.runner import TensorRunner
from recognition.models.spaces import probe_faces
from recognition.models.spec import DetectorSpec, EmbedderSpec, ModelSpec

F32 = NDArray[np.float32]

# Rounding alone stays far above; one activation scale shared over a batch (dynamic quantisation) falls below.
LEAST_BATCH_COSINE = 0.9999
_HALF_BATCH_COSINE = 0.999  # in half precision a batch's sums are taken in another order
_DETECTOR_TOLERANCE = 1e-3


def self_test(
    spec: DetectorSpec | EmbedderSpec, runner: TensorRunner, *, batched: bool, most: int | None = None
) -> str | None:
    """Run the drawn faces one at a time, and together where `batched`; how the two differ, or None.

    `most`: how many may run together, where there is memory for no more; None: all four.

    Raises SelfTestFailed where an output has the wrong shape or is not finite.
    """
    tensors = probe_tensors(spec)
    singles = [check_outputs(spec, runner.run(tensor[None])) for tensor in tensors]
    if not batched:
        return None
    singles, tensors = singles[:most], tensors[:most]
    together = check_outputs(spec, runner.run(tensors))
    rows = [[output[place : place + 1] for output in together] for place in range(len(tensors))]
    if isinstance(spec, EmbedderSpec):
        if together[0].shape != (len(tensors), spec.embedding_size):
            raise SelfTestFailed(f"model {spec.name}: a batch of {len(tensors)} gave {together[0].shape}")
        worst = float((embed.parse(spec, singles) * embed.parse(spec, rows)).sum(axis=1).min())
        if worst > (_HALF_BATCH_COSINE if spec.precision in ("fp16", "bf16") else LEAST_BATCH_COSINE):
            return None
        return f"a face in a batch is not the face alone (cosine {worst:.4f})"
    for single, row in zip(singles, rows, strict=True):
        for alone, shared in zip(single, row, strict=True):
            if alone.shape != shared.shape or not np.allclose(
                alone, shared, rtol=_DETECTOR_TOLERANCE, atol=_DETECTOR_TOLERANCE
            ):
                return "an image in a batch is not the image alone"
    return None


def probe_tensors(spec: DetectorSpec | EmbedderSpec) -> F32:
    """(4, 3, h, w): what differs most in range comes together in one batch."""
    if isinstance(spec, EmbedderSpec):
        return embed.prepare(spec, probe_faces(spec.input.size))
    faces = probe_faces()
    scenes = [np.tile(face, (1 + number, 2, 1)) for number, face in enumerate(faces)]
    return np.stack([detect.prepare(spec, ArrayImage(scene)).tensor for scene in scenes])


def output_widths(spec: ModelSpec) -> tuple[int, ...]:
    """How long the last axis of each raw output is, in the network's order: the spec's output schema."""
    if isinstance(spec, EmbedderSpec):
        return (spec.embedding_size, 1) if spec.feature_norm else (spec.embedding_size,)
    assert isinstance(spec, DetectorSpec)
    return tuple(width for width in detect.OUTPUT_WIDTHS[spec.family] for _ in detect.STRIDES)


def check_input(spec: ModelSpec, batch: F32) -> None:
    """Raises ValueError, which is a bug of ours, where this is no batch that the spec's network takes."""
    wide, high = spec.input.size
    sides, step = batch.shape[2:], spec.input.multiple
    fits = sides == (high, wide)
    if not fits and step is not None and len(sides) == 2:
        fits = all(0 < side <= most and not side % step for side, most in zip(sides, (high, wide), strict=True))
    if batch.ndim != 4 or batch.shape[1] != 3 or not fits or batch.dtype != np.float32:
        raise ValueError(f"model {spec.name}: want float32 (n, 3, {high}, {wide}), got {batch.dtype} {batch.shape}")


def check_widths(spec: ModelSpec, outputs: list[F32]) -> list[F32]:
    """The outputs as they came. Raises SelfTestFailed where they are not as many and as wide as the spec's."""
    widths = list(output_widths(spec))
    got = [output.shape[-1] if output.ndim else 0 for output in outputs]
    if got != widths:
        family = getattr(spec, "family", spec.role)
        raise SelfTestFailed(
            f"model {spec.name}: its outputs are {got} numbers wide, a {family} {spec.kind}'s {widths}; "
            "the spec's family or embedding_size is wrong"
        )
    return outputs


def check_outputs(spec: ModelSpec, outputs: list[F32]) -> list[F32]:
    """As check_widths(), and every number is finite."""
    check_widths(spec, outputs)
    if not all(np.isfinite(output).all() for output in outputs):
        raise SelfTestFailed(f"model {spec.name}: not all outputs are finite: bad weights or device")
    return outputs
