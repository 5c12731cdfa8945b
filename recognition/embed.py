"""Embedders without their session: faces -> crops -> the network's input, its raw outputs -> unit vectors.

Pure NumPy; runs on the CPU pool.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recognition.align import aligned_crops, facenet_crops
from recognition.arrays import F32, U8
from recognition.image import Image
from recognition.specs.spec import EmbedderSpec

LEAST_LENGTH = 1e-6  # of an embedding as the network gives it, which is about 1 to 30 long


def crops(spec: EmbedderSpec, image: Image, landmarks: F32) -> U8:
    """Faces (k,5,2) of an image, cut out as the spec's model knows them: (k,h,w,3) uint8 BGR."""
    if spec.crop == "facenet":
        return facenet_crops(image, landmarks, spec.input.size)
    return aligned_crops(image, landmarks)


def prepare(spec: EmbedderSpec, crops: U8) -> F32:
    """Crops (n,h,w,3) uint8 BGR, of the spec's input size -> (n,3,h,w) float32."""
    want = spec.input
    pixels = crops[..., ::-1] if want.color_order == "rgb" else crops
    tensor = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)
    tensor -= np.float32(want.mean)
    tensor *= np.float32(1 / want.std)
    return tensor


def parse(spec: EmbedderSpec, outputs: Sequence[list[F32]]) -> F32:
    """Each face's raw outputs -> (n,d) float32 unit vectors, d the spec's embedding size.

    A row of zeros, which resembles nobody, where the network gave NaN, infinity or next to nothing.
    """
    raw = np.empty((len(outputs), spec.embedding_size), np.float32)
    for row, output in zip(raw, outputs, strict=True):
        row[:] = output[0].reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(raw, axis=1, keepdims=True)
        sound = np.isfinite(lengths) & (lengths > LEAST_LENGTH)
        np.divide(raw, lengths, out=raw, where=sound)
    raw[~sound[:, 0]] = 0.0
    return raw


def usable(embeddings: F32) -> NDArray[np.bool_]:
    """Which of parse()'s rows (n,d) are unit vectors -> (n,)."""
    return np.asarray(embeddings.any(axis=1))


def norms(spec: EmbedderSpec, outputs: Sequence[list[F32]]) -> F32 | None:
    """How long each face's embedding was before it was made a unit vector, (n,) float32; None where it is not told.

    AdaFace's sign of quality: the longer, the better the network could make out the face.
    """
    if not spec.feature_norm:
        return None
    return np.array([output[1].reshape(-1)[0] for output in outputs], np.float32)


def lengths(spec: EmbedderSpec, outputs: Sequence[list[F32]]) -> F32:
    """(n,) float32: what parse()'s rows have to be multiplied by to be as long as the network itself has them.

    NaN or infinity where the network gave such.
    """
    told = norms(spec, outputs)
    if told is not None:
        return told
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array([np.linalg.norm(output[0].reshape(-1)) for output in outputs], np.float32)
