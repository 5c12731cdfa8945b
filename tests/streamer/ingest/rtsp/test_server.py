"""The server on loopback, met by a publisher by hand: every request, login, transport and limit."""

import asyncio
import random
import socket

import pytest

from streamer.errors import CameraError, IngestAddressInvalid, PortInUse, StreamLost, StreamStalled
from streamer.ingest.publish.point import SILENT_AFTER_S, PublishPoint, PublishPoints
from streamer.ingest.publish.publication import EncodedPicture, Publication
from streamer.ingest.rtsp.connection import METHODS, MOST_REQUESTS, MOST_WRONG_LOGINS
from streamer.ingest.rtsp.front_desk import MOST_BARE, MOST_WAITING, MOST_WAITING_OF_ONE, MOST_WRONG
from streamer.ingest.rtsp.server import RtspServer
from streamer.settings import CameraSettings, RtspIngestSettings
from streamer.telemetry.metrics import Metrics
from tests.recognition.fakes import until
from tests.streamer.ingest.rtsp.conftest import DOOR, HALL, Refusals, Time
from tests.streamer.ingest.rtsp.fuzz import broken, one_message
from tests.streamer.ingest.rtsp.publisher import AUDIO, SDP, TCP, Form, Publisher, close_all, keyframe


async def taken(publication: Publication) -> EncodedPicture:
    """Its next picture."""
    picture = await asyncio.to_thread(publication.take, 10.0)
    assert isinstance(picture, EncodedPicture)
    return picture


async def arrived(points: PublishPoints, camera: str = "door") -> Publication:
    async with asyncio.timeout(10):
        return await points[camera].next()


def ended(publication: Publication) -> type[CameraError] | None:
    """What its end is, once all that waited is out."""
    try:
        while publication.take(0) is not None:
            pass
    except CameraError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("method", "status", "header"),
    [
        ("OPTIONS", 200, ("public", ", ".join(METHODS))),
        ("DESCRIBE", 405, ("allow", ", ".join(METHODS))),
        ("PLAY", 405, ("allow", ", ".join(METHODS))),
        ("PAUSE", 405, ("allow", ", ".join(METHODS))),
        ("FLUSH", 501, ("allow", ", ".join(METHODS))),
        ("SETUP", 455, None),
        ("RECORD", 455, None),
        ("TEARDOWN", 454, None),
        ("GET_PARAMETER", 200, None),
        ("SET_PARAMETER", 200, None),
    ],
)
async def test_requests_on_a_new_connection(server: RtspServer, method: str, status: int, header):
    publisher = await Publisher.connect(server.port, login=DOOR)
    answer = await publisher.ask(method)
    assert answer.status == status
    if header:
        assert answer.one(header[0]) == header[1]


async def test_what_else_is_asked_for_in_vain(server: RtspServer):
    publisher = await Publisher.connect(server.port, login=DOOR)
    assert (await publisher.ask("SETUP", headers={"Require": "x-y"})).one("unsupported") == "x-y"
    assert (await publisher.ask("GET_PARAMETER", body="position\r\n")).status == 451
    assert (await publisher.ask("SET_PARAMETER", body="a: b\r\n")).status == 451
    for method in ("TEARDOWN", "GET_PARAMETER", "RECORD", "SETUP"):
        assert (await publisher.ask(method, headers={"Session": "unknown"})).status == 454
    assert (await publisher.ask("ANNOUNCE", headers={"Content-Type": "text/plain"}, body=SDP)).status == 415
    assert (await publisher.announce("hello")).status == 400
    assert (await publisher.announce("v=0\r\n" + AUDIO)).status == 415
    assert (await publisher.announce(SDP.replace("H264", "VP8"))).words.endswith("publish H.264 or H.265")
    assert (await publisher.announce()).status == 200
    assert (await publisher.announce()).status == 455
    assert (await publisher.record()).words == "the video track was not set up"
    assert (await publisher.set_up("/streamid=7")).status == 404
    for transport in ("RTP/SAVP;unicast", "RTP/AVP;multicast", "RTP/AVP/UDP;unicast", TCP.replace("record", "play")):
        assert (await publisher.set_up(transport=transport)).status == 461
    assert (await publisher.ask("SETUP", "rtsp://[/door", {"Transport": TCP})).status == 400


