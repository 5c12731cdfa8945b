"""Acceptance: a real service's camera in headless Chromium: pictures, boxes, names, and words for what is wrong."""

import json
import os
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streamer.demo.scene import write_stills
from tests.faces import KNOWN, NAME, STRANGERS, write_film
from tests.live.browser import Browser
from tests.live.mosquitto import Mosquitto
from tests.live.servers import RtspServer, unused_port
from tests.live.service import ServiceProcess, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

SIZES = {"wide": (1280, 800), "phone": (375, 740), "lying": (740, 340), "tablet": (820, 1100)}
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
            await service.until_ready(*(f"camera {name}" for name in config.get("cameras", ["door"])))
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
        await until(lambda: browser.run(PAINTED))
        left, top, right, bottom = await browser.run(PAINTED)
        assert 0.03 < left < 0.2 < right < 0.5, (left, right)
        assert 0.0 < top < 0.2 < bottom < 0.5, (top, bottom)
        await page.says("document.getElementById('latency').textContent", "ms behind")
        for name, size in SIZES.items():
            for dark in (False, True):
                await browser.dark(dark)
                await browser.resize(*size)
                await fits(browser)
                await page.picture(f"{name}-{'dark' if dark else 'light'}")
        await browser.keys("body", "b")
        await page.says("document.getElementById('show-boxes').getAttribute('aria-pressed')", "false")
        assert await browser.run(PAINTED) is None
        assert await service.metric("whosthere_viewers", camera="door") == 1
        assert [said for said in await browser.complaints() if "willReadFrequently" not in said] == []
        await browser.open("about:blank")
        await until(lambda: gone(service))


async def gone(service):
    return await service.metric("whosthere_viewers", camera="door") == 0


async def fits(browser):
    """Nothing is cut off, no button is too small for a finger, and the picture has the most of the page."""
    found = await browser.run("""
        const seen = [...document.querySelectorAll("button, h1, #state, #stage")].filter((it) => it.checkVisibility());
        const cut = ({right, bottom, left}) => right > innerWidth + 1 || bottom > innerHeight + 1 || left < 0;
        const small = ({width, height}) => Math.min(width, height) < 30;
        const names = (wrong) => seen.filter((it) => wrong(it.getBoundingClientRect())).map((it) => it.id);
        const {width, height} = document.getElementById("stage").getBoundingClientRect();
        return {cut: names(cut), small: names((box) => small(box)).filter((id) => !["camera", "state"].includes(id)),
                share: width * height / innerWidth / innerHeight};
    """)
    assert (found["cut"], found["small"]) == ([], []), found
    assert found["share"] > 0.6, found


async def test_what_is_wrong_is_said_in_words(tmp_path):
    async with watched(tmp_path, ingest={"webrtc": {"viewers": 1}}) as (service, page, tokens):
        browser = page.browser
        await page.open("door")
        await page.says("document.getElementById('login').hidden", False)
        await page.picture("login")
        await browser.resize(375, 740)
        await page.picture("login-phone")
        form = await browser.run("return document.getElementById('login').getBoundingClientRect()")
        assert (form["left"] >= 0, form["right"] <= 375) == (True, True), form
        await browser.keys("#token", "not-a-token\n")
        await page.says("document.getElementById('login-text').textContent", "not known here")
        await page.picture("login-refused")
        await browser.keys("#token", tokens["viewer"] + "\n")
        await page.says(PLAYS, True)

        await page.open("cellar")  # the tab keeps its token
        await page.says(NOTICE, "There is no camera “cellar”")
        await page.picture("no-camera")
        await page.open("attic")
        await page.says(NOTICE, "This camera is disabled.")
        await page.says(STATE, "disabled")
        async with Browser() as first:
            other = Page(first, service)
            await other.open("door", tokens["admin"])
            await other.says(PLAYS, True)
            await page.open("door")
            await page.says(NOTICE, "As many people are watching as may")
            await page.picture("full")
            await first.open("about:blank")  # it says goodbye; one that is killed is noticed after half a minute
        await page.says(PLAYS, True, 60)  # it tries again by itself

        service.run("tokens", "revoke", "a viewer")  # while she watches
        await page.says("document.getElementById('login-text').textContent", "not known here")
        assert await browser.run("return sessionStorage.length") == 0


@pytest.mark.thorough
async def test_a_service_without_webrtc_says_so(tmp_path):
    async with watched(tmp_path, ingest={"webrtc": {"enabled": False}}) as (_, page, tokens):
        await page.open("door", tokens["viewer"])
        await page.says(NOTICE, "Watching is switched off here")


