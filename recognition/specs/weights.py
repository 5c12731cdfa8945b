"""Weights: a spec and a list of folders in, its files or their verified bytes out. Blocks for the reads.

The bytes that were hashed are the bytes that get loaded: a file swapped in between changes nothing.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from recognition.errors import WeightsDigestMismatch, WeightsMissing
from recognition.specs.files import bundled
from recognition.specs.spec import ModelSpec


def find_artifacts(spec: ModelSpec, folders: Sequence[Path]) -> list[Path]:
    """The files that the spec names, each in the first folder that has it, or among our own. Raises WeightsMissing."""
    if spec.weights_digest is None:
        raise WeightsMissing(f"model {spec.name}: its weights have to be made here first, out of {spec.source}")
    return [_find(spec, name, folders) for name in spec.local_artifacts]


def find_weights(spec: ModelSpec, folders: Sequence[Path]) -> Path:
    """The first of the spec's files. Raises WeightsMissing."""
    return find_artifacts(spec, folders)[0]


def _find(spec: ModelSpec, name: str, folders: Sequence[Path]) -> Path:
    for folder in (*folders, bundled("nano")):
        if (folder / name).exists():
            return folder / name
    searched = ", ".join(str(folder) for folder in folders) or "no folder at all"
    raise WeightsMissing(
        f"model {spec.name}: weights {name} not found in {searched}; get them from {spec.source}, "
        "and put them into a folder that paths.models names"
    )


def read_weights(spec: ModelSpec, folders: Sequence[Path]) -> bytes:
    """The verified bytes of the spec's one file. Raises WeightsMissing and WeightsDigestMismatch."""
    path = find_weights(spec, folders)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(spec, path, error) from None
    _compare(spec, hashlib.sha256(data).hexdigest(), f"{path} ({len(data)} bytes)")
    return data


def verify_artifacts(spec: ModelSpec, folders: Sequence[Path]) -> list[Path]:
    """The spec's files, their content held to its digest. Raises WeightsMissing and WeightsDigestMismatch."""
    paths = find_artifacts(spec, folders)
    try:
        found = digest_of(paths)
    except OSError as error:
        raise _unreadable(spec, paths[0], error) from None
    _compare(spec, found, ", ".join(map(str, paths)))
    return paths


def digest_of(paths: Sequence[Path]) -> str:
    """SHA-256 (hex) of a file; of several, or of a folder, that of the lines `digest  name` of all files, by name.

    Remembered for as long as size and time of change stay what they are. Raises OSError.
    """
    if len(paths) == 1 and paths[0].is_file():
        return _remembered(paths[0])
    files = {path.name: path for path in paths if path.is_file()}
    for folder in (path for path in paths if path.is_dir()):
        files.update({str(file.relative_to(folder.parent)): file for file in folder.rglob("*") if file.is_file()})
    lines = [f"{_remembered(files[name])}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _remembered(file: Path) -> str:
    state = file.stat()
    return _digest(file, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compare(spec: ModelSpec, digest: str, what: str) -> None:
    if digest != spec.weights_digest:
        raise WeightsDigestMismatch(
            f"model {spec.name}: weights {what} have sha256 {digest[:12]}…, the spec says {spec.short_digest}…: cut "
            f"short, altered or another model; get them again from {spec.source}"
        )


def _unreadable(spec: ModelSpec, path: Path, error: OSError) -> WeightsMissing:
    return WeightsMissing(f"model {spec.name}: weights {path} can't be read ({error.strerror}); check its permissions")
