"""Acceptance: a camera of the real service in headless Chromium: pictures, boxes, names, and words for what is wrong."""

import json
import os
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streamer.demo.scene import write_stills
from tests.faces import KNOWN, NAME, STRANGERS, write_film
from tests.live.browser import Browser
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until

pytestmark = [pytest.mark.live, pytest.mark.both_cores, pytest.mark.timeout(240)]

PLAYS = "document.querySelector('video').videoWidth > 0 && document.getElementById('notice').hidden"
PEOPLE = "[...document.querySelectorAll('#people li')].map((item) => item.textContent).sort()"
STATE = "document.getElementById('state').textContent"
NOTICE = "document.getElementById('notice').hidden ? '' : document.getElementById('notice-text').textContent"
FRAMES = "document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames"
# Where the canvas is painted in the colour of somebody known, as shares of the picture; null: nowhere.
PAINTED = """
const canvas = document.getElementById('boxes');
const video = document.querySelector('video');
const scale = Math.min(canvas.width / video.videoWidth, canvas.height / video.videoHeight);
const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
const share = (x, y) => [(x - (canvas.width - width) / 2) / width, (y - (canvas.height - height) / 2) / height];
const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
let box = null;
for (let at = 0; at < data.length; at += 4) {
  if (data[at] < 90 && data[at + 1] > 180 && data[at + 3] > 200) {
    const [x, y] = [at / 4 % canvas.width, Math.floor(at / 4 / canvas.width)];
    box = box ? [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)] : [x, y, x, y];
  }
}
return box && [...share(box[0], box[1]), ...share(box[2], box[3])];
"""


class Page:
    """The page of a camera in a browser."""

    def __init__(self, browser: Browser, service: ServiceProcess) -> None:
        self.browser, self._service = browser, service

    async def open(self, camera: str, token: str | None = None) -> None:
        """With a token typed in, where there is one."""
        await self.browser.open(f"{self._service.http}/watch/{camera}")
        if token is not None:
            await self.browser.keys("#token", token + "\n")

    async def says(self, expression: str, wanted: object, within_s: float = 30.0) -> None:
        """Until an expression has a value; a value of text is looked for in it."""
        seen: list[object] = []

        async def so() -> bool:
            seen.append(await self.browser.run(f"return {expression}"))
            return wanted in seen[-1] if isinstance(wanted, str) and isinstance(seen[-1], str) else seen[-1] == wanted

        try:
            await until(so, within_s)
        except TimeoutError:
            pytest.fail(f"{expression} is {seen[-1]!r}, wanted {wanted!r}")

    async def picture(self, name: str) -> None:
        """A screenshot, for whoever wants to look: set WHOSTHERE_TEST_SCREENSHOTS to a folder."""
        if folder := os.environ.get("WHOSTHERE_TEST_SCREENSHOTS"):
            await self.browser.screenshot(Path(folder) / f"{name}.png")


@asynccontextmanager
async def watched(tmp_path, **config):
    """A service with one person enrolled, cameras `door` (she and a stranger) and `attic` (disabled), and a browser."""
    film = write_film(tmp_path / "door.mp4", ([KNOWN, None, STRANGERS[0]], 4))
    cameras = {"door": {"url": str(film), "fps": 10, "loop": True}, "attic": {"url": str(film), "enabled": False}}
    with Mosquitto(tmp_path) as broker:
        base = {"paths": {"data": "data"}, "mqtt": {"port": broker.port}, "cameras": cameras}
        service = ServiceProcess(tmp_path, base | config)
        service.run("enrol", NAME, *write_stills(tmp_path))
        tokens = {
            role: json.loads(service.run("tokens", "make", f"a {role}", "--role", role, "--json"))["token"]
            for role in ("viewer", "admin")
        }
        with service:
            await service.until_ready("camera door")
            async with Browser() as browser:
                yield service, Page(browser, service), tokens


async def test_a_viewer_sees_the_camera_with_boxes_and_names(tmp_path):
    async with watched(tmp_path) as (service, page, tokens):
        browser = page.browser
        await page.open("door", tokens["viewer"])
        await page.says(PLAYS, True)
        await page.says(STATE, "online")
        await page.says(PEOPLE, sorted([NAME, "somebody unknown"]))
        frames = await browser.run(f"return {FRAMES}")
        await browser.until(f"{FRAMES} > {frames} + 10")
        assert await browser.run("return document.querySelector('video').videoWidth") == 640
        # She stands in the first of three by two places; the name over her may reach into the next.
        await until(lambda: browser.run(PAINTED), 10)
        left, top, right, bottom = await browser.run(PAINTED)
        assert 0.03 < left < 0.2 < right < 0.5, (left, right)
        assert 0.0 < top < 0.2 < bottom < 0.5, (top, bottom)
        await page.says("document.getElementById('latency').textContent", "ms behind")
        for name, width, height, dark in (("wide", 1280, 800, False), ("dark", 1280, 800, True)):
            await browser.dark(dark)
            await browser.resize(width, height)
            await page.picture(name)
        await browser.keys("body", "b")
        await page.says("document.getElementById('show-boxes').getAttribute('aria-pressed')", "false")
        assert await browser.run(PAINTED) is None
        assert await service.metric("whosthere_viewers", camera="door") == 1
        assert [said for said in await browser.complaints() if "willReadFrequently" not in said] == []
        await browser.open("about:blank")
        await until(lambda: gone(service))


async def gone(service):
    return await service.metric("whosthere_viewers", camera="door") == 0