@pytest.mark.parametrize("form", ["sha256", "md5", "md5 without qop", "basic"])
@pytest.mark.parametrize(("camera", "login"), [("door", DOOR), ("hall", HALL)])
async def test_each_login_is_let_in(server: RtspServer, points: PublishPoints, form: Form, camera: str, login):
    publisher = await Publisher.connect(server.port, camera, login, form)
    await publisher.publish()
    assert points[camera].is_taken
    assert (await arrived(points, camera)).stream.transport == "rtsp tcp"


async def test_the_offers_of_logins_stand_in_the_order_that_ffmpeg_needs(server: RtspServer):
    publisher = await Publisher.connect(server.port)
    offers = (await publisher.announce()).headers["www-authenticate"]
    assert [offer.partition(" ")[0] for offer in offers] == ["Digest", "Digest", "Basic"]
    assert "SHA-256" in offers[0]
    assert "MD5" in offers[1]


@pytest.mark.parametrize("form", ["sha256", "md5 without qop", "basic"])
@pytest.mark.parametrize("login", [("ada", "wrong"), ("bob", DOOR[1]), ("ada", ""), ("", "")])
async def test_a_wrong_login_learns_nothing(server: RtspServer, time: Time, refusals: Refusals, form: Form, login):
    """Neither from the answer's words nor from whether there is such a camera."""
    answers = []
    for camera in ("door", "nowhere", ""):
        publisher = await Publisher.connect(server.port, camera, login, form)
        asking = asyncio.create_task(publisher.announce())
        await until(lambda: refusals("login_refused") == len(answers) + 1)
        assert not asking.done()
        time.pass_s(1.0)
        answer = await asking
        answers.append((answer.status, answer.words, len(answer.headers["www-authenticate"])))
    assert answers == [(401, "Unauthorized", 3)] * 3


async def test_whoever_guesses_on_is_put_out(server: RtspServer, time: Time):
    publisher = await Publisher.connect(server.port, login=("ada", "wrong"))
    for _ in range(MOST_WRONG_LOGINS):
        asking = asyncio.create_task(publisher.announce())
        while not asking.done():
            time.pass_s(1.0)
            await asyncio.sleep(0)
        assert (await asking).status == 401
    assert await publisher.closed() == b""


async def test_guesses_are_counted_by_address_and_camera(server: RtspServer, time: Time, refusals: Refusals):
    """However many connections they come over; another camera's publisher beside them is let in."""

    async def status(camera: str, login: tuple[str, str]) -> int:
        publisher = await Publisher.connect(server.port, camera, login, "basic")
        asking = asyncio.create_task(publisher.announce())
        before = refusals("login_refused")
        await until(lambda: asking.done() or refusals("login_refused") > before)
        time.pass_s(0 if asking.done() else 1.0)
        return (await asking).status

    for _ in range(MOST_WRONG):
        assert await status("door", ("ada", "wrong")) == 401
    assert await status("door", DOOR) == 401
    assert await status("hall", HALL) == 200
    assert await status("nowhere", HALL) == 404
    time.pass_s(60.0)
    await until(lambda: not server.desk.is_guessing("127.0.0.1", "door"))
    assert await status("door", DOOR) == 200


async def test_the_login_of_one_camera_opens_no_other_and_lists_none(server: RtspServer):
    for camera in ("hall", "nowhere", "door/x", ""):
        publisher = await Publisher.connect(server.port, camera, DOOR)
        assert (await publisher.announce()).status == 404


