"""The release before, out of git: a folder with its files, to measure it on the same input by the same program.

Blocks for as long as git takes. It runs on this Python with these libraries, so that its code alone is another one.
"""

import io
import subprocess
import tarfile
from pathlib import Path

COMMIT = "cb1c6e7"  # the last one whose gallery was neither encrypted nor audited
PROJECT = Path(__file__).resolve().parents[3]


def before(folder: Path, commit: str = COMMIT, project: Path = PROJECT) -> Path | None:
    """Its files under `folder`, unpacked on the first call; None where this is no checkout with that much history."""
    unpacked = folder / f"before-{commit}"
    ready = unpacked / ".ready"
    if ready.is_file():
        return unpacked
    try:
        done = subprocess.run(["git", "-C", str(project), "archive", commit], capture_output=True, check=False)
    except OSError:
        return None
    if done.returncode:
        return None
    unpacked.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(unpacked, filter="data")
    ready.touch()
    return unpacked
