"""How long a scrape takes and how large it is; a table in Markdown on stdout.

    python scripts/measure-scrape.py [--cameras 200] [--scrapes 50]

The service's own metrics and HTTP server in this process, asked over loopback by another one, 50 times a second.
`usual`: what pulled cameras count on a good day; `everything`: every outcome, code and reason that one can have,
pulled and published to, watched, in trouble: no real camera has all of them. Time: from the request to the last
byte of the answer, packed as Prometheus asks for it. Processor: of making and packing the text. Blocks for seconds.
"""

import argparse
import asyncio
import gzip
import json
import statistics
import sys
import time
from urllib.request import Request, urlopen

from prometheus_client import Histogram

from streamer.access.guard import Guard
from streamer.access.live_tokens import LiveTokens
from streamer.api.application import create_app
from streamer.api.server import serve_http
from streamer.pipeline.camera_trouble import WORDS
from streamer.readiness import Readiness
from streamer.settings import Settings
from streamer.telemetry.metrics import STAGES, Metrics

PAUSE_S = 0.02
FRAMES = ("processed", "dropped", "shed", "failed")
PACKETS = ("received", "lost", "late", "duplicate", "refused")


class Measured:
    """As much of a service as /metrics needs."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.guard = Guard(LiveTokens(Settings().tokens_path), metrics)

    def readiness(self) -> Readiness:
        return Readiness((), ())


def fill(metrics: Metrics, cameras: int, *, everything: bool) -> Metrics:
    for camera in (f"camera-{number:03}" for number in range(cameras)):
        metrics.camera_up.labels(camera=camera).set(1)
        metrics.camera_state.labels(camera=camera, state="online", reason="").set(1)
        metrics.viewers.labels(camera=camera).set(0)
        metrics.camera_trouble.labels(camera=camera, reason="black").set(0)
        metrics.face_quality.labels(camera=camera).observe(0.7)
        metrics.faces_detected.labels(camera=camera).inc(123456)
        for outcome in (*FRAMES, "skipped", "held_back") if everything else FRAMES:
            metrics.frames.labels(camera=camera, outcome=outcome).inc(12345678)
        if everything:
            _fill_rare(metrics, camera)
    for name, metric in vars(metrics).items():
        if isinstance(metric, Histogram) and not metric._labelnames:
            metric.observe(0.02 + len(name) / 1e3)
    for stage in STAGES:
        metrics.stage_seconds[stage].observe(0.01)
    for kind in ("new", "update", "end"):
        for known in ("true", "false"):
            metrics.events.labels(type=kind, known=known).inc(1234)
    for model in ("scrfd_500m", "arcface_w600k_mbf"):
        metrics.batch_size.labels(model=model).observe(4)
        metrics.model_active.labels(model=model, device="cpu").set(1)
        metrics.embeddings.labels(model=model).inc(1234)
    return metrics


def _fill_rare(metrics: Metrics, camera: str) -> None:
    metrics.camera_reconnects.labels(camera=camera).inc(12)
    metrics.embeddings_skipped.labels(camera=camera).inc(12)
    metrics.publishers.labels(camera=camera).set(1)
    metrics.ingest_bytes.labels(camera=camera).inc(12345678901)
    for code in ("camera_unreachable", "stream_lost", "stream_stalled"):
        metrics.camera_errors.labels(camera=camera, code=code).inc(12)
    for outcome in PACKETS:
        metrics.ingest_packets.labels(camera=camera, outcome=outcome).inc(1234567)
    for reason in WORDS:
        metrics.camera_trouble.labels(camera=camera, reason=reason).set(1)
    for outcome in ("encoded", "dropped", "failed"):
        metrics.view_frames.labels(camera=camera, outcome=outcome).inc(123456)


def ask(url: str, scrapes: int) -> None:
    """The other process: prints seconds and bytes on the wire of each scrape."""
    taken: list[tuple[float, int]] = []
    for _ in range(scrapes):
        time.sleep(PAUSE_S)
        started_s = time.perf_counter()
        with urlopen(Request(url, headers={"Accept-Encoding": "gzip"}), timeout=10) as answer:
            size = len(answer.read())
        taken.append((time.perf_counter() - started_s, size))
    print(json.dumps(taken))  # noqa: T201 - what the process is for


async def measure(metrics: Metrics, scrapes: int) -> str:
    app = create_app(Measured(metrics))
    async with serve_http(app, "127.0.0.1", 0) as port:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--ask", f"http://127.0.0.1:{port}/metrics", "--scrapes", str(scrapes)),
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await process.communicate()
    times = sorted(1e3 * taken_s for taken_s, _ in json.loads(told))
    sizes = [size for _, size in json.loads(told)]
    cpu = [_processor_ms(metrics) for _ in range(20)]
    text = metrics.text()
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    return (
        f"{series} | {len(text) / 1e3:.0f} kB | {max(sizes) / 1e3:.0f} kB | "
        f"{statistics.median(times):.1f} ms | {times[int(0.95 * len(times))]:.1f} ms | {statistics.median(cpu):.1f} ms"
    )


def _processor_ms(metrics: Metrics) -> float:
    started_s = time.thread_time()
    gzip.compress(metrics.text(), 1)
    return 1e3 * (time.thread_time() - started_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=200)
    parser.add_argument("--scrapes", type=int, default=50)
    parser.add_argument("--ask", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        ask(options.ask, options.scrapes)
        return
    out = sys.stdout
    out.write(
        "| cameras | filled | series | text | sent | median | 95 % | processor |\n|---|---|---|---|---|---|---|---|\n"
    )
    for filled in ("usual", "everything"):
        metrics = fill(Metrics(), options.cameras, everything=filled == "everything")
        row = asyncio.run(measure(metrics, options.scrapes))
        out.write(f"| {options.cameras} | {filled} | {row} |\n")


if __name__ == "__main__":
    main()
