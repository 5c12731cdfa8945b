"""A disk of a few MiB that a test can fill: a tmpfs of its own, unmounted and gone at the end."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(mib: int) -> Iterator[Path]:
    """Not in tmp_path, which other runs of pytest clean up while it is mounted. Skips where nobody may mount.

    What a gallery there has beside its data folder, the key, goes with it.
    """
    with tempfile.TemporaryDirectory(prefix="small-disk-") as around:
        folder = f"{around}/disk"
        Path(folder).mkdir()
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", folder]
        try:
            subprocess.run(mounting, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to mount a tmpfs")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Takes all room there is; delete the file that comes back to have it again."""
    hog = folder / "hog"
    with hog.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return hog
