"""Acceptance: a camera that pushes by RTSP, and who it shows over MQTT; a stop in full flight, another password."""

import asyncio

import httpx
import pytest

from streamer.demo.scene import write_stills
from tests.faces import KNOWN, NAME, STRANGERS, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.publishers import Publishing, by_ffmpeg
from tests.live.servers import unused_port
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, assert_told_whole, names_of
from tests.live.test_cameras_at_run_time import Rig
from tests.streamer.webrtc.peers import Publisher as Peer

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]


@pytest.mark.both_cores
async def test_from_a_publisher_to_a_name(tmp_path, monkeypatch):
    film = write_film(tmp_path / "door.mp4", ([KNOWN, STRANGERS[0]], 3), ([STRANGERS[0]], 3))
    monkeypatch.setenv("DOOR_PASSWORD", "p@ss:w/rd")
    port = unused_port()
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        config = {
            "paths": {"data": "data"},
            "mqtt": {"port": broker.port},
            "ingest": {"rtsp": {"port": port}},
            "cameras": {
                "door": {"url": "publish://", "user": "ada", "password": "${DOOR_PASSWORD}", "fps": 10},
                "gate": {"url": "publish://", "password": "${NOBODY_SET_IT}"},
            },
        }
        service = ServiceProcess(tmp_path, config)
        assert "3 of 3 photos enrolled" in service.run("enrol", NAME, *write_stills(tmp_path))
        url = f"rtsp://ada:p%40ss%3Aw%2Frd@127.0.0.1:{port}/door"
        with service:
            await service.until_ready("broker", "models", "rtsp ingest")
            parts = await service.parts()
            assert parts["camera door"]["reason"] == "offline: no_publisher"
            assert parts["camera gate"]["reason"] == "offline: camera_variable_unset"
            with by_ffmpeg(film, url.replace("p%40", "q%40"), tmp_path / "wrong.log") as wrong:
                await until(lambda: wrong.is_over)
            assert "401 Unauthorized" in wrong.said
            assert "camera_login_refused" not in str(await service.parts())
            with by_ffmpeg(film, url, tmp_path / "publisher.log") as publisher:
                await until(lambda: NAME in {name for told in heard.visits("door") for name in names_of(told)}, 60)
                assert (await service.readiness())["camera door"]
                async with asyncio.timeout(10):
                    while 'whosthere_publishers{camera="door"} 1.0' not in await service.text("/metrics"):
                        await asyncio.sleep(0.05)
                assert service.stop() == 0
                await until(lambda: publisher.is_over)
            await heard.catch_up()
            visits = heard.visits("door")
            assert_told_whole(visits)
            reasons = [told[-1]["end_reason"] for told in visits]
            assert set(reasons) <= {"left", "stopped"}
            assert reasons.count("stopped") >= 1, "somebody was there when it was stopped"
            assert heard.status("door") == {"state": "offline", "reason": "stopped"}
        logged = service.log_file.read_text()
        assert "p@ss" not in logged
        assert "p%40ss" not in logged
        assert "Traceback" not in logged


async def test_another_password_ends_the_publisher_and_a_second_way_in_is_told_409(tmp_path):
    film = write_film(tmp_path / "door.mp4", ([KNOWN], 3))
    port = unused_port()
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        camera = {"url": "publish://", "user": "ada", "password": "before", "fps": 5}
        still = {"url": str(film), "loop": True, "fps": 5}
        cameras = {"door": camera, "hall": still}
        with Rig(tmp_path, broker.port, cameras, ingest={"rtsp": {"port": port}}) as service:
            await service.until_ready("broker", "models", "rtsp ingest")

            def publisher(password: str) -> Publishing:
                return by_ffmpeg(film, f"rtsp://ada:{password}@127.0.0.1:{port}/door", tmp_path / f"{password}.log")

            async def is_shown() -> bool:
                return await service.metric("whosthere_frames_total", camera="door", outcome="processed") > shown

            with publisher("before") as first:
                shown = 0.0
                await until(is_shown)
                await until(lambda: heard.visits("door"))
                headers = {"Content-Type": "application/sdp", "Authorization": "Bearer before"}
                peer = Peer()
                async with httpx.AsyncClient(base_url=service.http or "", timeout=20) as client:
                    refused = await client.post("/whip/door", content=await peer.offer(), headers=headers)
                await peer.close()
                assert (refused.status_code, refused.json()["code"]) == (409, "publisher_present")
                assert not first.is_over, "it goes on"
                service.write({"door": camera | {"password": "after"}, "hall": still})
                service.hang_up()
                await until(lambda: first.is_over)
            await until(lambda: heard.status("door") == {"state": "offline", "reason": "no_publisher"})
            with publisher("before") as old:
                await until(lambda: old.is_over)
                assert "401 Unauthorized" in old.said
            with publisher("after") as new:
                shown = await service.metric("whosthere_frames_total", camera="door", outcome="processed")
                await until(is_shown)
                assert not new.is_over
                assert heard.status("door") == {"state": "online", "reason": None}
                assert await service.metric("whosthere_camera_reconnects_total", camera="hall") == 0
                assert service.stop() == 0
        await heard.catch_up()
        assert_told_whole(heard.visits())
        assert "Traceback" not in service.log_file.read_text()