@pytest.mark.parametrize("form", ["basic", "sha256", "md5"])
@pytest.mark.parametrize(
    ("camera", "login", "told"),
    [
        ("door", (DOOR[0], "wrong-s3cret"), "(camera door, user ada) is refused: its user or password is wrong"),
        ("door", (HALL[0], "wrong-s3cret"), "(camera door, user hall) is refused: its user or password is wrong"),
        ("hall", ("pasted-s3cret", "x"), "(camera hall, a user that no camera has) is refused: its user or"),
        ("dooor-s3cret", DOOR, "(no camera of that name, user ada) is refused: there is no camera of that name"),
        ("hall", DOOR, "(camera hall, user ada) is refused: there is no camera of that name that its login is for"),
        ("off", ("off", "word"), "(camera off, user off) is refused: the camera is disabled"),
    ],
)
async def test_the_log_names_camera_and_user_of_who_is_refused(
    server: RtspServer, points: PublishPoints, time: Time, caplog, camera: str, login, told: str, form: Form
):
    off = CameraSettings(url="publish://", password="word", enabled=False)
    points["off"] = PublishPoint("off", off, time)
    publisher = await Publisher.connect(server.port, camera, login, form=form)
    asking = asyncio.create_task(publisher.announce())
    while not asking.done():
        time.pass_s(1.0)
        await asyncio.sleep(0)
    assert (await asking).status in (401, 404)
    assert told in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_second_publisher_is_named_too(server: RtspServer, caplog):
    first = await Publisher.connect(server.port, "door", DOOR)
    await first.publish()
    second = await Publisher.connect(server.port, "door", DOOR)
    await second.announce()
    await second.set_up()
    assert (await second.record()).status == 409
    assert "(camera door, user ada) is refused: another one publishes" in caplog.text


async def test_a_camera_without_its_variable(
    server: RtspServer, points: PublishPoints, time: Time, caplog, monkeypatch, tmp_path
):
    points["gate"] = PublishPoint("gate", CameraSettings(url="publish://", password="${GATE_PASSWORD}"), time)
    publisher = await Publisher.connect(server.port, "gate", ("gate", "guess"))
    asking = asyncio.create_task(publisher.announce())
    while not asking.done():
        time.pass_s(1.0)
        await asyncio.sleep(0)
    assert (await asking).status == 401
    assert "camera gate: nobody can publish to it: variable GATE_PASSWORD is not set" in caplog.text
    monkeypatch.setenv("GATE_PASSWORD_FILE", str(tmp_path / "password"))
    (tmp_path / "password").write_text("guess\n")
    publisher.forget()
    await publisher.publish()
    assert points["gate"].is_taken
    assert "guess" not in caplog.text


@pytest.mark.parametrize("form", ["sha256", "md5", "md5 without qop"])
async def test_a_nonce_that_is_too_old_is_exchanged(server: RtspServer, time: Time, form: Form):
    publisher = await Publisher.connect(server.port, login=DOOR, form=form)
    await publisher.publish()
    for _ in range(40):  # the connection lives on
        time.pass_s(8.0)
        publisher.send(keyframe(0))
        assert (await publisher.ask("OPTIONS")).status == 200
    await publisher.ask("TEARDOWN")
    publisher.session = None
    answer = await publisher.announce()
    assert answer.status == 401
    assert all("stale=true" in offer for offer in answer.headers["www-authenticate"] if "Digest" in offer)
    publisher.forget()
    await publisher.publish()


async def test_pictures_come_from_the_announcement_to_the_teardown(server: RtspServer, points: PublishPoints, metrics):
    publisher = await Publisher.connect(server.port, login=DOOR)
    assert (await publisher.publish()).one("transport") == TCP
    publication = await arrived(points)
    for number in range(3):
        publisher.send(keyframe(number, 3600 * number))
    publisher.send(b"no RTP at all")
    publisher.send(keyframe(3), channel=200)
    assert [(await taken(publication)).pts for _ in range(3)] == [0, 3600, 7200]
    assert (await publisher.ask("GET_PARAMETER")).status == 200
    assert (await publisher.set_up()).status == 455
    assert (await publisher.record()).status == 455
    assert (await publisher.ask("TEARDOWN")).status == 200
    assert ended(publication) is StreamLost
    packets = {
        outcome: metrics.registry.get_sample_value(
            "whosthere_ingest_packets_total", {"camera": "door", "outcome": outcome}
        )
        for outcome in ("received", "refused", "lost")
    }
    assert packets == {"received": 3, "refused": 1, "lost": None}
    assert metrics.registry.get_sample_value("whosthere_ingest_bytes_total", {"camera": "door"}) == 3 * 53 + 13
    publisher.session = None
    await publisher.publish()
    assert points["door"].is_taken


