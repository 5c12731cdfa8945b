"""The service that runs with this data folder, asked over HTTP: what it says of itself, and what its metrics tell.

Runs on the loop. Settings go in, troubles come out; /readyz and /metrics are open to all and name nobody.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import httpx
from prometheus_client.parser import text_string_to_metric_families

from recognition.specs.devices import count_gpus
from streamer import __version__
from streamer.api.alive import host_from_here
from streamer.doctor.cures import Cures
from streamer.doctor.trouble import Severity, Trouble
from streamer.pipeline.camera import State
from streamer.settings import HttpSettings, Settings

ASK_WITHIN_S = 10.0
WAITS_S = 60.0
FULL_SHARE = 0.8
SKIPPED_SHARE, ENOUGH_FRAMES = 0.05, 1_000

_CAMERA_REASON = re.compile(rf"^(?:(?:{'|'.join(get_args(State))}): )?(\w+)")
_CODES = {
    "models": "model_fallback",
    "load": "overloaded",
    "certificate": "certificate_ends",
    "outbox": "outbox_damaged",
}
_FAULTS = {"broker": "broker_unreachable", "outbox": "outbox_unwritable", "tokens": "tokens_unreadable"}


@dataclass(frozen=True, slots=True)
class Answers:
    """`parts`: of /readyz, ok or not and why; `samples`: of /metrics, the sum over labels by name."""

    address: str
    parts: Mapping[str, tuple[bool, str]] = field(default_factory=dict)
    samples: Mapping[str, float] = field(default_factory=dict)
    by_label: Mapping[tuple[str, str], float] = field(default_factory=dict)
    version: str = ""


def address_of(http: HttpSettings) -> str | None:
    """Where a service of these settings is asked; None where nobody can tell: a port that is drawn, or no HTTP."""
    if not http.enabled or not http.port:
        return None
    host = host_from_here(http.host)
    return f"{'https' if http.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{http.port}"


async def ask(address: str) -> Answers | None:
    """None where nobody answers as a whosthere would."""
    try:
        # Its certificate is for others to trust; here it is asked by an address, which the name in it may not be.
        async with httpx.AsyncClient(base_url=address, timeout=ASK_WITHIN_S, verify=False, trust_env=False) as client:
            ready, metrics = await client.get("/readyz"), await client.get("/metrics")
            document: dict[str, Any] = ready.json()
        parts = {name: (bool(part["ok"]), str(part["reason"] or "")) for name, part in document["parts"].items()}
        samples, by_label, version = _samples(metrics.text)
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Answers(address, parts, samples, by_label, version)


def _samples(text: str) -> tuple[dict[str, float], dict[tuple[str, str], float], str]:
    sums, by_label, version = dict[str, float](), dict[tuple[str, str], float](), ""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix("whosthere_")
            sums[name] = sums.get(name, 0.0) + sample.value
            for value in sample.labels.values():
                by_label[name, value] = by_label.get((name, value), 0.0) + sample.value
            version = sample.labels.get("version", version) if name == "build_info" else version
    return sums, by_label, version


def troubles(answers: Answers, settings: Settings, cures: Cures) -> Iterator[Trouble]:
    """What the running service says is wrong, and what its figures say."""
    if answers.version and answers.version != __version__:
        detail = f"version {answers.version} runs, and {__version__} is installed"
        yield Trouble("warning", "service", "service_outdated", detail, cures.of("service_outdated"))
    for name, (is_ok, reason) in answers.parts.items():
        if not is_ok or reason:
            yield _of_part(name, is_ok, reason, cures)
    yield from _outbox(answers, settings, cures)
    yield from _counted(answers, cures)


def _of_part(name: str, is_ok: bool, reason: str, cures: Cures) -> Trouble:
    if name.startswith("camera ") and (found := _CAMERA_REASON.match(reason)):
        code = found[1]
    elif is_ok:
        code = _CODES.get(name, "to_look_at")
    else:
        code = _FAULTS.get(name, "not_ready")
    if "is refused" in reason and name == "broker":
        code = "broker_topic_refused"
    severity: Severity = "warning" if is_ok else "fault"
    if code == "model_fallback" and not count_gpus():
        severity = "hint"  # there is nothing else to run on
    return Trouble(severity, name, code, reason or "is not ok", cures.of(code, name))


def _outbox(answers: Answers, settings: Settings, cures: Cures) -> Iterator[Trouble]:
    depth, oldest_s = (answers.samples.get(name, 0.0) for name in ("outbox_depth", "outbox_oldest_seconds"))
    limit = settings.events.outbox_limit
    if depth > FULL_SHARE * limit:
        detail = f"{depth:.0f} messages wait for the broker, of {limit} (events.outbox_limit): soon the oldest are lost"
        yield Trouble("fault", "outbox", "outbox_filling", detail, cures.of("outbox_filling"))
    elif depth and oldest_s > WAITS_S:
        aside = answers.samples.get("outbox_set_aside", 0.0)
        detail = f"{depth:.0f} messages wait for the broker, the oldest for {oldest_s:.0f} s"
        detail += f"; of {aside:.0f} of them it refuses the topic" if aside else ""
        yield Trouble("warning", "outbox", "outbox_waiting", detail, cures.of("outbox_waiting"))


def _counted(answers: Answers, cures: Cures) -> Iterator[Trouble]:
    """Since the service was started."""
    if lost := answers.samples.get("outbox_dropped_total", 0.0):
        detail = f"{lost:.0f} messages were given up since it started: the outbox was full, or they were too old"
        yield Trouble("warning", "outbox", "outbox_dropped", detail, cures.of("outbox_dropped"))
    if lost := answers.samples.get("visits_lost_total", 0.0):
        detail = f"{lost:.0f} visits that were to be kept were not, since it started"
        yield Trouble("warning", "kept visits", "visits_lost", detail, cures.of("visits_lost"))
    frames = answers.samples.get("frames_total", 0.0)
    skipped = answers.by_label.get(("frames_total", "skipped"), 0.0)
    if frames > ENOUGH_FRAMES and skipped > SKIPPED_SHARE * frames:
        detail = f"{skipped / frames:.0%} of the frames since it started were skipped: the models don't keep up"
        yield Trouble("warning", "models", "frames_skipped", detail, cures.of("frames_skipped"))
