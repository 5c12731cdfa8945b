"""Networks with random weights for the tests of conversion and of PyTorch's runner; they need the extra `train`."""

import functools
from pathlib import Path

import numpy as np
import torch

from recognition import embed
from recognition.architectures import ARCHITECTURES, Architecture
from recognition.checks.parity import authors_input, face_crops
from recognition.checks.spaces import probe_faces
from recognition.specs.spec import EmbedderSpec
from recognition.zoo.convert import Engine, Precision, spec_for
from recognition.zoo.random_weights import random_network


def draft(architecture: Architecture, engine: Engine = "onnx", precision: Precision = "fp32") -> EmbedderSpec:
    """A spec as convert() begins with."""
    name, digest = architecture.name, "0" * 64
    return spec_for(architecture, name, f"{name}.1", digest, "a test", engine=engine, precision=precision)


@functools.cache
def network(name: str, seed: int = 0) -> torch.nn.Module:
    """The architecture of this name with weights from the seed."""
    architecture = ARCHITECTURES[name]
    return random_network(architecture, authors_input(architecture, face_crops(draft(architecture))), seed)


def saved(name: str, folder: Path) -> Path:
    """The file of weights of network(name); written where it is not there yet."""
    file = folder / f"{name}.pt"
    if not file.exists():
        torch.save(network(name).state_dict(), file)
    return file


def tensors(spec: EmbedderSpec) -> np.ndarray:
    """(13,3,h,w): real faces, those of the bundled portraits, and the drawn ones, as the spec prepares them."""
    return embed.prepare(spec, np.concatenate([face_crops(spec), probe_faces(spec.input.size)]))


def rows(outputs: list[np.ndarray]) -> list[list[np.ndarray]]:
    """A batch's outputs, face by face."""
    return [[output[place : place + 1] for output in outputs] for place in range(len(outputs[0]))]


def least_cosine(spec: EmbedderSpec, one: list[np.ndarray], other: list[np.ndarray]) -> float:
    """Between the embeddings in two batches' outputs, of the face where they differ most."""
    return float((embed.parse(spec, rows(one)) * embed.parse(spec, rows(other))).sum(axis=1).min())
