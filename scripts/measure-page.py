#!/usr/bin/env python3
"""How fast the page is: first paint, an event on the screen, a long list, nine cameras in one page; Markdown on stdout.

    python scripts/measure-page.py [--clip CLIP.mp4] [--only paint events list wall] [--people 10000]

A real service, a broker and headless Chromium on this machine, all on its cores; what was on the screen when is
Chromium's own word (paint timings, its trace). Blocks for two or three minutes.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from websockets.asyncio.client import ClientConnection, connect

from streamer.bench.gallery.crowd import write_crowd
from tests.conftest import SHARED
from tests.faces import KNOWN, STRANGERS, write_film
from tests.live.browser import Browser
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until

PARTS = ("paint", "events", "list", "wall")
CATEGORIES = ("cc", "benchmark", "devtools.timeline", "toplevel", "disabled-by-default-devtools.timeline.frame")
CAMERAS = 9
SETTLE_S = 4.0
STRIDE_PX = 34_000  # of one gesture, in a second: 500 rows

# When the last picture of a load was painted, and what came over the wire for it.
PAINTS = """
const lcp = await new Promise((done) => {
  new PerformanceObserver((list) => done(list.getEntries().at(-1).startTime))
    .observe({type: "largest-contentful-paint", buffered: true});
  setTimeout(() => done(NaN), 3000);
});
const [page] = performance.getEntriesByType("navigation");
const [first] = performance.getEntriesByName("first-contentful-paint");
const parts = [page, ...performance.getEntriesByType("resource")];
const until = (at) => parts.filter(({responseEnd}) => responseEnd <= at)
  .reduce((sum, {transferSize}) => sum + transferSize, 0);
return {first: first.startTime, largest: lcp, toFirst: until(first.startTime), all: until(Infinity)};
"""
# When each visit was told to this page (a stream of its own says), and when a frame that shows it had been drawn.
WATCH_EVENTS = """
window.told = new Map();
window.shown = new Map();
const now = () => performance.timeOrigin + performance.now();
const look = () => {
  const fresh = [...document.querySelectorAll(".visit")].map(({dataset}) => dataset.id).filter((id) => !shown.has(id));
  for (const id of fresh) shown.set(id, Infinity);
  if (fresh.length) requestAnimationFrame(() => setTimeout(() => fresh.forEach((id) => shown.set(id, now()))));
};
new MutationObserver(look).observe(document.body, {childList: true, subtree: true});
look();
window.before = new Set(shown.keys());
new EventSource("/api/v1/events/live").onmessage = ({data}) => {
  const {event_id, type, published_at} = JSON.parse(data);
  if (type === "new" && !before.has(event_id)) told.set(event_id, published_at * 1000);
};
"""
SEEN_EVENTS = "return [...told].filter(([id]) => isFinite(shown.get(id))).map(([id, at]) => shown.get(id) - at)"
PLAYING = f"document.querySelectorAll('.tile .picture:not(.old):not([hidden])').length === {CAMERAS}"
# So many pictures a second for each tile, where the wall's own number is not asked about.
ASK_FOR = """
const ours = window.WebSocket;
const fps = "FPS";
window.WebSocket = class extends ours {
  constructor(url) {
    const asked = new URL(url);
    if (asked.pathname.endsWith("/mjpeg")) asked.searchParams.set("fps", fps);
    super(asked);
  }
};
"""


class Trace:
    """Chromium's own, taken over its DevTools socket: what happened between the two ends of recording()."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.events: list[dict[str, Any]] = []

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        wanted = {"traceConfig": {"includedCategories": CATEGORIES}, "transferMode": "ReportEvents"}
        await self._socket.send(json.dumps({"id": 1, "method": "Tracing.start", "params": wanted}))
        while json.loads(await self._socket.recv()).get("id") != 1:
            pass
        yield
        await self._socket.send(json.dumps({"id": 2, "method": "Tracing.end"}))
        async for message in self._socket:
            told = json.loads(message)
            if told.get("method") == "Tracing.dataCollected":
                self.events += told["params"]["value"]
            elif told.get("method") == "Tracing.tracingComplete":
                return

    def main_thread_tasks_ms(self) -> list[tuple[float, float]]:
        """How long each task on the page's own thread took, and how much of a processor."""
        threads = [(one["pid"], one["tid"]) for one in self.events if _names_thread(one, "CrRendererMain")]
        tasks = [one for one in self.events if one["name"] in _TASKS and (one["pid"], one["tid"]) in threads]
        return [(one["dur"] / 1000, one.get("tdur", np.nan) / 1000) for one in tasks if "dur" in one]

    def frames(self) -> dict[str, int]:
        """What became of them, by Chromium's word for it."""
        found: dict[str, int] = {}
        for one in self.events:
            report = one.get("args", {}).get("chrome_frame_reporter") or one.get("args", {}).get("frame_reporter")
            if report and one["name"] == "PipelineReporter":
                found[report["state"]] = found.get(report["state"], 0) + 1
        return found


