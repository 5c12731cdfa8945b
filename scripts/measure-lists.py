#!/usr/bin/env python3
"""How the service and the page fare with long lists: 100,000 kept visits and 10,000 people; Markdown on stdout.

    python scripts/measure-lists.py [--visits 100000] [--people 10000] [--unknown 0.4] [--only events review]

The visits are written by the service's own code, with small pictures that are nobody's; then a real service without
cameras and headless Chromium use them, on this machine alone. Blocks for some minutes; writes 1 GB for 100,000 visits.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import psutil

from gallery.keys.master_key import KeySource
from streamer.bench.gallery.crowd import Somebody, chip, write_crowd
from streamer.kept_visits.visit import VisitChange, VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from tests.live.browser import Browser
from tests.live.service import ServiceProcess, until
from tests.streamer.access.keys import bearer
from tests.streamer.kept_visits.made import change, event, visit_id

DAYS, DAY_S = 30, 86_400.0
CAMERAS = ("door", "yard", "hall", "gate")
RARE = "attic"  # some visits, the oldest
SPACE, DIM = "nano_embed.2", 256
FACES = 3
PEOPLE_SEEN, STRANGERS = 500, 5_000
OFTEN = Somebody(0)  # a fifth of the known visits
AT_ONCE = 500
FIRST_SHOWN = """
const [where, selector] = arguments;
const from = performance.now();
const found = {};
for (const one of document.querySelectorAll(selector)) one.dataset.before = "";
location.hash = where;
while (!found.all) {
  await new Promise(requestAnimationFrame);
  found.words ??= document.querySelector("main h1, main .waiting") ? performance.now() - from : undefined;
  found.all = document.querySelector(`${selector}:not([data-before])`) ? performance.now() - from : undefined;
  if (performance.now() - from > 25000) throw new Error(`no ${selector}: ${document.body.innerText}`);
}
return found;
"""


def write_visits(path: Path, keys: KeySource, count: int, unknown: float) -> None:
    """So many, over the last DAYS days; `unknown` is the share of those that are nobody's."""
    made = changes(count, unknown)
    with VisitsFile(path, keys, make=True) as file:
        file.unlock(encrypt=True)
        while some := list(islice(made, AT_ONCE)):
            file.write(some)


def changes(count: int, unknown: float) -> Iterator[VisitChange]:
    rng = np.random.default_rng(20)
    pictures = [{"face": jpeg(kind, 256), "scene": jpeg(kind, 320)} for kind in range(8)]
    began = np.sort(time.time() - DAYS * DAY_S * rng.random(count))
    for number, at in enumerate(began.tolist()):
        is_unknown = rng.random() < unknown
        stranger = int(rng.integers(STRANGERS))
        who = OFTEN if rng.random() < 0.2 else Somebody(int(rng.integers(PEOPLE_SEEN)))
        camera = RARE if number < 20 else CAMERAS[number % len(CAMERAS)]
        said = {"camera": camera, "decision": "unknown" if is_unknown else "known"}
        event_id, person = visit_id(), None if is_unknown else who.id
        told = (
            event(event_id, 1, person, at, **said),
            event(event_id, 2, person, at + 20.0, type="end", end_reason="left", **said),
        )
        seed = stranger if is_unknown else STRANGERS + who.number
        faces = tuple(face(seed, rng) for _ in range(FACES))
        yield change(event_id, *told, faces=faces, pictures=pictures[number % len(pictures)])


def face(seed: int, rng: np.random.Generator) -> VisitFace:
    """Of one person two are some .6 alike, and visits, whose faces are put together, more."""
    who = np.random.default_rng([7, seed]).standard_normal(DIM)
    noise = rng.standard_normal(DIM)
    seen = 0.8 * who / np.linalg.norm(who) + 0.6 * noise / np.linalg.norm(noise)
    return VisitFace((seen / np.linalg.norm(seen)).astype(np.float32), float(rng.uniform(0.5, 0.9)), SPACE, "d+e")


