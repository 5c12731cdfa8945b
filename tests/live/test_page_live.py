"""Acceptance: the page's live screen in headless Chromium over a real service with more cameras than WebRTC lets in: a
wall of pictures one by one, one camera in large by WebRTC, and by pictures where that can't be had.
"""

import json

import pytest
import pytest_asyncio

from streamer.demo.scene import write_stills
from tests.faces import KNOWN, NAME, STRANGERS, write_film
from tests.live.browser import Browser
from tests.live.service import ServiceProcess, until
from tests.live.test_page import SIZES, Page, pin

pytestmark = [pytest.mark.live, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

CAMERAS = 9
SHOWN = "document.querySelectorAll('.tile .picture:not(.old):not([hidden])')"
BY_WEBRTC = "document.querySelector('.large video:not(.old):not([hidden])')?.videoWidth > 0"
# Where a canvas of the boxes is painted in the colour of somebody known, as shares of the picture below it.
PAINTED = """
const [picture, canvas] = ["picture", "boxes"].map((name) => document.querySelector(`.large .${name}`));
const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
const [width, height] = [picture.width * scale, picture.height * scale];
const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
const found = [];
for (let at = 0; at < data.length; at += 4) {
  if (data[at] < 90 && data[at + 1] > 180 && data[at + 3] > 200) {
    const [x, y] = [at / 4 % canvas.width, Math.floor(at / 4 / canvas.width)];
    found.push([(x - (canvas.width - width) / 2) / width, (y - (canvas.height - height) / 2) / height]);
  }
}
const [xs, ys] = [0, 1].map((side) => found.map((one) => one[side]).sort((a, b) => a - b));
return found.length ? [xs[0], ys[0], xs.at(-1), ys.at(-1)] : null;
"""
WITHOUT_WEBRTC = "delete window.RTCPeerConnection"
# As behind a firewall or a proxy: signalling works, and no packet comes through.
WITHOUT_A_WAY = (
    "RTCPeerConnection.prototype.addIceCandidate = RTCPeerConnection.prototype.setRemoteDescription = async () => {}"
)
WITHOUT_SOCKETS = """
window.WebSocket = class extends WebSocket {
  constructor(url) { super(url.toString().replace("mjpeg", "nothing")); }
};
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(tmp_path_factory, pytestconfig):
    """She and a stranger before each of nine cameras; one may be watched by WebRTC. No broker is there."""
    folder = tmp_path_factory.mktemp("wall")
    film = write_film(folder / "door.mp4", ([KNOWN, None, STRANGERS[0]], 2))
    cameras = {f"camera{n}": {"url": str(film), "fps": 1, "loop": True} for n in range(2, CAMERAS + 1)}
    config = {
        "paths": {"data": "data"},
        "mqtt": {"port": 1},
        "cameras": {"door": {"url": str(film), "fps": 5, "loop": True}} | cameras,
        "ingest": {"webrtc": {"viewers": 1}},
    }
    service = ServiceProcess(folder, config)
    service.run("enrol", NAME, *write_stills(folder))
    made = json.loads(service.run("tokens", "make", "the desk", "--role", "operator", "--json"))
    with service:
        await service.until_ready(*(f"camera {camera}" for camera in config["cameras"]))
        async with Browser() as browser:
            await browser.resize(*SIZES["wide"])
            page = Page(browser, service, made["token"], thorough=pytestconfig.getoption("--thorough"))
            await browser.open(f"{service.http}/")
            await page.sign_in()
            yield page


@pytest_asyncio.fixture(loop_scope="module")
async def anew(page):
    """Loads the page with a script that runs before it; afterwards it is as it was."""
    scripts = []

    async def load(script: str, where: str) -> None:
        added = await page.browser.devtools("Page.addScriptToEvaluateOnNewDocument", source=script)
        scripts.append(added["identifier"])
        await page.browser.open("about:blank")
        await page.browser.open(f"{page.service.http}/#/{where}")

    yield load
    for script in scripts:
        await page.browser.devtools("Page.removeScriptToEvaluateOnNewDocument", identifier=script)


async def viewers(page: Page, count: int) -> None:
    await page.service.until_metric("whosthere_viewers", lambda found: found == count)


async def test_a_wall_of_all_needs_no_webrtc_and_no_setting(page):
    await page.browser.resize(1280, 2600)  # all of them are on the screen
    await page.browser.until(f"{SHOWN}.length === {CAMERAS}")
    await page.shows(".tile .state", "online")
    await page.shows(".present li", NAME)
    await viewers(page, CAMERAS)
    assert await page.service.metric("whosthere_webrtc_sessions", kind="whep") == 0
    assert await page.browser.run(f"return [...{SHOWN}].map(({{width}}) => width)") == [640] * CAMERAS
    labels = await page.browser.run(f"return [...{SHOWN}].map((it) => it.getAttribute('aria-label'))")
    assert {"What door sees", f"What camera{CAMERAS} sees"} <= set(labels)
    await page.browser.resize(*SIZES["phone"])
    await page.service.until_metric("whosthere_viewers", lambda found: found < CAMERAS)  # of those out of sight none
    await page.browser.resize(*SIZES["wide"])


@pytest.mark.thorough
async def test_a_tab_that_is_not_looked_at_watches_nothing(page):
    await page.browser.run("""
        window.isHidden = true;
        Object.defineProperty(document, "hidden", {configurable: true, get: () => window.isHidden});
        document.dispatchEvent(new Event("visibilitychange"));
    """)
    await viewers(page, 0)
    await page.browser.run("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    await page.service.until_metric("whosthere_viewers", lambda found: found > 0)
    await page.browser.until(f"{SHOWN}.length > 0")


async def test_one_in_large_comes_by_webrtc_and_by_pictures_where_its_places_are_taken(page):
    await page.go("live/door")
    await page.browser.until(BY_WEBRTC)
    await page.service.until_metric("whosthere_webrtc_sessions", lambda count: count == 1, kind="whep")
    await page.go("live")
    await page.service.until_metric("whosthere_webrtc_sessions", lambda count: count == 0, kind="whep")
    await page.browser.run("""
        const {Session} = await import("/assets/whep.js");
        const {ofSession} = await import("/page/api.js");
        const nothing = () => {};
        window.held = new Session(ofSession(), {track: nothing, message: nothing, state: nothing, over: nothing});
        await held.open("camera2");
    """)
    await page.go("live/door")
    await page.browser.until(f"{SHOWN}.length === 1 && document.querySelector('.large')")
    await page.shows(".present li", NAME)
    await page.browser.run("held.close()")


async def test_a_browser_without_webrtc_sees_boxes_and_names(page, anew):
    await anew(WITHOUT_WEBRTC, "live/door")
    await page.browser.until(f"{SHOWN}.length === 1")
    await page.shows(".tile .state", "online")
    await page.shows(".present li", NAME)
    await until(lambda: page.browser.run(PAINTED), 30)
    left, top, right, bottom = await page.browser.run(PAINTED)
    assert 0.03 < left < 0.2 < right < 0.5, (left, right)  # she stands in the first of three by two places
    assert 0.0 < top < 0.2 < bottom < 0.5, (top, bottom)
    await page.looked_at("camera-by-pictures")
    await viewers(page, 1)
    page.service.run("cameras", "disable", "door")
    await page.shows(".tile .notice", "disabled")
    page.service.run("cameras", "enable", "door")
    await page.shows(".tile .state", "online")
    await page.browser.until(f"{SHOWN}.length === 1")


@pytest.mark.thorough
async def test_where_webrtc_finds_no_way_pictures_come(page, anew):
    await anew(WITHOUT_A_WAY, "live/door")
    await page.browser.until(f"{SHOWN}.length === 1")
    await page.shows(".present li", NAME)
    await page.service.until_metric("whosthere_webrtc_sessions", lambda count: count == 0, kind="whep")


async def test_a_browser_that_can_have_neither_is_told_why(page, anew):
    await anew(WITHOUT_WEBRTC + ";" + WITHOUT_SOCKETS, "live/door")
    await page.shows(".tile .notice", "lets no WebSocket through. This browser has no WebRTC")
    await viewers(page, 0)


@pytest.mark.thorough
async def test_a_wall_goes_on_when_the_service_is_back(page):
    await page.browser.open("about:blank")
    await page.browser.open(f"{page.service.http}/#/live")
    await page.browser.until(f"{SHOWN}.length > 3")
    address = page.service.http
    page.service.stop()
    await page.shows(".tile .state", "not connected")
    await page.shows(".away", "does not answer")
    await page.browser.until(f"{SHOWN}.length === 0")  # none looks as if it were of now
    pin(page.service, address)
    page.service.start()
    await page.service.until_ready("camera door")
    await page.browser.until(f"{SHOWN}.length > 3")
    await page.shows_not(".away")
