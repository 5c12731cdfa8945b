"""`bench --rerank`: what re-ranking costs on one core, ours beside the plain version, on the same made-up faces.

Blocks for a few seconds. Measured in a process of its own, held to one core, whose libraries have one thread.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gallery.matching.rerank import Reranked, Reranker
from gallery.matching.rerank_kernel import Neighbourhood
from recognition.arrays import F32
from streamer.bench.gallery.before import PROJECT
from streamer.bench.gallery.plain_rerank import plain_scores
from streamer.errors import BenchFailed

CANDIDATES, NUMBERS = 200, 512
LIMIT_MS = 1.0
_EACH = 5  # faces of a person
_CALLS, _PLAIN_CALLS, _ROUNDS = 200, 3, 5


def run_rerank() -> dict[str, Any]:
    """The key `rerank` of the machine-readable output. Raises BenchFailed."""
    variables = {**os.environ, "PYTHONPATH": str(PROJECT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-W", "ignore", __file__]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise BenchFailed(f"re-ranking's part of the benchmark failed: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured() -> dict[str, Any]:
    """The best round's median of each, and by how much their scores differ at most."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    points = faces()
    ids, reranker, paper = [f"p{number:03d}" for number in range(CANDIDATES)], Reranker(), Neighbourhood()

    def ours() -> Reranked:
        return reranker.rerank(points[0], ids, points[1:])

    def plain() -> list[float]:
        return list(map(float, plain_scores(points, paper.k1, paper.k2, paper.original_share)))

    scores = {score.id: score.score for score in ours().scores}
    difference = max(abs(scores[one] - other) for one, other in zip(ids, plain(), strict=True))
    ours_ms = min(_median_ms(ours, _CALLS) for _ in range(_ROUNDS))
    plain_ms = min(_median_ms(plain, _PLAIN_CALLS) for _ in range(_ROUNDS))
    return {
        "candidates": CANDIDATES,
        "numbers": NUMBERS,
        "ours_ms": round(ours_ms, 3),
        "plain_ms": round(plain_ms, 1),
        "limit_ms": LIMIT_MS,
        "ratio_to_plain": round(plain_ms / ours_ms, 1),
        "largest_difference": float(f"{difference:.1g}"),
    }


def faces() -> F32:
    """(1 + CANDIDATES, NUMBERS): the probe first."""
    rng = np.random.default_rng(4)
    people = rng.standard_normal((CANDIDATES // _EACH, NUMBERS))
    faces = people[np.arange(1 + CANDIDATES) % len(people)] + rng.standard_normal((1 + CANDIDATES, NUMBERS))
    return np.asarray(faces / np.linalg.norm(faces, axis=1, keepdims=True), np.float32)


def _median_ms(work: Callable[[], object], calls: int) -> float:
    took_ms = []
    for _ in range(calls):
        began_s = time.perf_counter()
        work()
        took_ms.append(1000.0 * (time.perf_counter() - began_s))
    return float(np.median(took_ms))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured()) + "\n")
