"""/rerank of 200 candidates over HTTP: one client, one request after the other, as JSON is written by most.

A running service's address goes in, milliseconds come out; the faces are those of `bench --rerank`.
"""

import json
import time
from pathlib import Path
from typing import Any

from streamer.bench.api.load import Body, Place, ask_all
from streamer.bench.gallery.rerank import CANDIDATES, NUMBERS, faces

PATH = "/api/v1/rerank"
LIMIT_MS = 3.0
_PROBES, _CALLS, _ROUNDS = 8, 400, 3


async def run_rerank(place: Place, folder: Path) -> dict[str, Any]:
    """The best round's percentiles; cpu_ms: what this process, the service's, took for one. Raises BenchFailed."""
    bodies = bodies_in(folder)
    await ask_all(place, bodies, 50, clients=1)
    began_s = time.process_time()
    rounds = [await ask_all(place, bodies, _CALLS, clients=1) for _ in range(_ROUNDS)]
    cpu_ms = 1e3 * (time.process_time() - began_s) / (_ROUNDS * _CALLS)
    best = min(rounds, key=lambda one: one.p95_ms)
    return {
        "candidates": CANDIDATES,
        "numbers": NUMBERS,
        "kib": round(bodies[0].file.stat().st_size / 1024),
        "p50_ms": round(best.p50_ms, 2),
        "p95_ms": round(best.p95_ms, 2),
        "cpu_ms": round(cpu_ms, 2),
        "limit_ms": LIMIT_MS,
    }


def bodies_in(folder: Path) -> list[Body]:
    """Requests of a probe each: every number with all the digits that Python gives it. Blocks."""
    folder.mkdir()
    points = faces()
    candidates = [{"id": f"p{number:03d}", "embedding": point.tolist()} for number, point in enumerate(points[1:])]
    bodies = [Body(folder / f"{number}.json", "application/json") for number in range(_PROBES)]
    for number, body in enumerate(bodies):
        probe = points[0] if number == 0 else points[number] + points[0]
        body.file.write_text(json.dumps({"probe": probe.tolist(), "candidates": candidates, "threshold": None}))
    return bodies
