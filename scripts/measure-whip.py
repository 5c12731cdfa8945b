#!/usr/bin/env python3
"""How long it takes from a picture in a browser to the event about it, by WHIP; tables in Markdown on stdout.

    python scripts/measure-whip.py [--visits 20] [--openings 10] [--fps 10]

A real service, a broker, and headless Chromium on this machine. A page of ours draws a portrait that is enrolled on a
canvas of 1280x720 and moves it with the clock, so that where the event's box is tells when its picture was drawn; each
time it comes is a visit. Where the box is in a portrait is found once, in stills. First picture: from the page's POST
until the camera is online. Blocks for minutes.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from aiomqtt import Client

from tests.faces import HEAD_PX, KNOWN, NAME, head
from tests.http_servers import Quiet, http_servers
from tests.live.browser import Browser
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until

PASSWORD = "measured"
WIDTH, HEIGHT = 1280, 720
FIRST_X, TOP, PX_PER_S = 200, (HEIGHT - HEAD_PX) // 2, 300
SHOWN_S, EVERY_S = 2.0, 4.5

PAGE = f"""<!doctype html><canvas id="canvas" width="{WIDTH}" height="{HEIGHT}"></canvas><script>
const pen = canvas.getContext("2d"), face = new Image();
const now = () => (performance.timeOrigin + performance.now()) / 1000;
function draw() {{
  pen.fillStyle = "rgb(96, 96, 96)";
  pen.fillRect(0, 0, {WIDTH}, {HEIGHT});
  const shownFor = now() % {EVERY_S};
  if (shownFor < {SHOWN_S}) pen.drawImage(face, Math.round({FIRST_X} + {PX_PER_S} * shownFor), {TOP});
  requestAnimationFrame(draw);
}}
face.onload = draw;
face.src = "face.png";
async function publish(endpoint, token) {{
  window.connection = new RTCPeerConnection();
  for (const track of canvas.captureStream(30).getTracks()) connection.addTransceiver(track, {{direction: "sendonly"}});
  await connection.setLocalDescription(await connection.createOffer());
  window.headers = {{Authorization: `Bearer ${{token}}`, "Content-Type": "application/sdp"}};
  const postedAt = now();
  const answer = await fetch(endpoint, {{method: "POST", headers, body: connection.localDescription.sdp}});
  await connection.setRemoteDescription({{type: "answer", sdp: await answer.text()}});
  window.session = new URL(answer.headers.get("Location"), endpoint);
  return postedAt;
}}
async function leave() {{
  await fetch(session, {{method: "DELETE", headers}});
  connection.close();
}}
</script>"""


@dataclass(frozen=True)
class Told:
    """What the broker handed on, and when it was here, Unix s."""

    document: dict[str, Any]
    at: float


FILES = {"/": ("text/html", PAGE.encode()), "/face.png": ("image/png", cv2.imencode(".png", head(KNOWN))[1].tobytes())}


class Pages(Quiet, BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, body = FILES.get(self.path, ("text/plain", b""))
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def middle(box: Sequence[float]) -> float:
    return (box[0] + box[2]) / 2


def face_offset_px(service: ServiceProcess, folder: Path) -> float:
    """From the portrait's left edge to the middle of the box that the service's own detector finds."""
    offsets = []
    for x in range(FIRST_X, FIRST_X + round(PX_PER_S * SHOWN_S), 50):
        picture = np.full((HEIGHT, WIDTH, 3), 96, np.uint8)
        picture[TOP : TOP + HEAD_PX, x : x + HEAD_PX] = head(KNOWN)
        cv2.imwrite(str(folder / "still.png"), picture)
        (image,) = json.loads(service.run("identify", "--json", folder / "still.png"))["images"]
        offsets.append(middle(image["faces"][0]["box"]) - x)
    tell(f"box in {len(offsets)} stills: {min(offsets):.1f} to {max(offsets):.1f} px from the portrait's edge\n")
    return statistics.mean(offsets)


def drawn_at(event: dict[str, Any], offset_px: float) -> float:
    """Unix s of the picture that an event is about."""
    x = middle(event["box"]) * WIDTH / event["frame"]["width"] - offset_px
    shown_for_s = (x - FIRST_X) / PX_PER_S
    rounds = round((event["captured_at"] - shown_for_s) / EVERY_S)
    return rounds * EVERY_S + shown_for_s


async def listen(client: Client, news: list[Told], states: list[Told]) -> None:
    async for message in client.messages:
        at = time.time()
        assert isinstance(message.payload, bytes)
        told = Told(json.loads(message.payload), at)
        if message.topic.matches("whosthere/cameras/door/status"):
            states.append(told)
        elif told.document["type"] == "new":
            news.append(told)


async def opened_s(browser: Browser, service: ServiceProcess, states: list[Told]) -> float:
    """From the POST to the first picture."""
    posted_at = float(await browser.run("return publish(...arguments)", f"{service.http}/whip/door", PASSWORD))
    await until(lambda: states[-1].document["state"] == "online", 20)
    return float(states[-1].document["since"]) - posted_at


async def leave(browser: Browser, states: list[Told]) -> None:
    await browser.run("return leave()")
    await until(lambda: states[-1].document["state"] == "offline", 20)


def row(what: str, seconds: Sequence[float]) -> str:
    p50, p95 = (1000 * float(np.percentile(seconds, share)) for share in (50, 95))
    return f"| {what} | {p50:.0f} | {p95:.0f} | {1000 * max(seconds):.0f} |"


def tell_latency(news: Sequence[Told], offset_px: float) -> None:
    def between(start: Callable[[Told], float], end: Callable[[Told], float]) -> list[float]:
        return [end(told) - start(told) for told in news]

    def drawn(told: Told) -> float:
        return drawn_at(told.document, offset_px)

    def at(key: str) -> Callable[[Told], float]:
        return lambda told: float(told.document[key])

    tell(f"{len(news)} visits, frames of {sorted({told.document['frame']['width'] for told in news})} px\n")
    tell("| ms | p50 | p95 | most |\n|---|---|---|---|")
    tell(row("drawn to decoded (browser, network, decoder)", between(drawn, at("captured_at"))))
    tell(row("decoded to handed to the broker", between(at("captured_at"), at("published_at"))))
    tell(row("drawn to handed to the broker", between(drawn, at("published_at"))))
    tell(row("drawn to received by a subscriber", between(drawn, lambda told: told.at)))
    tell(
        row(
            "face first drawn to received", between(lambda told: drawn(told) // EVERY_S * EVERY_S, lambda told: told.at)
        )
    )


async def measure(service: ServiceProcess, page: str, port: int, folder: Path, arguments: argparse.Namespace) -> None:
    news, states = list[Told](), list[Told]()
    async with Client("127.0.0.1", port) as client, asyncio.TaskGroup() as tasks:
        for topic in ("status", "identity/#"):
            await client.subscribe(f"whosthere/cameras/door/{topic}", qos=1)
        listening = tasks.create_task(listen(client, news, states))
        async with Browser() as browser:
            await browser.open(page)
            firsts = []
            for _ in range(arguments.openings):
                firsts.append(await opened_s(browser, service, states))
                await leave(browser, states)
            if firsts:
                tell(f"first picture after the POST: {statistics.median(firsts):.2f} s, most {max(firsts):.2f}\n")
            await opened_s(browser, service, states)
            await asyncio.sleep(2 * EVERY_S)  # a browser's first seconds are its own
            news.clear()
            await until(lambda: len(news) >= arguments.visits, 4 * EVERY_S * arguments.visits)
            await leave(browser, states)
        listening.cancel()
    assert all(told.document["person"]["name"] == NAME for told in news)
    tell_latency(news[: arguments.visits], face_offset_px(service, folder))


async def run(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name, http_servers() as serve, Mosquitto(Path(name)) as broker:
        camera = {"url": "publish://", "password": PASSWORD, "fps": arguments.fps}
        config = {"paths": {"data": "data"}, "mqtt": {"port": broker.port}, "cameras": {"door": camera}}
        service = ServiceProcess(Path(name), config | {"ingest": {"rtsp": {"port": 0}}})
        service.run("enrol", NAME, KNOWN.file)
        with service:
            await service.until_ready("broker", "models")
            before = os.getloadavg()
            await measure(service, serve(Pages), broker.port, Path(name), arguments)
            tell(f"\nload (1 min) {before[0]:.0f} before, {os.getloadavg()[0]:.0f} after, {os.cpu_count()} cores")
            service.stop()


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=20)
    parser.add_argument("--openings", type=int, default=10)
    parser.add_argument("--fps", type=float, default=10.0)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