async def test_a_publisher_may_do_without_the_session_header(server: RtspServer, points: PublishPoints):
    publisher = await Publisher.connect(server.port, login=DOOR)
    await publisher.announce()
    await publisher.set_up()
    publisher.session = None
    assert (await publisher.record()).status == 200
    assert (await publisher.ask("TEARDOWN")).status == 200
    assert not points["door"].is_taken


@pytest.mark.parametrize(
    ("query", "control"),
    [
        ("", "/streamid=0"),
        ("?token=x", "/streamid=0"),
        ("/", "/streamid=0"),
        ("", "/streamid=0?token=x"),
        ("//", "/streamid=0"),
    ],
)
async def test_urls_as_publishers_make_them(server: RtspServer, points: PublishPoints, query: str, control: str):
    publisher = await Publisher.connect(server.port, login=DOOR)
    publisher.url += query
    assert (await publisher.announce()).status == 200
    assert (await publisher.set_up(control)).status == 200
    assert (await publisher.record()).status == 200
    assert points["door"].is_taken


async def test_the_video_is_found_behind_the_audio(server: RtspServer, points: PublishPoints):
    head, _, video = SDP.partition("m=")
    publisher = await Publisher.connect(server.port, login=DOOR)
    await publisher.announce(head + AUDIO + "m=" + video)
    await publisher.set_up("/streamid=1", TCP)
    assert (await publisher.set_up("/streamid=0", TCP)).one("transport") == TCP.replace("0-1", "2-3")
    await publisher.record()
    publication = await arrived(points)
    for number in range(50):
        publisher.send(keyframe(number, payload_type=97), channel=0)
    publisher.send(keyframe(9, 90), channel=2)
    assert (await taken(publication)).pts == 90


async def test_udp_packets_of_the_publisher_alone(server: RtspServer, points: PublishPoints, time: Time):
    rtp, rtcp, stranger = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3))
    with rtp, rtcp, stranger:
        for each, host in ((rtp, "127.0.0.1"), (rtcp, "127.0.0.1"), (stranger, "127.0.0.2")):
            each.bind((host, 0))
        rtcp.setblocking(False)
        ports = f"{rtp.getsockname()[1]}-{rtcp.getsockname()[1]}"
        publisher = await Publisher.connect(server.port, login=DOOR)
        answer = await publisher.publish(f"RTP/AVP/UDP;unicast;client_port={ports};mode=record")
        transport = answer.one("transport")
        assert f"client_port={ports}" in transport
        first, second = (int(port) for port in transport.partition("server_port=")[2].partition(";")[0].split("-"))
        assert first % 2 == 0
        assert second == first + 1
        publication = await arrived(points)
        assert publication.stream.transport == "rtsp udp"
        stranger.sendto(keyframe(0, 1), ("127.0.0.1", first))
        for number in range(4):
            rtp.sendto(keyframe(number, number * 3600, ssrc=9), ("127.0.0.1", first))
        received = asyncio.create_task(taken(publication), name="the first")
        while not received.done():  # no packet before it is waited for any longer
            time.pass_s(0.05)
            await asyncio.sleep(0.01)
        assert (await received).pts == 0
        assert [(await taken(publication)).pts for _ in range(3)] == [3600, 7200, 10800]
        time.pass_s(5.0)
        async with asyncio.timeout(10):
            report = await asyncio.get_running_loop().sock_recv(rtcp, 2048)
        assert report[1] == 201
        publisher.close()
        await until(lambda: publication.is_over)
        for port in (first, second):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
                again.bind(("127.0.0.1", port))


async def test_receiver_reports_go_out_over_tcp(server: RtspServer, points: PublishPoints, time: Time):
    publisher = await Publisher.connect(server.port, login=DOOR)
    await publisher.publish(TCP.replace("0-1", "4-5"))
    publisher.send(keyframe(1), channel=4)
    await taken(await arrived(points))
    time.pass_s(5.0)
    channel, report = await publisher.packet()
    assert (channel, report[1]) == (5, 201)


