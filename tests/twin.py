"""A second embedder with real weights: nano_embed under another name, with an embedding space of its own."""

import shutil
from pathlib import Path

import yaml

from recognition.specs.files import bundled

TWIN = "nano_twin"


def write_twin(folder: Path, name: str = TWIN, **changes: object) -> str:
    """Write weights, spec and space into a folder that paths.models may name; the model's name."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(bundled("nano") / "nano_embed.onnx", folder / f"{name}.onnx")
    spec = yaml.safe_load((bundled("specs") / "face_embedding" / "nano_embed.yaml").read_text())
    space = yaml.safe_load((bundled("spaces") / "nano_embed.2.yaml").read_text())
    changed = spec | {"name": name, "space": f"{name}.1", "local_artifacts": [f"{name}.onnx"], **changes}
    for file, document in (
        (f"specs/face_embedding/{name}.yaml", changed),
        (f"spaces/{name}.1.yaml", space | {"name": f"{name}.1"}),
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(yaml.safe_dump(document))
    return name
