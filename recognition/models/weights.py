"""Weights files: a spec and a list of folders in, the file's verified bytes out. Blocks for the read.

The bytes that were hashed are the bytes that get loaded: a file swapped in between changes nothing.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from recognition.errors import WeightsDigestMismatch, WeightsMissing
from recognition.models.spec import ModelSpec, bundled


def find_weights(spec: ModelSpec, folders: Sequence[Path]) -> Path:
    """The file that the spec names, in the first folder that has it, or among our own. Raises WeightsMissing."""
    for folder in (*folders, bundled("nano")):
        if (folder / spec.file).is_file():
            return folder / spec.file
    searched = ", ".join(str(folder) for folder in folders) or "no folder at all"
    raise WeightsMissing(
        f"model {spec.name}: weights {spec.file} not found in {searched}; get them from {spec.source}, "
        "and put them into a folder that paths.models names"
    )


def read_weights(spec: ModelSpec, folders: Sequence[Path]) -> bytes:
    """The verified bytes of the spec's weights. Raises WeightsMissing and WeightsDigestMismatch."""
    path = find_weights(spec, folders)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsMissing(
            f"model {spec.name}: weights {path} can't be read ({error.strerror}); check its permissions"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != spec.weights_digest:
        raise WeightsDigestMismatch(
            f"model {spec.name}: weights {path} ({len(data)} bytes) have sha256 "
            f"{digest[:12]}…, the spec says {spec.short_digest}…: cut short, altered or another model; get "
            f"them again from {spec.source}"
        )
    return data