async def test_a_second_publisher_waits_until_the_first_is_silent(
    server: RtspServer, points: PublishPoints, time: Time, refusals: Refusals
):
    first = await Publisher.connect(server.port, login=DOOR)
    await first.publish()
    before = await arrived(points)
    second = await Publisher.connect(server.port, login=DOOR)
    await second.announce()
    await second.set_up()
    answer = await second.record()
    assert answer.status == 409
    assert "somebody publishes to it already" in answer.words
    assert refusals("publisher_present") == 1
    assert not before.is_over

    time.pass_s(SILENT_AFTER_S + 0.1)
    assert (await second.record()).status == 200
    assert ended(before) is StreamLost
    assert await first.closed() == b""
    now = await arrived(points)
    assert now is not before
    second.send(keyframe(0, 90))
    assert (await taken(now)).pts == 90


async def test_silence_ends_it_and_rtcp_does_not(server: RtspServer, points: PublishPoints, time: Time):
    publisher = await Publisher.connect(server.port, login=DOOR)
    await publisher.publish()
    publication = await arrived(points)
    for _ in range(3):
        time.pass_s(6.0)
        publisher.send(b"\x80\xc8\x00\x06" + b"\x00" * 24, channel=1)
        await publisher.ask("OPTIONS")  # it was read
        assert not publication.is_over
    time.pass_s(10.1)
    await until(lambda: publication.is_over)
    assert ended(publication) is StreamStalled
    await publisher.closed()


async def test_the_camera_may_send_its_publisher_away(server: RtspServer, points: PublishPoints):
    publisher = await Publisher.connect(server.port, login=DOOR)
    await publisher.publish()
    publication = await arrived(points)
    publication.close()
    assert publication.is_over
    assert await publisher.closed() == b""


async def test_bare_packets_are_told_that_there_is_no_session(server: RtspServer, refusals: Refusals):
    for number in range(MOST_BARE + 1):
        publisher = await Publisher.connect(server.port)
        publisher.writer.write(b"$")
        if number < MOST_BARE:
            answer = await publisher.answer()
            assert (answer.status, answer.cseq) == (454, None)
            assert await publisher.closed() == b""
        publisher.close()
    await until(lambda: refusals("session_unknown") == MOST_BARE + 1)


async def test_packets_after_the_announcement_hurt_nobody(server: RtspServer):
    publisher = await Publisher.connect(server.port, login=DOOR)
    await publisher.announce()
    publisher.send(keyframe(0))
    assert (await publisher.set_up()).status == 200


async def test_idle_connections_keep_nobody_out(server: RtspServer, points: PublishPoints, time: Time, refusals):
    idle = [await Publisher.connect(server.port) for _ in range(200)]
    await until(lambda: refusals("too_many_connections") >= 200 - MOST_WAITING_OF_ONE)
    publisher = await Publisher.connect(server.port, login=DOOR)
    await publisher.publish()
    publisher.send(keyframe(0))
    await taken(await arrived(points))
    time.pass_s(9.9)
    publisher.send(keyframe(1, 1))
    await taken(await arrived(points))
    time.pass_s(0.2)
    for each in idle:
        assert await each.closed() == b""
    assert points["door"].is_taken
    assert MOST_WAITING > MOST_WAITING_OF_ONE


async def test_one_that_asks_and_asks_and_never_publishes(server: RtspServer):
    publisher = await Publisher.connect(server.port)
    for _ in range(MOST_REQUESTS):
        assert (await publisher.ask("OPTIONS")).status == 200
    assert (await publisher.ask("OPTIONS")).status == 400
    assert await publisher.closed() == b""


@pytest.mark.parametrize("step", ["connected", "announced", "set up"])
async def test_one_that_stops_before_it_publishes(server: RtspServer, time: Time, step: str):
    publisher = await Publisher.connect(server.port, login=DOOR)
    await publisher.ask("OPTIONS")
    if step != "connected":
        await publisher.announce()
    if step == "set up":
        await publisher.set_up()
    time.pass_s(10.0)
    assert await publisher.closed() == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"OPTIONS " + b"x" * 100_000, b"414"),
        (b"OPTIONS * RTSP/1.0\r\n" + b"A: b\r\n" * 1000, b"400"),
        (b"ANNOUNCE rtsp://h/door RTSP/1.0\r\nCSeq: 5\r\nContent-Length: 1000000\r\n\r\n", b"413"),
    ],
)
async def test_what_is_no_request_is_told_so_and_closed(server: RtspServer, refusals: Refusals, data, status):
    publisher = await Publisher.connect(server.port)
    publisher.writer.write(data)
    assert (await publisher.closed()).startswith(b"RTSP/1.0 " + status)
    assert refusals("request_malformed") == 1