_TASKS = ("RunTask", "ThreadControllerImpl::RunTask")


def _names_thread(event: dict[str, Any], name: str) -> bool:
    return bool(event["name"] == "thread_name" and event["args"].get("name") == name)


@asynccontextmanager
async def tracing(browser: Browser) -> AsyncIterator[Trace]:
    port, path = (browser.profile / "DevToolsActivePort").read_text().split()
    async with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, compression=None) as socket:
        yield Trace(socket)


async def sign_in(browser: Browser, service: ServiceProcess, token: str) -> None:
    await browser.open(f"{service.http}/")
    await browser.until("document.querySelector('#token')")
    await browser.keys("#token", f"{token}\n")
    await browser.until("document.querySelector('nav')")


def figures(values: Sequence[float], unit: str = "ms") -> str:
    p50, p95 = (float(np.percentile(values, share)) for share in (50, 95))
    return f"{p50:.0f} / {p95:.0f} / {max(values):.0f} {unit}"


async def paints(browser: Browser, url: str, times: int) -> list[dict[str, float]]:
    found = []
    for _ in range(times):
        await browser.open("about:blank")
        await browser.devtools("Network.clearBrowserCache")
        await browser.open(url)
        await asyncio.sleep(1)
        found.append(await browser.run(f"return (async () => {{ {PAINTS} }})()"))
    return found


async def measure_paint(browser: Browser, service: ServiceProcess, token: str, times: int) -> None:
    """Without a session, then with one; no file is in the browser's cache."""
    for what in ("sign-in", "live, signed in"):
        found = await paints(browser, f"{service.http}/", times)
        tell(f"first paint of `/`, {what}, {times} loads", figures([one["first"] for one in found]))
        tell("… its largest part painted", figures([one["largest"] for one in found]))
        tell("… bytes until first paint / in all", " / ".join(f"{found[-1][key]:,.0f}" for key in ("toFirst", "all")))
        if what == "sign-in":
            await sign_in(browser, service, token)


async def measure_events(browser: Browser, count: int) -> None:
    await browser.run("location.hash = '#/events'")
    await browser.until("document.querySelector('.visit')")
    await asyncio.sleep(SETTLE_S)
    await browser.run(WATCH_EVENTS)
    await until(lambda: _many(browser, count), 10.0 * count)
    seen = (await browser.run(SEEN_EVENTS))[:count]
    tell(f"an event's hand-over to drawn, {len(seen)} visits", figures(seen))


async def _many(browser: Browser, count: int) -> bool:
    return len(await browser.run(SEEN_EVENTS)) >= count


async def measure_list(browser: Browser, people: int) -> None:
    await browser.run("location.hash = '#/people'")
    await browser.until("document.querySelector('.people li')")
    await asyncio.sleep(SETTLE_S)
    async with tracing(browser) as trace:
        started_s = time.monotonic()
        async with trace.recording():
            await scroll_to_the_end(browser, people)
        took_s = time.monotonic() - started_s
    tasks, frames = trace.main_thread_tasks_ms(), trace.frames()
    assert tasks, "no task of the page is in the trace"
    last = await browser.run("return document.querySelector('.people li:last-child').getAttribute('aria-posinset')")
    tell(f"{last} people scrolled by in", f"{took_s:.0f} s")
    for what, times in zip(("by the clock", "of processor time"), np.array(tasks).T, strict=True):
        over = f"{(times > 50).sum()} over 50 ms, {(times > 16.7).sum()} over 16.7 of {np.isfinite(times).sum()}"
        tell(f"longest task of the page's thread, {what}", f"{np.nanmax(times):.0f} ms ({over})")
    tell("frames by Chromium's word", ", ".join(f"{count} {state}" for state, count in sorted(frames.items())))


async def scroll_to_the_end(browser: Browser, people: int) -> None:
    gesture = {"x": 400, "y": 500, "yDistance": -STRIDE_PX, "speed": STRIDE_PX, "gestureSourceType": "mouse"}
    at_end = "scrollY + innerHeight > document.documentElement.scrollHeight - 4"
    everybody = f"document.querySelector('.people li:last-child')?.getAttribute('aria-posinset') === '{people}'"
    while not await browser.run(f"return {at_end} && {everybody}"):
        await browser.devtools("Input.synthesizeScrollGesture", **gesture)


async def measure_wall(browser: Browser, service: ServiceProcess, seconds: float, shown: float) -> None:
    """None, nine, none, nine: so that what else the machine does hits both. shown: pictures a second of each tile."""
    shares: dict[str, list[float]] = {"people": [], "live": []}
    await browser.run(ASK_FOR.replace("FPS", str(shown)))
    for screen in ("people", "live", "people", "live"):
        await browser.run(f"location.hash = '#/{screen}'")
        if screen == "live":
            await browser.until(PLAYING, 60)
        await asyncio.sleep(SETTLE_S)
        share, looked, encoded = await spent(service, seconds)
        shares[screen].append(share)
        what = "nine cameras in the page" if screen == "live" else "none"
        tell(
            f"CPU of the service, {what}",
            f"{share:.1f} % of a core ({looked:.1f} frames looked at a second, {encoded:.1f} encoded)",
        )
    more = statistics.mean(shares["live"]) - statistics.mean(shares["people"])
    tell(f"… more with nine at {shown:g} pictures a second than with none", f"{more:.1f} % of a core")


