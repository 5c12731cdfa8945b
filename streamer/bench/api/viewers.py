"""200 viewers of live events: what they cost the service, of one core, and how late they hear.

A running service goes in; events are put into its outbox at a steady rate, first with nobody who looks on, then with
all of them, who are a process of their own. On the benchmark's loop, which is the service's.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from ulid import ULID

from streamer.bench.api.load import Place, child, line_of
from streamer.bench.api.viewers_process import Watch
from streamer.events.event import SCHEMA, Due, IdentityEvent
from streamer.events.outbox import Outbox

PATH = "/api/v1/events/live"
VIEWERS, EVENTS_A_SECOND = 200, 10
_WITHIN_S = 60.0  # in which all are let in


async def run_viewers(outbox: Outbox, place: Place, seconds: float, viewers: int = VIEWERS) -> dict[str, Any]:
    """cpu_share: of one core, all that the process does; without: the same events, nobody looking on."""
    assert place.token is not None
    alone = await _told(outbox, seconds)
    watch: Watch = {"port": place.port, "path": place.path, "token": place.token, "viewers": viewers}
    async with child("streamer.bench.api.viewers_process", watch) as process:
        assert process.stdin is not None
        async with asyncio.timeout(_WITHIN_S):
            await line_of(process)
        watched = await _told(outbox, seconds)
        process.stdin.write(f"{viewers * watched.events}\n".encode())
        heard = json.loads(await line_of(process))
    return {
        "viewers": viewers,
        "events_per_s": EVENTS_A_SECOND,
        "cpu_share": round(watched.cpu_share, 3),
        "cpu_share_without": round(alone.cpu_share, 3),
        "lag_p50_ms": round(heard["p50_ms"], 1),
        "lag_p95_ms": round(heard["p95_ms"], 1),
        "lag_most_ms": round(heard["most_ms"], 1),
        "lost": viewers * watched.events - heard["messages"],
    }


@dataclass(frozen=True, slots=True)
class _Told:
    events: int
    cpu_share: float


async def _told(outbox: Outbox, seconds: float) -> _Told:
    """Events put for so long, at their rate whatever a put takes."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    events = round(seconds * EVENTS_A_SECOND)
    for number in range(events):
        outbox.put(Due(_event(), ("unknown",)))
        await asyncio.sleep(max(0.0, began_s + (number + 1) / EVENTS_A_SECOND - time.perf_counter()))
    return _Told(events, (time.process_time() - began_cpu_s) / (time.perf_counter() - began_s))


def _event() -> IdentityEvent:
    """Somebody whom nobody knows, now."""
    now = time.time()
    return IdentityEvent.model_validate(
        {
            "schema": SCHEMA,
            "event_id": str(ULID()),
            "seq": 1,
            "type": "new",
            "camera": "bench",
            "cameras": ["bench"],
            "track_ids": ["bench-1"],
            "person": None,
            "decision": "unknown",
            "similarity": 0.2,
            "threshold": 0.42,
            "confidence": None,
            "margin": None,
            "quality": 0.83,
            "box": [612, 140, 701, 262],
            "frame": {"width": 1280, "height": 720},
            "first_seen_at": now,
            "captured_at": now,
            "latency_ms": {"decode": 2.1, "queue": 0.8, "detect": 11.9, "embed": 6.2, "match": 0.3},
            "model": {"detector": "bench", "embedder": "bench", "signature": "bench"},
        }
    )
