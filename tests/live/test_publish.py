"""Acceptance: a page in a browser publishes by WHIP to the real service, and who is seen is told over MQTT."""

import json
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

import psutil
import pytest
from aiortc import AudioStreamTrack, RTCRtpSender
from fastapi import FastAPI

from streamer.api.closed import Closed
from streamer.api.server import serve_http
from streamer.live_view import pages
from tests.conftest import LARGER
from tests.faces import HEIGHT, KNOWN, NAME, STRANGERS, WIDTH, write_film
from tests.http_servers import Quiet, http_servers
from tests.live.browser import Browser
from tests.live.publishing import NOTICE, PASSWORD, STATE, Film, fake_camera, post_until_taken, watching
from tests.live.service import until
from tests.live.subscriber import assert_told_whole, names_of
from tests.streamer.access.keys import guard_without_tokens
from tests.streamer.webrtc.peers import Publisher

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]


@pytest.mark.both_cores
async def test_a_page_publishes_and_who_is_seen_is_told(tmp_path):
    switches = fake_camera(tmp_path, write_film(tmp_path / "film.mp4", ([KNOWN], 4)))
    async with watching(tmp_path) as (service, heard):
        async with Browser(*switches) as browser:
            await browser.open(f"{service.http}/publish/door")
            await browser.keys("#token", "wrong\n")
            await browser.until(f"{NOTICE}.includes('not the password')")
            assert heard.status("door")["state"] == "offline"
            await browser.keys("#token", PASSWORD + "\n")
            await browser.until(f"{STATE} === 'publishing'")
            await until(lambda: heard.status("door") == {"state": "online", "reason": None})
            await until(lambda: [NAME] in map(names_of, heard.visits("door")), 90)
            (named,) = [visit[-1] for visit in heard.visits("door") if names_of(visit) == [NAME]]
            assert named["frame"] == {"width": WIDTH, "height": HEIGHT}
            assert await service.metric("whosthere_webrtc_sessions", kind="whip") == 1
            await browser.run("document.getElementById('stop').click()")
            await until(lambda: heard.has_been("door", "offline", "stream_lost"), 60)
            await service.until_metric("whosthere_webrtc_sessions", lambda open_now: open_now == 0, kind="whip")
        await until(lambda: heard.visits("door")[0][-1]["type"] == "end")
    for visit in heard.visits("door"):
        assert_told_whole([visit])