@pytest.mark.parametrize("cut", [1, 20, 60, 200])
async def test_a_message_that_is_cut_off(server: RtspServer, cut: int):
    publisher = await Publisher.connect(server.port)
    head = f"ANNOUNCE {publisher.url} RTSP/1.0\r\nCSeq: 1\r\nContent-Length: {len(SDP)}\r\n\r\n"
    publisher.writer.write((head + SDP)[:cut].encode())
    publisher.close()
    other = await Publisher.connect(server.port, login=DOOR)
    await other.publish()


@pytest.mark.usefixtures("time_goes_by")
@pytest.mark.parametrize("seed", range(2))
async def test_broken_streams_of_somebody_who_may_publish(server: RtspServer, points: PublishPoints, seed: int):
    """Every one ends, and a good publisher gets in afterwards."""
    rng = random.Random(seed)
    login = b"Authorization: Basic YWRhOnBAc3MvOndvcmQ="
    for _ in range(25):
        data = b"".join(one_message(rng, login=login) for _ in range(rng.randrange(1, 8)))
        publisher = await Publisher.connect(server.port)
        publisher.writer.write(broken(rng, data) if rng.random() < 0.8 else data)
        publisher.writer.write_eof()
        await publisher.closed()
        publisher.close()
    await until(lambda: not points["door"].is_taken)
    good = await Publisher.connect(server.port, login=DOOR)
    await good.publish()
    good.send(keyframe(0))
    await taken(await arrived(points))


async def test_the_end_of_the_service_is_the_end_of_all(points: PublishPoints, metrics: Metrics, time: Time):
    async with RtspServer(RtspIngestSettings(port=0), points, metrics, time) as server:
        port = server.port
        publisher, idle = await Publisher.connect(port, login=DOOR), await Publisher.connect(port)
        await publisher.publish()
        publication = await arrived(points)
        publisher.send(keyframe(0) * 1000)
    assert ended(publication) is StreamLost
    for each in (publisher, idle):
        assert await each.closed() == b""
    await close_all()
    async with RtspServer(RtspIngestSettings(port=port), points, metrics, time) as again:
        assert again.port == port


async def test_no_camera_no_server(metrics: Metrics, points: PublishPoints, time: Time):
    async with RtspServer(RtspIngestSettings(port=0), {}, metrics) as server:
        assert server.port == 0
    later: PublishPoints = {}
    async with RtspServer(RtspIngestSettings(port=0), later, metrics, time) as server:
        later |= points
        await server.open()
        await server.open()
        await (await Publisher.connect(server.port, login=DOOR)).publish()
        await close_all()


async def test_addresses_that_cannot_be_had(points: PublishPoints, metrics: Metrics, free_port: int):
    taken = RtspServer(RtspIngestSettings(port=free_port), points, metrics)
    with socket.create_server(("127.0.0.1", free_port)), pytest.raises(PortInUse, match=r"^ingest\.rtsp\.port \d+ on "):
        await taken.open()
    with pytest.raises(IngestAddressInvalid, match=r"^ingest\.rtsp\.host no such host"):
        await RtspServer(RtspIngestSettings(host="no such host"), points, metrics).open()
    with pytest.raises(IngestAddressInvalid, match="can't listen on 192"):
        await RtspServer(RtspIngestSettings(host="192.0.2.1"), points, metrics).open()


async def test_a_wider_address_is_told_of(points: PublishPoints, metrics: Metrics, caplog):
    async with RtspServer(RtspIngestSettings(host="0.0.0.0", port=0), points, metrics):
        assert "their video goes unencrypted" in caplog.text