async def test_a_camera_that_is_lost_is_told_of_and_seen_again(tmp_path):
    film = write_film(tmp_path / "hall.mp4", ([KNOWN, None, STRANGERS[0]], 3))
    with RtspServer(unused_port(), {"hall": film}) as server:
        cameras = {"hall": {"url": server.url("hall"), "fps": 10}}
        async with watched(tmp_path, cameras=cameras) as (service, page, tokens):
            await page.open("hall", tokens["viewer"])
            await page.says(PLAYS, True)
            await page.says(PEOPLE, sorted([NAME, "somebody unknown"]))
            server.kill()
            await page.says(NOTICE, "The camera has been offline since")
            await page.says(STATE, "offline")
            await page.says(PEOPLE, [])
            await page.picture("offline")
            server.start()
            await page.says(STATE, "online")
            await page.says(PLAYS, True)
            await page.says(PEOPLE, sorted([NAME, "somebody unknown"]))

            service.stop()
            await page.says(NOTICE, "Trying again")
            await page.says(STATE, "not connected")
            await page.picture("service-gone")


async def test_boxes_stay_with_their_pictures(tmp_path):
    """The page knows whose message is whose picture's: a second after the start, and of nearly all of them."""
    async with watched(tmp_path) as (_, page, tokens):
        await page.open("door", tokens["viewer"])
        await page.says(PLAYS, True)
        exact = await page.browser.run("""
            const { Alignment } = await import("/assets/alignment.js");
            const { Session } = await import("/assets/whep.js");
            const alignment = new Alignment(), video = document.createElement("video");
            const late = [];
            let pictures = 0, before;
            Object.assign(video, { muted: true });
            const session = new Session(sessionStorage.getItem("whosthere.token"), {
                track: (stream) => ((video.srcObject = stream), video.play()),
                message: (message) => "faces" in message && alignment.message(message),
                state: () => {}, over: () => {},
            });
            await session.open("door");
            await new Promise((done) => {
                const presented = (_, picture) => {
                    alignment.picture(picture.rtpTimestamp);
                    if (++pictures > 10) late.push(alignment.exact(before) !== undefined);
                    before = picture.rtpTimestamp;
                    if (late.length === 50) return done();
                    video.requestVideoFrameCallback(presented);
                };
                video.requestVideoFrameCallback(presented);
            });
            session.close();
            return late.filter(Boolean).length;
        """)
        assert exact >= 40, f"{exact} of 50 pictures were shown with their own boxes"


async def test_a_goodbye_that_could_not_be_said_is_said_before_the_next_session(tmp_path):
    """A phone between two networks: its old session would take the one place that there is for half a minute."""
    async with watched(tmp_path, ingest={"webrtc": {"viewers": 1}}) as (service, page, tokens):
        browser = page.browser
        await page.open("door")
        begin = """
            const { Signalling } = await import("/assets/signalling.js");
            const connection = new RTCPeerConnection();
            connection.addTransceiver("video", { direction: "recvonly" });
            const signalling = new Signalling(arguments[0], connection);
            await signalling.open("/whep/door").catch((error) => { throw new Error(error.code); });
            if (connection.connectionState !== "connected") {
                await new Promise((done) => (connection.onconnectionstatechange = done));
            }
        """
        await browser.run(begin + "window.first = signalling; window.kept = connection;", tokens["viewer"])
        with pytest.raises(AssertionError, match="too_many_sessions"):
            await browser.run(begin, tokens["viewer"])
        offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await browser.devtools("Network.enable")
        await browser.devtools("Network.emulateNetworkConditions", offline=True, **offline)
        await browser.run("first.leave(); await new Promise((done) => setTimeout(done, 300));")
        await browser.devtools("Network.emulateNetworkConditions", offline=False, **offline)
        assert await service.metric("whosthere_viewers", camera="door") == 1
        await browser.run(begin, tokens["viewer"])
        assert await service.metric("whosthere_viewers", camera="door") == 1


async def test_a_camera_that_is_disabled_and_removed_while_somebody_watches(tmp_path):
    async with watched(tmp_path) as (service, page, tokens):
        await page.open("door", tokens["viewer"])
        await page.says(PLAYS, True)
        service.run("cameras", "disable", "door")
        await page.says(NOTICE, "The camera was disabled at")
        await page.says(STATE, "disabled")
        service.run("cameras", "set", "door", "enabled=true")
        await page.says(PLAYS, True)
        await page.says(STATE, "online")
        service.run("cameras", "remove", "door")
        await page.says(NOTICE, "There is no camera")
        await service.until_metric("whosthere_viewers", lambda viewers: viewers == 0, camera="door")
