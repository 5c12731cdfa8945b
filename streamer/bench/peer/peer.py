"""Makes the peer's environment under .bench/, runs its loop there, and reads what it found.

Blocks for as long as pip and the loop take: call it off the loop. The peer is the insightface package's
FaceAnalysis (det_size 640x640) over OpenCV's VideoCapture, with the same weights files as ours; over HTTP it is
api/peer_app.py, in the same environment.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamer.errors import BenchFailed

PACKAGES = ("insightface>=2.1,<3", "onnxruntime>=1.31,<2", "fastapi<1", "uvicorn<1", "python-multipart<1")


@dataclass(frozen=True, slots=True, eq=False)
class PeerRun:
    """What the loop found: m faces over all frames. frame (m,) int64; box (m,4) xyxy px; embedding (m,d)."""

    frames: int
    seconds: float
    cpu_seconds: float
    frame: NDArray[np.int64]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    embedding: NDArray[np.float32]


def run_peer(folder: Path, clip: Path, weights: list[Path], say: Callable[[str], None]) -> PeerRun:
    """Run the peer's loop over a clip. `folder` is .bench/, kept for the next time. Raises BenchFailed."""
    python = peer_python(folder, say)
    root = lay_weights(folder, weights)
    answer = folder / "peer.npz"
    program = Path(__file__).with_name("peer_loop.py")
    loop = [str(python), "-P", "-W", "ignore", str(program), str(root), str(clip), str(answer)]
    command = ["env", "ORT_DISABLE_TELEMETRY=1", *loop]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode != 0:
        raise BenchFailed(f"the peer's loop failed: {done.stderr.strip().splitlines()[-1:] or 'no output'}")
    times = json.loads(done.stdout.strip().splitlines()[-1])
    found = np.load(answer)
    return PeerRun(
        frames=times["frames"],
        seconds=times["seconds"],
        cpu_seconds=times["cpu_seconds"],
        frame=found["frame"],
        box=found["box"],
        score=found["score"],
        embedding=found["embedding"],
    )


def lay_weights(folder: Path, weights: list[Path]) -> Path:
    """Put them where FaceAnalysis(name="bench") finds them; its root."""
    models = folder / "insightface" / "models" / "bench"
    shutil.rmtree(models, ignore_errors=True)
    models.mkdir(parents=True)
    for file in weights:
        (models / file.name).symlink_to(file.resolve())
    return folder / "insightface"


def peer_python(folder: Path, say: Callable[[str], None]) -> Path:
    """The Python of .bench/venv, made on the first call. Raises BenchFailed."""
    python = folder / "venv" / "bin" / "python"
    ready = folder / "venv" / "ready"
    if ready.is_file() and ready.read_text() == " ".join(PACKAGES):
        return python
    say("making the peer's environment (a minute, once)")
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder / "venv")],
        [str(python), "-m", "pip", "install", "--quiet", *PACKAGES],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise BenchFailed(f"the peer's environment can't be made ({last}); check the network to the package index")
    ready.write_text(" ".join(PACKAGES))
    return python