def at_rate(clip: Path, fps: float, made: Path) -> Path:
    """The clip with as many pictures as are looked at: decoding more would fill the machine before anybody watches."""
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-an", "-r", str(fps), "-c:v", "libx264", str(made)]
    subprocess.run(command, check=True, timeout=120)
    return made


def give_way(browser: Browser) -> None:
    """The browser's processes come after the service's: what it lacks would look like what the service saved."""
    for process in psutil.Process(browser.driver_pid).children(recursive=True):
        process.nice(19)


async def spent(service: ServiceProcess, seconds: float) -> tuple[float, float, float]:
    """Percent of a core; frames that were looked at, and encoded for viewers, a second."""

    async def read() -> tuple[float, float, float, float]:
        looked = await service.metric("whosthere_frames_total", outcome="processed")
        encoded = await service.metric("whosthere_view_frames_total", outcome="encoded")
        times = process.cpu_times()
        return times.user + times.system, looked, encoded, time.monotonic()

    process = psutil.Process(service.pid)
    before = await read()
    await asyncio.sleep(seconds)
    cpu_s, looked, encoded, took_s = (after - former for after, former in zip(await read(), before, strict=True))
    return 100 * cpu_s / took_s, looked / took_s, encoded / took_s


@asynccontextmanager
async def served(cameras: dict[str, object], people: int = 0) -> AsyncIterator[tuple[ServiceProcess, str]]:
    """The service with these cameras and so many people, and a token."""
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name)) as broker:
        events = {"keep_unknown_h": 24, "faces_to_settle": 1, "gone_after_s": 0.5}
        config = {"paths": {"data": "data"}, "mqtt": {"port": broker.port}, "cameras": cameras, "events": events}
        if people:
            write_crowd(Path(name) / "data" / "gallery.db", people)
        service = ServiceProcess(Path(name), config)
        token = json.loads(service.run("tokens", "make", "measure", "--role", "operator", "--json"))["token"]
        with service:
            await service.until_ready(*(f"camera {camera}" for camera in cameras))
            yield service, token
            service.stop()


@asynccontextmanager
async def opened() -> AsyncIterator[Browser]:
    async with Browser() as browser:
        await browser.resize(1920, 1080)
        yield browser


async def run(arguments: argparse.Namespace) -> None:
    before = os.getloadavg()[0]
    tell("what", "p50 / p95 / most")
    tell("---", "---")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if set(arguments.only) & {"paint", "events", "list"}:
            film = write_film(folder / "door.mp4", ([KNOWN, None, STRANGERS[0]], 2), ((), 1))
            door = {"url": str(film), "fps": 5, "loop": True, "snapshots": True}
            async with served({"door": door}, arguments.people) as (service, token), opened() as browser:
                if "paint" in arguments.only:
                    await measure_paint(browser, service, token, arguments.loads)
                else:
                    await sign_in(browser, service, token)
                if "events" in arguments.only:
                    await measure_events(browser, arguments.events)
                if "list" in arguments.only:
                    await measure_list(browser, arguments.people)
        if "wall" in arguments.only:
            clip = at_rate(arguments.clip, arguments.fps, folder / "clip.mp4")
            camera = {"url": str(clip), "fps": arguments.fps, "loop": True}
            if arguments.unseen:
                camera["regions"] = [[[0.0, 0.0], [0.05, 0.0], [0.05, 0.05], [0.0, 0.05]]]
            cameras: dict[str, object] = {f"camera{number}": camera for number in range(1, CAMERAS + 1)}
            async with served(cameras) as (service, token), opened() as browser:
                await sign_in(browser, service, token)
                give_way(browser)
                for shown in arguments.shown:
                    await browser.open(f"{service.http}/")
                    await browser.until("document.querySelector('nav')")
                    await measure_wall(browser, service, arguments.seconds, shown)
    tell("load (1 min) before, after; cores", f"{before:.1f}, {os.getloadavg()[0]:.1f}; {os.cpu_count()}")


def tell(what: str, found: str) -> None:
    sys.stdout.write(f"| {what} | {found} |\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=SHARED / "video" / "friends1_720p_6s.mp4")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--loads", type=int, default=10)
    parser.add_argument("--events", type=int, default=30)
    parser.add_argument("--fps", type=float, default=5.0, help="what is looked at of each camera of the wall")
    parser.add_argument("--shown", type=float, nargs="+", default=[5.0], help="what the wall asks for of it")
    parser.add_argument("--unseen", action="store_true", help="movement counts in a corner alone: the detector rests")
    parser.add_argument("--seconds", type=float, default=12.0)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
