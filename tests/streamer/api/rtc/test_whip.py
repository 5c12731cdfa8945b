"""WHIP over real sockets: a publisher of aiortc's, every status of RFC 9725's that there is a reason for."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from aiortc.sdp import candidate_to_sdp

from streamer.access.guard import Guard
from streamer.access.token_file import revoke_token
from streamer.api.application import create_app
from streamer.api.rtc.whip import whip_routes
from streamer.api.server import serve_http
from streamer.errors import StreamLost
from streamer.ingest.publish.point import PublishPoint, PublishPoints
from streamer.ingest.publish.publication import DecodedPicture
from streamer.readiness import Readiness
from streamer.settings import CameraSettings, WebrtcSettings
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.keys import bearer, guard_with_tokens
from tests.streamer.webrtc.peers import Pausing, Publisher, nothing_left

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
DOOR = bearer("s3cret-of-the-door")


@dataclass
class Looked:
    """As much of a service as the routes look at."""

    guard: Guard
    metrics: Metrics = field(default_factory=Metrics)

    def readiness(self):
        return Readiness(())


@dataclass
class Served:
    client: httpx.AsyncClient
    points: PublishPoints
    tokens: dict[str, dict[str, str]]
    metrics: Metrics
    revoke: Callable[[str], None]

    async def publish(self, publisher: Publisher, headers=DOOR):
        answer = await self.client.post("/whip/door", content=await publisher.offer(), headers=SDP | headers)
        assert answer.status_code == 201, answer.text
        await publisher.accept(answer.text)
        return answer

    async def picture(self, limit_s=15.0):
        publication = await self.points["door"].next()
        found = await asyncio.to_thread(publication.take, limit_s)
        assert isinstance(found, DecodedPicture)
        return found.frame


@asynccontextmanager
async def served(folder: Path, settings: WebrtcSettings):
    guard, tokens = guard_with_tokens(folder)
    service = Looked(guard)

    def revoke(name):
        revoke_token(folder / "tokens.json", name)
        guard._tokens.look()

    cameras = {"door": CameraSettings(url="publish://", password="s3cret-of-the-door", read_timeout_s=0.5)}
    points = {name: PublishPoint(name, camera) for name, camera in cameras.items()}
    async with (
        whip_routes(settings, points, {"door", "hall"}.__contains__, service.metrics) as routes,
        serve_http(create_app(service, [routes]), "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
    ):
        yield Served(client, points, tokens, service.metrics, revoke)


@pytest.fixture
async def whip(tmp_path):
    async with nothing_left(), served(tmp_path, WebrtcSettings()) as found, asyncio.timeout(60):
        yield found


@pytest.fixture
async def publisher():
    one = Publisher()
    yield one
    await one.close()


async def test_an_offer_is_answered_and_its_pictures_arrive_until_it_is_deleted(whip, publisher):
    answer = await whip.publish(publisher)
    frame = await whip.picture()
    publication = await whip.points["door"].next()
    assert (answer.headers["content-type"], answer.headers["accept-patch"]) == (
        "application/sdp",
        "application/trickle-ice-sdpfrag",
    )
    assert "a=recvonly" in answer.text
    assert "x-google-start-bitrate=2500" in answer.text
    assert "link" not in answer.headers
    assert (frame.width, frame.height, publication.stream.codec) == (640, 480, "vp8")
    assert whip.metrics.registry.get_sample_value("whosthere_webrtc_sessions", {"kind": "whip"}) == 1

    gone = await whip.client.delete(answer.headers["location"], headers=DOOR)

    assert gone.status_code == 200
    with pytest.raises(StreamLost, match="the peer ended it"):
        await asyncio.to_thread(_emptied, publication)
    assert whip.metrics.registry.get_sample_value("whosthere_webrtc_sessions", {"kind": "whip"}) == 0
    assert (await whip.client.delete(answer.headers["location"], headers=DOOR)).status_code == 404


def _emptied(publication):
    while True:
        publication.take(1.0)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "token_missing"),
        (bearer("wrong"), 401, "token_invalid"),
        (bearer("s3cret-of-the-doo"), 401, "token_invalid"),
        ("viewer", 403, "role_too_low"),
    ],
)
async def test_who_has_neither_the_password_nor_an_operators_token_is_refused(whip, publisher, headers, status, code):
    headers = whip.tokens[headers] if isinstance(headers, str) else headers
    answer = await whip.client.post("/whip/door", content=await publisher.offer(), headers=SDP | headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_the_cameras_password_opens_no_other_camera(whip, publisher):
    answer = await whip.client.post("/whip/hall", content=await publisher.offer(), headers=SDP | DOOR)
    assert answer.status_code == 401


@pytest.mark.parametrize("role", ["operator", "admin"])
async def test_an_operators_token_publishes(whip, publisher, role):
    await whip.publish(publisher, whip.tokens[role])
    assert (await whip.picture()).width == 640


async def test_a_token_that_is_revoked_publishes_no_more(whip, publisher):
    answer = await whip.publish(publisher, whip.tokens["operator"])
    await whip.picture()
    publication = await whip.points["door"].next()
    whip.revoke("the operator")
    with pytest.raises(StreamLost, match="its token was revoked"):
        await asyncio.to_thread(_emptied, publication)
    gone = await whip.client.delete(answer.headers["location"], headers=whip.tokens["operator"])
    assert gone.status_code == 401


async def test_two_publishers_of_one_camera_are_one_too_many_until_the_first_ends(whip, publisher):
    first = await whip.publish(publisher)
    await whip.picture()
    second = Publisher()
    offer = await second.offer()
    refused = await whip.client.post("/whip/door", content=offer, headers=SDP | DOOR)
    assert (refused.status_code, refused.json()["code"]) == (409, "publisher_present")
    assert "retry-after" in refused.headers
    await whip.client.delete(first.headers["location"], headers=DOOR)
    taken = await whip.client.post("/whip/door", content=offer, headers=SDP | DOOR)
    assert taken.status_code == 201
    await second.accept(taken.text)
    assert (await whip.picture()).width == 640
    await second.close()


@pytest.mark.parametrize(
    ("camera", "status", "code"), [("hall", 404, "camera_not_published"), ("attic", 404, "camera_unknown")]
)
async def test_cameras_that_take_no_publisher(whip, publisher, camera, status, code):
    headers = SDP | whip.tokens["operator"]
    answer = await whip.client.post(f"/whip/{camera}", content=await publisher.offer(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"v=0", "application/json", 415, "media_type_unsupported"),
        (b"", "application/sdp", 400, "offer_invalid"),
        (b"\xff\xfe", "application/sdp", 400, "offer_invalid"),
        (b"v=0\r\n" + b"a=x:y\r\n" * 10_000, "application/sdp", 413, "body_too_large"),
        (b"v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "application/sdp; charset=utf-8", 400, "offer_invalid"),
    ],
)
async def test_bodies_that_are_no_offer(whip, content, kind, status, code):
    answer = await whip.client.post("/whip/door", content=content, headers={"Content-Type": kind} | DOOR)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_body_that_does_not_end(whip, monkeypatch):
    monkeypatch.setattr("streamer.api.rtc.signalling.BODY_S", 0.2)

    async def slowly():
        yield b"v=0"
        await asyncio.sleep(0.5)

    answer = await whip.client.post("/whip/door", content=slowly(), headers=SDP | DOOR)
    assert (answer.status_code, answer.json()["code"]) == (400, "offer_invalid")
    assert "not whole after 0.2 s" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda sdp: sdp.replace("VP8/", "VP9/").replace("H264/", "AV1/"), "AV1, VP9, rtx"),
        (lambda sdp: sdp.replace("a=sendonly", "a=recvonly"), "no video"),
        (lambda sdp: sdp.replace("m=video", "m=audio"), "no video"),
        (lambda sdp: sdp + sdp[sdp.index("m=video") :].replace("a=mid:0", "a=mid:1"), "video, video"),
    ],
    ids=["codecs", "receives", "audio", "two videos"],
)
async def test_offers_that_ask_for_what_is_not_here(whip, publisher, change, says):
    answer = await whip.client.post("/whip/door", content=change(await publisher.offer()), headers=SDP | DOOR)
    assert (answer.status_code, answer.json()["code"]) == (422, "offer_unsupported")
    assert says in answer.json()["detail"]


async def test_candidates_by_patch(whip, publisher):
    offer = await publisher.offer()
    bare = "".join(line + "\r\n" for line in offer.splitlines() if "candidate" not in line)
    answer = await whip.client.post("/whip/door", content=bare, headers=SDP | DOOR)
    await publisher.accept(answer.text)
    url, tag = answer.headers["location"], {"If-Match": answer.headers["etag"]}
    ufrag = next(line for line in offer.splitlines() if line.startswith("a=ice-ufrag"))
    transport = publisher.connection.getTransceivers()[0].sender.transport.transport
    candidates = [f"a=candidate:{candidate_to_sdp(c)}" for c in transport.iceGatherer.getLocalCandidates()]
    body = "\r\n".join(
        [
            ufrag,
            "m=video 9 UDP/TLS/RTP/SAVPF 0",
            "a=mid:0",
            *candidates,
            "a=candidate:1 1 tcp 1 192.0.2.1 9 typ host",
            "",
        ]
    )

    async def patch(content, headers):
        return await whip.client.patch(url, content=content, headers=headers)

    assert (await patch(body, FRAGMENT | DOOR)).status_code == 428
    assert (await patch(body, FRAGMENT | DOOR | {"If-Match": '"another"'})).status_code == 412
    assert (await patch(body, SDP | DOOR | tag)).status_code == 415
    assert (await patch("no sdp at all", FRAGMENT | DOOR | tag)).status_code == 400
    assert (await patch("a=x\r\n" * 10_000, FRAGMENT | DOOR | tag)).status_code == 413
    assert (await patch(body, FRAGMENT | tag)).status_code == 401
    taken = await patch(body, FRAGMENT | DOOR | tag)
    assert (taken.status_code, taken.content, "etag" in taken.headers) == (204, b"", False)
    assert (await whip.picture()).width == 640


async def test_an_ice_restart_is_refused_and_the_session_goes_on(whip, publisher):
    answer = await whip.publish(publisher)
    await whip.picture()
    body = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
    refused = await whip.client.patch(
        answer.headers["location"], content=body, headers=FRAGMENT | DOOR | {"If-Match": "*"}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "ice_restart_unsupported")
    for _ in range(5):
        assert (await whip.picture()).width == 640


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/whip/door", "POST, OPTIONS"),
        ("HEAD", "/whip/door", "POST, OPTIONS"),
        ("PUT", "/whip/door", "POST, OPTIONS"),
        ("GET", "/whip/door/x", "PATCH, DELETE, OPTIONS"),
        ("POST", "/whip/door/x", "PATCH, DELETE, OPTIONS"),
        ("PUT", "/whip/door/x", "PATCH, DELETE, OPTIONS"),
    ],
)
async def test_methods_that_are_kept_free(whip, method, path, allowed):
    answer = await whip.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/whip/door", "/whip/door/x", "/whip/attic"])
async def test_a_browser_may_ask_before_without_a_token(whip, path):
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    answer = await whip.client.options(path, headers=headers)
    assert (answer.status_code, answer.headers["accept-post"]) == (200, "application/sdp")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "Authorization, Content-Type, If-Match"
    assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-origin" not in (await whip.client.get("/healthz")).headers


async def test_a_publisher_that_falls_silent_is_ended(whip):
    track = Pausing()
    publisher = Publisher(track)
    answer = await whip.publish(publisher)
    await whip.picture()
    publication = await whip.points["door"].next()
    track.going.clear()
    async with asyncio.timeout(10):
        while not publication.is_over:
            await asyncio.sleep(0.01)
    # Its place is free.
    again = Publisher()
    await whip.publish(again)
    assert (await whip.picture()).width == 640
    assert (await whip.client.delete(answer.headers["location"], headers=DOOR)).status_code == 404
    track.going.set()
    await publisher.close()
    await again.close()


@pytest.mark.parametrize(
    ("settings", "installed", "status", "code"),
    [(WebrtcSettings(enabled=False), True, 404, "webrtc_disabled"), (WebrtcSettings(), False, 501, "webrtc_missing")],
)
async def test_where_webrtc_is_not_to_be_had_it_is_said(tmp_path, monkeypatch, settings, installed, status, code):
    if not installed:
        monkeypatch.setitem(sys.modules, "streamer.api.rtc.signalling", None)
    async with served(tmp_path, settings) as whip:
        answer = await whip.client.post("/whip/door", content="v=0", headers=SDP | DOOR)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert (await whip.client.post("/whip/door", content="v=0", headers=SDP)).status_code == 401
        assert (await whip.client.get("/healthz")).status_code == 200


def test_nothing_but_webrtc_needs_its_extra():
    blocked = "import sys; sys.modules.update(aiortc=None, aioice=None); "
    everything = "import streamer.app, streamer.checks, streamer.commands, streamer.api.rtc.whip, streamer.api.rtc.whep"
    done = subprocess.run([sys.executable, "-c", blocked + everything], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


async def test_an_offer_that_is_being_answered_when_the_service_stops_is_told_so(tmp_path, caplog, monkeypatch):
    """Its answer waits for a STUN server, which says nothing: for 2.5 s, here."""
    monkeypatch.setattr("aioice.stun.RETRY_RTO", 0.04)
    monkeypatch.setattr("aioice.stun.RETRY_MAX", 5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun:
        stun.bind(("127.0.0.1", 0))
        stun.setblocking(False)
        settings = WebrtcSettings(ice_servers=[f"stun:127.0.0.1:{stun.getsockname()[1]}"])
        async with nothing_left(), asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            publisher = Publisher()
            offer = await publisher.offer()
            async with served(tmp_path, settings) as whip:
                client = httpx.AsyncClient(base_url=whip.client.base_url, timeout=20)
                asking = tasks.create_task(client.post("/whip/door", content=offer, headers=SDP | DOOR))
                await asyncio.get_running_loop().sock_recv(stun, 2000)
            answer = await asking
            assert whip.metrics.webrtc_sessions.labels(kind="whip")._value.get() == 0
            await client.aclose()
            await publisher.close()
        assert (answer.status_code, answer.json()["code"]) == (503, "service_stopping")
    assert not [record for record in caplog.records if record.exc_info]
