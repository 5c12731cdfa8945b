"""An architecture's name in, a model with random weights in a folder out: for figures of time and memory alone.

Blocks for up to a minute: the network is drawn, set by faces, and converted as a checkpoint would be. Extra `train`.
"""

from collections.abc import Callable
from pathlib import Path

from recognition.architectures import Architecture
from recognition.specs.spec import EmbedderSpec
from recognition.zoo.convert import Engine, convert, need_torch, spec_for


def write_random_model(
    architecture: Architecture,
    folder: Path,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
    *,
    engine: Engine = "onnx",
) -> EmbedderSpec:
    """The spec of a model of this architecture that knows nobody; all its files lie in `folder`.

    Raises what convert() raises.
    """
    need_torch(engine)
    import torch

    from recognition.checks.parity import authors_input, face_crops
    from recognition.zoo.random_weights import random_network

    name = architecture.name
    tell(f"drawing random weights for {name}")
    faces = authors_input(architecture, face_crops(spec_for(architecture, name, f"{name}.1", None, "random weights")))
    checkpoint = folder / f"{name}.pt"
    torch.save(random_network(architecture, faces, seed).state_dict(), checkpoint)
    try:
        return convert(checkpoint, architecture, folder, known={}, engine=engine, tell=tell).spec
    finally:
        checkpoint.unlink()
