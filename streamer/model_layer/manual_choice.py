"""What `models use` chose: a small file in the data folder, written by the CLI and followed by the running service.

Blocks for a small read or write; any thread.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recognition.whole_file import replacing
from streamer.errors import DataFolderUnwritable

AUTO = "auto"  # for a name: the selector chooses

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The embedder that somebody chose by hand; None: the selector chooses."""

    embedder: str | None = None


def read_choice(path: Path) -> ModelChoice:
    """Nothing was chosen where there is no such file, or a broken one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["embedder"]
    except (OSError, ValueError, KeyError, TypeError):
        return ModelChoice()
    return ModelChoice(found if isinstance(found, str) else None)


def write_choice(path: Path, choice: ModelChoice) -> None:
    """Put it in the place of what was chosen before. Raises DataFolderUnwritable."""
    replace_json(path, {"embedder": choice.embedder})


def replace_json(path: Path, document: dict[str, object]) -> None:
    """Write a JSON file whole or not at all, for this user alone. Raises DataFolderUnwritable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replacing(path) as file:
            file.write(json.dumps(document, indent=2).encode() + b"\n")
    except OSError as error:
        raise DataFolderUnwritable(
            f"{path} can't be written ({error.strerror}); make paths.data writable, or make room there"
        ) from None


def answers(document: Document, chosen: str | None) -> bool:
    """Whether this is what the service has to say of the choice: it is followed, or refused."""
    if document.get("by_hand") != chosen:
        return False
    refused = document.get("by_hand_refused") is not None
    return chosen is None or refused or document["embedder"]["name"] == chosen
