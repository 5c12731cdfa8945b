"""A loaded model held to its spec: the shapes that it takes and gives, and that a face in a batch is the face alone.

Blocks for a few runs of the network; any thread.
"""

import numpy as np

from recognition import detect, embed
from recognition.arrays import F32
from recognition.checks.spaces import probe_faces
from recognition.errors import SelfTestFailed
from recognition.image import ArrayImage
from recognition.runtimes.tensor_runner import TensorRunner, check_outputs
from recognition.specs.spec import DetectorSpec, EmbedderSpec

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
