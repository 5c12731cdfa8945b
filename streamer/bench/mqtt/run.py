"""How fast the outbox drains to a real mosquitto, in clear and through TLS, beside a bare client that sends the same.

Made-up events go in; events a second and CPU time of each come out. On the benchmark's loop.
"""

import asyncio
import secrets
import ssl
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import psutil
from aiomqtt import Client, ProtocolVersion

from streamer.bench.calm import others_share
from streamer.bench.mqtt.mosquitto import mosquitto
from streamer.bench.parts import Parts
from streamer.events.event import Due, EventType, FrameSize, IdentityEvent, LatencyMs, Models, Person
from streamer.events.outbox import Outbox
from streamer.mqtt.publisher import Publisher
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics

Way = Literal["plain", "tls"]

EVENTS = 6_000
ROUNDS = 3
CAMERAS, PEOPLE = 8, 50
WINDOW = 20  # messages under way, as mosquitto lets there be
DRAINED_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Rate:
    """per_s: events a second; cpu_us: CPU time of this process for one, in microseconds (the broker has its own)."""

    per_s: float
    cpu_us: float


async def run_mqtt(folder: Path, parts: Parts, events: int = EVENTS, rounds: int = ROUNDS) -> dict[str, Any]:
    """{"mqtt": {"events", "plain": {...}, "tls": {...}}}, a way that failed is None; `folder` is there."""
    document: dict[str, Any] = {"events": events, "plain": None, "tls": None}
    await parts.run("mosquitto", _both_ways(folder, parts, rounds, made_up(events), document))
    return {"mqtt": document}


async def _both_ways(folder: Path, parts: Parts, rounds: int, dues: list[Due], document: dict[str, Any]) -> None:
    """Into `document`. Raises BenchFailed without a broker."""
    with mosquitto(folder) as (ways, pid):
        for way, mqtt in ways.items():
            parts.say(f"outbox: {len(dues)} events to mosquitto, {way}, {rounds} times")
            document[way] = await parts.run(f"outbox, {way}", _one_way(mqtt, dues, folder, rounds, pid))
            parts.say(f"  {document[way]}")


async def _one_way(mqtt: MqttSettings, dues: list[Due], folder: Path, rounds: int, pid: int) -> dict[str, Any]:
    began = _cpu_s(pid)
    ours, bare = [], []
    for _ in range(rounds):
        ours.append(await _drained(mqtt, dues, folder))
        bare.append(await _bare(mqtt, dues))
    return {
        "ours": asdict(_middle(ours)),
        "bare": asdict(_middle(bare)),
        "best_per_s": round(max(one.per_s for one in ours)),
        "others_share": round(others_share(began, _cpu_s(pid)), 3),
    }


def _cpu_s(broker: int) -> tuple[float, float, float]:
    """Of the machine, of nobody, and of us with the broker."""
    times, its = psutil.cpu_times(), psutil.Process(broker).cpu_times()
    return sum(times), times.idle + getattr(times, "iowait", 0.0), time.process_time() + its.user + its.system


def made_up(count: int) -> list[Due]:
    """Visits of three messages each, of people before cameras, in turn; a third of them nobody knows."""
    kinds: tuple[EventType, ...] = ("new", "update", "end")
    return [
        _due(f"{number // 3:026d}", number % 3 + 1, kinds[number % 3], number // 3, time.time())
        for number in range(count)
    ]


def _due(event_id: str, seq: int, kind: EventType, visit: int, at: float) -> Due:
    person = None if visit % 3 == 0 else f"p{visit % PEOPLE:012d}"
    camera = f"camera-{visit % CAMERAS}"
    event = IdentityEvent(
        event_id=event_id,
        seq=seq,
        type=kind,
        camera=camera,
        cameras=[camera],
        track_ids=[f"{camera}-{visit}"],
        person=Person(id=person) if person else None,
        similarity=0.71 if person else None,
        threshold=0.42,
        confidence=0.98 if person else None,
        margin=0.33,
        quality=0.83,
        box=(612, 140, 701, 262),
        frame=FrameSize(width=1280, height=720),
        first_seen_at=at - 0.4,
        captured_at=at,
        end_reason="left" if kind == "end" else None,
        latency_ms=LatencyMs(decode=2.1, queue=0.8, detect=11.9, embed=6.2, match=0.3),
        model=Models(detector="nano_det", embedder="nano_embed", signature="f73dfea757461fd1"),
        decision="known" if person else "unknown",
    )
    return Due(event, (person or "unknown",))


async def _drained(mqtt: MqttSettings, dues: list[Due], folder: Path) -> Rate:
    """What waits on the disk, from the connection on until the broker has acknowledged the last of it."""
    metrics = Metrics()
    file = folder / f"{secrets.token_hex(6)}.db"
    async with Outbox(file, limit=len(dues), max_age_s=3600.0, metrics=metrics, buffer_limit=len(dues)) as outbox:
        for due in dues:
            outbox.put(due)
        await outbox.flush()
        publisher = Publisher(mqtt, outbox, lambda person_id: f"Name of {person_id}", metrics)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publisher.run(), name="publisher")
            while not publisher.connected:  # noqa: ASYNC110 (a property, and the first thing that happens)
                await asyncio.sleep(0.001)
            started_s, started_cpu_s = time.perf_counter(), time.process_time()
            await publisher.stop(DRAINED_WITHIN_S)
            rate = _rate(len(dues), started_s, started_cpu_s)
    file.unlink()
    return rate


async def _bare(mqtt: MqttSettings, dues: list[Due]) -> Rate:
    """The same payloads by aiomqtt alone, as many under way at once."""
    context = None if mqtt.tls is None else ssl.create_default_context(cafile=mqtt.tls.ca)
    topics = [f"bench/cameras/{due.event.camera}/identity/{due.levels[0]}" for due in dues]
    payloads = [due.event.model_dump_json(by_alias=True).encode() for due in dues]
    left = iter(zip(topics, payloads, strict=True))
    async with Client(mqtt.host, mqtt.port, protocol=ProtocolVersion.V5, tls_context=context) as client:
        client.pending_calls_threshold = len(dues)

        async def send() -> None:
            for topic, payload in left:
                await client.publish(topic, payload, qos=1)

        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WINDOW):
                tasks.create_task(send(), name="bare client")
        return _rate(len(dues), started_s, started_cpu_s)


def _rate(count: int, started_s: float, started_cpu_s: float) -> Rate:
    return Rate(count / (time.perf_counter() - started_s), (time.process_time() - started_cpu_s) / count * 1e6)


def _middle(rates: list[Rate]) -> Rate:
    return Rate(round(median(one.per_s for one in rates), 1), round(median(one.cpu_us for one in rates), 1))