def kill(browser):
    """SIGKILL to all of it: nothing is said to anybody."""
    for process in psutil.Process(browser.driver_pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.both_cores
async def test_a_browser_that_is_killed_stalls_its_camera_then_it_is_offline_and_the_next_one_is_taken(tmp_path):
    switches = fake_camera(tmp_path, write_film(tmp_path / "film.mp4", ([KNOWN], 4)))
    async with watching(tmp_path, read_timeout_s=6) as (service, heard):

        async def publishes(browser):
            await browser.open(f"{service.http}/publish/door")
            await browser.keys("#token", PASSWORD + "\n")
            await browser.until(f"{STATE} === 'publishing'")
            await until(lambda: heard.status("door") == {"state": "online", "reason": None})

        async with Browser(*switches) as browser:
            await publishes(browser)
            await until(lambda: heard.visits("door"))
            kill(browser)
            killed = time.time()
            await until(lambda: heard.status("door")["state"] == "stalled", 60)
            await until(lambda: heard.has_been("door", "offline", "stream_stalled"), 60)
        await service.until_metric("whosthere_webrtc_sessions", lambda open_now: open_now == 0, kind="whip")
        async with Browser(*switches) as browser:
            began = time.time()
            await publishes(browser)
        told = [message.document for message in heard.on("whosthere/cameras/door/status")]
        stalled, offline, online = (
            next(status["since"] for status in told if status["state"] == state and status["since"] > killed)
            for state in ("stalled", "offline", "online")
        )
        print(  # noqa: T201
            f"stalled {stalled - killed:.1f} s, offline {offline - killed:.1f} s after it was killed; "
            f"online {online - began:.1f} s after the next page was opened"
        )
        await until(lambda: heard.visits("door")[0][-1]["type"] == "end")
        assert heard.visits("door")[0][-1]["end_reason"] in ("left", "camera_lost")


@pytest.mark.parametrize("codec", [pytest.param("VP8", marks=pytest.mark.thorough), "H264"])
async def test_another_publisher_waits_for_a_living_one_and_takes_a_silent_ones_place(tmp_path, codec):
    switches = fake_camera(tmp_path, write_film(tmp_path / "film.mp4", ([STRANGERS[0]], 4)))
    second = Publisher(Film(None, KNOWN), AudioStreamTrack())
    capabilities = RTCRtpSender.getCapabilities("video").codecs
    second.connection.getTransceivers()[0].setCodecPreferences([one for one in capabilities if one.name == codec])
    async with watching(tmp_path) as (service, heard):
        async with Browser(*switches) as browser:
            await browser.open(f"{service.http}/publish/door")
            await browser.keys("#token", PASSWORD + "\n")
            await until(lambda: [None] in map(names_of, heard.visits("door")), 60)
            kill(browser)
            _, took_s, refusals = await post_until_taken(service, second)
        assert set(refusals) == {(409, "publisher_present")}
        await until(lambda: [NAME] in map(names_of, heard.visits("door")), 90)
        assert heard.status("door") == {"state": "online", "reason": None}
        print(f"{codec}: taken {took_s:.1f} s after the first one's last picture")  # noqa: T201
        # The service is stopped in full flight.
    await second.close()
    for visit in heard.visits("door"):
        assert_told_whole([visit])


async def test_a_page_that_came_by_http_says_that_browsers_open_cameras_by_https_alone():
    app = FastAPI()
    app.include_router(pages.routes())
    app.add_middleware(Closed, routes=app.router.routes, guard=guard_without_tokens())
    switches = ("--use-fake-device-for-media-stream", "--host-resolver-rules=MAP camera.example 127.0.0.1")
    async with serve_http(app, "127.0.0.1", 0) as port, Browser(*switches) as browser:
        await browser.open(f"http://camera.example:{port}/publish/door")
        await browser.until(f"{NOTICE}.includes('Open this page by https://')")
        assert await browser.run("return document.getElementById('login').hidden")
        await browser.open(f"http://localhost:{port}/publish/door")
        await browser.until("!document.getElementById('login').hidden")


CROSS_ORIGIN = """
return (async (endpoint, token) => {
  const stream = await navigator.mediaDevices.getUserMedia({video: true});
  const connection = new RTCPeerConnection();
  for (const track of stream.getTracks()) connection.addTransceiver(track, {direction: "sendonly"});
  await connection.setLocalDescription(await connection.createOffer());
  const headers = {Authorization: `Bearer ${token}`, "Content-Type": "application/sdp"};
  const wrong = {...headers, Authorization: "Bearer no"};
  const refused = await fetch(endpoint, {method: "POST", headers: wrong, body: "v=0"});
  const answer = await fetch(endpoint, {method: "POST", headers, body: connection.localDescription.sdp});
  await connection.setRemoteDescription({type: "answer", sdp: await answer.text()});
  window.session = new URL(answer.headers.get("Location"), endpoint);
  window.headers = headers;
  const ufrag = connection.localDescription.sdp.match(/a=ice-ufrag:(.+)/)[1].trim();
  const type = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": answer.headers.get("ETag")};
  const patched = await fetch(session, {method: "PATCH", headers: {...headers, ...type}, body: `a=ice-ufrag:${ufrag}`});
  const elsewhere = await fetch(new URL("/healthz", endpoint)).then(() => "read", () => "kept from it");
  return [(await refused.json()).code, answer.status, patched.status, elsewhere];
})(...arguments);
"""


class Blank(Quiet, BaseHTTPRequestHandler):
    """A page with nothing in it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()


async def test_a_page_of_another_origin_publishes_with_the_token_that_it_has(tmp_path):
    switches = fake_camera(tmp_path, write_film(tmp_path / "film.mp4", ([KNOWN], 4)))
    async with watching(tmp_path) as (service, heard), Browser(*switches) as browser:
        token = service.run("tokens", "make", "page", "--role", "operator", "--json")
        with http_servers() as start:
            await browser.open(start(Blank).replace("127.0.0.1", "localhost"))  # where browsers open cameras
        endpoint = f"{service.http}/whip/door"
        told = await browser.run(CROSS_ORIGIN, endpoint, json.loads(token)["token"])
        assert told == ["token_invalid", 201, 204, "kept from it"]
        await until(lambda: [NAME] in map(names_of, heard.visits("door")), 90)
        deleted = "return fetch(session, {method: 'DELETE', headers}).then((answer) => answer.status)"
        assert await browser.run(deleted) == 200
        await until(lambda: heard.has_been("door", "offline", "stream_lost"), 60)


@pytest.mark.both_cores
@pytest.mark.shared
async def test_people_of_a_real_clip_are_seen_by_way_of_a_browser(tmp_path, shared):
    switches = fake_camera(tmp_path, shared / "video" / "friends1_720p_6s.mp4")
    larger = {"paths": {"models": [str(shared / "models")], "data": "data"}, "recognition": LARGER}
    async with watching(tmp_path, config=larger) as (service, heard), Browser(*switches) as browser:
        await browser.open(f"{service.http}/publish/door")
        await browser.keys("#token", PASSWORD + "\n")
        await until(lambda: len(heard.visits("door")) >= 2, 60)
        assert heard.events("door")[0]["frame"] == {"width": 1280, "height": 720}
        assert NAME not in {name for visit in heard.visits("door") for name in names_of(visit)}
