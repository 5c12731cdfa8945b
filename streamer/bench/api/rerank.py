"""/rerank of 200 candidates over HTTP: one client, one request after the other, in each form that embeddings may have.

A running service's address goes in, milliseconds come out; the faces are those of `bench --rerank`.
"""

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from recognition.arrays import F32
from streamer.bench.api.load import Body, Place, ask_all
from streamer.bench.gallery.rerank import CANDIDATES, NUMBERS, faces

PATH = "/api/v1/rerank"
LIMIT_MS = 3.0
# As Python writes numbers that were float32 once (20 letters each), as /embeddings writes them (11), as bytes.
FORMS: dict[str, Callable[[F32], object]] = {
    "all_digits": lambda one: one.tolist(),
    "float32_digits": lambda one: orjson.Fragment(orjson.dumps(one, option=orjson.OPT_SERIALIZE_NUMPY)),
    "base64": lambda one: base64.b64encode(one.astype("<f4").tobytes()).decode(),
}
_PROBES, _CALLS, _ROUNDS = 8, 400, 3


async def run_rerank(place: Place, folder: Path) -> dict[str, Any]:
    """Each form's best round; cpu_ms: what this process, the service's, took for one. Raises BenchFailed."""
    document: dict[str, Any] = {"candidates": CANDIDATES, "numbers": NUMBERS, "limit_ms": LIMIT_MS}
    for form in FORMS:
        bodies = bodies_in(folder / form, FORMS[form])
        await ask_all(place, bodies, 50, clients=1)
        began_s = time.process_time()
        rounds = [await ask_all(place, bodies, _CALLS, clients=1) for _ in range(_ROUNDS)]
        cpu_ms = 1e3 * (time.process_time() - began_s) / (_ROUNDS * _CALLS)
        best = min(rounds, key=lambda one: one.p95_ms)
        document[form] = {
            "kib": round(bodies[0].file.stat().st_size / 1024),
            "p50_ms": round(best.p50_ms, 2),
            "p95_ms": round(best.p95_ms, 2),
            "cpu_ms": round(cpu_ms, 2),
        }
    return document


def bodies_in(folder: Path, written: Callable[[F32], object]) -> list[Body]:
    """Requests of a probe each, and all candidates. Blocks."""
    folder.mkdir(parents=True)
    points = faces()
    candidates = [{"id": f"p{number:03d}", "embedding": written(point)} for number, point in enumerate(points[1:])]
    bodies = [Body(folder / f"{number}.json", "application/json") for number in range(_PROBES)]
    for number, body in enumerate(bodies):
        probe = points[0] if number == 0 else points[number] + points[0]
        asked = {"probe": written(probe), "candidates": candidates, "threshold": None}
        body.file.write_bytes(orjson.dumps(asked))
    return bodies