def jpeg(kind: int, side: int) -> bytes:
    _, data = cv2.imencode(".jpg", cv2.resize(chip(kind), (side, side)), [cv2.IMWRITE_JPEG_QUALITY, 30])
    return bytes(data.tobytes())


class Service:
    """The running service as it is asked: how long it takes, what memory it has, how late its loop is meanwhile."""

    def __init__(self, service: ServiceProcess, api: httpx.AsyncClient) -> None:
        self.service, self.api = service, api
        self._process = psutil.Process(service.pid)

    @property
    def rss_mib(self) -> float:
        return float(self._process.memory_info().rss / 2**20)

    async def ask(self, what: str, method: str, path: str, times: int = 5, **said: object) -> dict[str, Any]:
        """Told: each time in ms, bytes of the answer."""
        took, answer = [], httpx.Response(0)
        for _ in range(times):
            began = time.perf_counter()
            answer = await self.api.request(method, path, json=said or None)
            took.append(1000 * (time.perf_counter() - began))
            assert answer.is_success, answer.text
        told = f"{statistics.median(took):.0f} ms, first {took[0]:.0f}, most {max(took):.0f}"
        tell(what, f"{told}; {len(answer.content) / 1024:.0f} kB")
        return answer.json() if answer.content else {}

    async def watched(self, what: str, work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """Of long work: how late the loop answered others meanwhile, and the most memory there was."""
        before, late, most = self.rss_mib, [0.0], [self.rss_mib]
        lags = await self.lags()

        async def look() -> None:
            while True:
                began = time.perf_counter()
                await self.api.get("/healthz")
                late.append(time.perf_counter() - began)
                most.append(self.rss_mib)
                await asyncio.sleep(0.05)

        looking = asyncio.create_task(look())
        try:
            return await work
        finally:
            looking.cancel()
            over = sum(lags_now - lags_before for lags_now, lags_before in zip(await self.lags(), lags, strict=True))
            told = f"{before:.0f} MiB before, {max(most):.0f} at most, {self.rss_mib:.0f} after"
            tell(f"… {what}: /healthz meanwhile, memory", f"{1000 * max(late):.0f} ms at most of {len(late)}; {told}")
            tell(f"… {what}: the loop woke up late by over .1 s", f"{over:.0f} times")

    async def lags(self) -> list[float]:
        """How often the loop woke up later than .1 s."""
        whole = await self.service.metric("whosthere_loop_lag_seconds_count")
        return [whole - await self.service.metric("whosthere_loop_lag_seconds_bucket", le="0.1")]


async def measure_events(service: Service) -> None:
    now = time.time()
    month_ago = f"since={now - (DAYS - 1) * DAY_S:.0f}&until={now - (DAYS - 2) * DAY_S:.0f}"
    for what, query in (
        ("newest", ""),
        ("of a camera", "camera=door"),
        ("of a camera with 20 visits, the oldest", f"camera={RARE}"),
        ("of a day, four weeks ago", month_ago),
        ("… of a camera", f"{month_ago}&camera=yard"),
        ("of whom a fifth are", f"person={OFTEN.id}"),
        ("of whom some hundred are", f"person={Somebody(17).id}"),
        ("of somebody never seen", f"person={Somebody(PEOPLE_SEEN + 1).id}"),
        ("of unknown people", "decision=unknown"),
        ("ambiguous ones: none", "decision=ambiguous"),
    ):
        await service.ask(f"events, {what}", "GET", f"/api/v1/events?limit=200&{query}")
    took, after, shown = [], None, 0
    while shown == 0 or after:
        began = time.perf_counter()
        page = (
            await service.api.get("/api/v1/events", params={"limit": 500} | ({"after": after} if after else {}))
        ).json()
        took.append(1000 * (time.perf_counter() - began))
        after, shown = page["next"], shown + len(page["events"])
    told = f"{statistics.median(took):.0f} ms a page, most {max(took):.0f}, {sum(took) / 1000:.0f} s in all"
    tell(f"all {shown:,} messages, {len(took)} pages of 500", told)


async def measure_review(service: Service) -> None:
    api = service.api
    page = await service.watched("review", service.ask("review, the first time", "GET", "/api/v1/review?limit=20", 1))
    tell(
        "clusters, visits in the largest",
        f"{page['left']:,}, {page['clusters'][0]['count'] if page['clusters'] else 0}",
    )
    tell("… not compared", json.dumps({key: page[key] for key in ("apart", "older") if key in page}))
    await service.ask("review, again", "GET", "/api/v1/review?limit=20")
    if len(page["clusters"]) < 4:
        return
    one, other, third = (cluster["id"] for cluster in page["clusters"][:3])
    named = {"person": Somebody(9).id, "enrol": False}
    await service.ask("a cluster is somebody enrolled", "POST", f"/api/v1/review/{one}/person", 1, **named)
    await service.ask("a cluster is ignored", "POST", f"/api/v1/review/{other}/ignore", 1)
    await service.ask("a cluster is erased", "DELETE", f"/api/v1/review/{third}", 1)
    await service.ask("review, after these", "GET", "/api/v1/review?limit=20", 1)
    visits = (await api.get("/api/v1/events?limit=20&decision=known&type=end")).json()["events"]
    wrong = {"person": None, "negative": False}
    for visit in visits[:1]:
        await service.ask("a visit is corrected", "PATCH", f"/api/v1/events/{visit['event_id']}", 3, **wrong)
    await service.ask("a visit is erased", "DELETE", f"/api/v1/events/{visits[1]['event_id']}", 1)


async def measure_people(service: Service) -> None:
    await service.ask("people, the first 500", "GET", "/api/v1/people?limit=500")
    await service.ask("people whose name has 'ada l'", "GET", "/api/v1/people?limit=7&name=ada+l")
    await service.ask("people whose name has '9999'", "GET", "/api/v1/people?limit=7&name=9999")


async def measure_erasure(service: Service) -> None:
    erased = f"/api/v1/people/{OFTEN.id}"
    await service.watched("erasure", service.ask("whom a fifth are is erased", "DELETE", erased, 1))


async def sign_in(browser: Browser, service: ServiceProcess, token: str) -> None:
    await browser.open(f"{service.http}/")
    await browser.until("document.querySelector('#token')")
    await browser.keys("#token", f"{token}\n")
    await browser.until("document.querySelector('nav')")
    await asyncio.sleep(2)


async def measure_screens(browser: Browser, link: str) -> None:
    day = time.strftime("%Y-%m-%d", time.localtime(time.time() - (DAYS - 2) * DAY_S))
    for what, where, selector in (
        ("Events", "#/events", ".visit"),
        ("Events of a camera with 20", f"#/events?camera={RARE}", ".visit"),
        ("Events of a day, four weeks ago", f"#/events?day={day}", ".visit"),
        ("… unknown people alone", f"#/events?day={day}&who=unknown", ".visit"),
        ("When seen, of whom a fifth are", f"#/events?person={OFTEN.id}", ".visit"),
        ("People", "#/people", ".people li"),
        ("a person", f"#/people/{Somebody(17).id}", ".photos"),
        ("Review", "#/review", ".cluster"),
        ("Cameras", "#/cameras", ".card"),
        ("Models", "#/models", ".card"),
        ("Service", "#/service", ".service dl"),
    ):
        found = await browser.run(f"return (async () => {{ {FIRST_SHOWN} }})()", where, selector)
        tell(f"page{link}: {what}: first words, shown", f"{found['words']:.0f}, {found['all']:.0f} ms")


async def measure_link(browser: Browser, service: ServiceProcess) -> None:
    """A phone far from the mast: 400 ms more for each answer, 400 kbit/s."""
    await browser.open("about:blank")
    await browser.devtools("Network.enable")
    await browser.devtools("Network.clearBrowserCache")
    slow = {"latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000, "offline": False}
    await browser.devtools("Network.emulateNetworkConditions", **slow)
    await browser.open(f"{service.http}/")
    await browser.until("document.querySelector('main h1')")
    paint = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    tell("slow link: first words of the page, empty cache", f"{await browser.run(paint):.0f} ms")
    tell("… its first screen", f"{await browser.run('return performance.now()'):.0f} ms at most")
    await asyncio.sleep(5)  # the other screens' parts come
    await measure_screens(browser, ", slow link")


async def measure_paging(browser: Browser) -> None:
    await browser.run("location.hash = '#/events'")
    await browser.until("document.querySelector('.more')")
    pages = 0
    began = time.perf_counter()
    while time.perf_counter() - began < 30 and pages < 30:
        await browser.run("document.querySelector('.more')?.click()")
        await asyncio.sleep(0.05)
        await until(lambda: browser.run("return !document.querySelector('main .waiting')"), 60)
        pages += 1
    took_s = time.perf_counter() - began
    shown = await browser.run("return document.querySelectorAll('.visit').length")
    heap = await browser.run("return performance.memory.usedJSHeapSize")
    tell(
        f"page: Show older, {pages} times", f"{shown:,} visits in {took_s:.1f} s; {heap / 2**20:.0f} MiB of JavaScript"
    )


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[ServiceProcess, str]]:
    events = {"keep_unknown_h": 24 * 60, "keep_days": 60, "keep_mib": 1 << 20}
    off = {"url": "rtsp://127.0.0.1:1/x", "enabled": False, "snapshots": True}
    config = {"paths": {"data": "data"}, "mqtt": {"port": 1}, "cameras": dict.fromkeys((*CAMERAS, RARE), off)}
    service = ServiceProcess(folder, config | {"events": events})
    name = f"measure-{os.getpid()}"
    token = json.loads(service.run("tokens", "make", name, "--role", "operator", "--json"))["token"]
    with service:
        await until(lambda: service.http is not None, 120)
        await service.until_ready("gallery", within_s=300)
        yield service, token
        service.stop()


async def measure(folder: Path, arguments: argparse.Namespace) -> None:
    data = folder / "data"
    if not (data / "visits.db").exists():
        write_crowd(data / "gallery.db", arguments.people)
        began = time.perf_counter()
        write_visits(data / "visits.db", KeySource(folder / "data-keys"), arguments.visits, arguments.unknown)
        tell(f"{arguments.visits:,} visits written in", f"{time.perf_counter() - began:.0f} s")
    tell("visits.db", f"{(data / 'visits.db').stat().st_size / 2**20:.0f} MiB")
    parts: dict[str, Callable[[Service], Awaitable[None]]] = {
        "events": measure_events,
        "people": measure_people,
        "review": measure_review,
        "erase": measure_erasure,
    }
    async with AsyncExitStack() as stack:
        service, token = await stack.enter_async_context(served(folder))
        api = await stack.enter_async_context(
            httpx.AsyncClient(base_url=service.http or "", headers=bearer(token), timeout=900)
        )
        asked = Service(service, api)
        if "page" in arguments.only:
            browser = await stack.enter_async_context(Browser())
            await sign_in(browser, service, token)
            await measure_screens(browser, "")
            await measure_paging(browser)
            await measure_link(browser, service)
        for name, part in parts.items():
            if name in arguments.only:
                await part(asked)
        tell("memory of the service at the end", f"{asked.rss_mib:.0f} MiB")


def tell(what: str, found: str) -> None:
    sys.stdout.write(f"| {what} | {found} |\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--unknown", type=float, default=0.4)
    parser.add_argument("--folder", type=Path, help="made once, and used as it is from then on")
    parts = ("page", "events", "people", "review", "erase")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        folder.mkdir(exist_ok=True)
        asyncio.run(measure(folder, arguments))
    tell("load (1 min) before, after; cores", f"{before:.1f}, {os.getloadavg()[0]:.1f}; {os.cpu_count()}")


if __name__ == "__main__":
    main()
