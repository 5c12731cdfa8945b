"""What `models use` chose: a small file in the data folder, written by the CLI and followed by the running service.

Blocks for a small read or write; any thread.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import DataFolderUnwritable


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
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):  # a disk that can't be written refuses that, too
            part.unlink()
        raise DataFolderUnwritable(
            f"{path} can't be written ({error.strerror}); make paths.data writable, or make room there"
        ) from None
