"""Published checkpoints: a file of PyTorch weights in, an architecture's tensors out, each held against its manifest.

Blocks for the read. Nothing in the file is run: PyTorch reads tensors alone, and what else training left there (its
callbacks, its settings) becomes empty objects. Needs the extra `train`.
"""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recognition.architectures import ARCHITECTURES, Architecture, Shape
from recognition.errors import CheckpointInvalid, WeightsMissing
from recognition.runtimes.torch_memory import is_shortage

# What reading a file that is damaged, or is something else, was seen to raise.
_DAMAGE = (
    AssertionError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)
# Where Lightning (AdaFace) and arcface_torch's own training put the weights.
_WRAPPERS = ("state_dict", "state_dict_backbone")
_PREFIXES = ("module.", "model.")
_COUNTER = ".num_batches_tracked"  # of no use but to training, and older files have none
_NAMED = 3


class _Empty:
    """Stands in for a class of the file that is not loaded."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def read_checkpoint(file: Path, architecture: Architecture) -> dict[str, torch.Tensor]:
    """The float32 tensors of the architecture's state dict, without those that it may do without.

    Raises WeightsMissing, and CheckpointInvalid, which names the first layers that do not fit. Too little memory is
    raised as it comes (torch_memory.py).
    """
    tensors = weights_of(_load(file))
    if not tensors:
        raise CheckpointInvalid(f"{file}: holds no tensors by name; save the state_dict() of its network")
    manifest = architecture.manifest()
    _hold(file, tensors, architecture)
    chosen = {}
    for name in manifest.tensors:
        tensor = tensors.get(name, torch.zeros((), dtype=torch.int64))
        chosen[name] = tensor if name.endswith(_COUNTER) else tensor.float()
        if not torch.isfinite(chosen[name]).all():
            raise CheckpointInvalid(f"{file}: {name} is not finite: bad weights; get them again")
    return chosen


def weights_of(tree: object) -> dict[str, torch.Tensor]:
    """The tensors by their published names, out of what wraps them; empty where there are none."""
    for wrapper in _WRAPPERS:
        if isinstance(tree, Mapping) and isinstance(tree.get(wrapper), Mapping):
            tree = tree[wrapper]
    if not isinstance(tree, Mapping):
        return {}
    tensors = {name: part for name, part in tree.items() if isinstance(name, str) and isinstance(part, torch.Tensor)}
    for prefix in (*_PREFIXES, *_PREFIXES):
        within = {name.removeprefix(prefix): part for name, part in tensors.items() if name.startswith(prefix)}
        # What is beside the network (AdaFace's `head.kernel`) goes with the prefix.
        tensors = within or tensors
    return tensors


def mismatches(found: Mapping[str, Shape], architecture: Architecture) -> list[str]:
    """What does not fit the architecture, in words and in its order; empty where all does."""
    manifest = architecture.manifest()
    wanted = {**manifest.tensors, **manifest.optional}
    told = []
    for name, shape in wanted.items():
        if name in found and found[name] != shape:
            told.append(f"{name} is {_by(found[name])}, not {_by(shape)}")
        elif name not in found and name not in manifest.optional and not name.endswith(_COUNTER):
            told.append(f"{name} is missing")
    return told + [f"{name} is not in it" for name in found if name not in wanted]


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a number"


def _hold(file: Path, tensors: Mapping[str, torch.Tensor], architecture: Architecture) -> None:
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = mismatches(found, architecture)
    if not wrong:
        return
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    fits = [name for name, other in ARCHITECTURES.items() if not mismatches(found, other)]
    advice = f"it fits {' and '.join(fits)}" if fits else "it is of no architecture that is known here"
    raise CheckpointInvalid(f"{file}: is no {architecture.name}: {', '.join(wrong[:_NAMED])}{more}; {advice}")


def _load(file: Path) -> object:
    if not file.is_file():
        raise WeightsMissing(f"{file}: there is no such file; check the path")
    try:
        with torch.serialization.safe_globals(_stand_ins(file)):
            tree: object = torch.load(file, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        if is_shortage(error):
            raise
        reason = str(error).partition("\n")[0][:120] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError) and "blocked" in str(error):
            raise CheckpointInvalid(f"{file}: holds code to run, which is never done; do not use this file") from None
        if _begins_as_zip(file) and not zipfile.is_zipfile(file):
            raise CheckpointInvalid(f"{file}: is cut short or damaged; get it again") from None
        raise CheckpointInvalid(f"{file}: is no PyTorch checkpoint that can be read safely ({reason})") from None
    return tree


def _stand_ins(file: Path) -> list[Any]:
    """For each class in the file that PyTorch would not load: an empty one under its name."""
    if not zipfile.is_zipfile(file):
        return []
    names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    return [(type(name.rpartition(".")[2], (_Empty,), {}), name) for name in names]


def _begins_as_zip(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(2) == b"PK"
