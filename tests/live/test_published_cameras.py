"""Acceptance: a camera that pushes by RTSP, and who it shows over MQTT; a stop in full flight."""

import pytest

from streamer.demo.scene import write_stills
from tests.faces import KNOWN, NAME, STRANGERS, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.publishers import by_ffmpeg
from tests.live.servers import unused_port
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, names_of

pytestmark = [pytest.mark.live, pytest.mark.both_cores, pytest.mark.timeout(240)]


async def test_from_a_publisher_to_a_name(tmp_path, monkeypatch):
    film = write_film(tmp_path / "door.mp4", ([KNOWN, STRANGERS[0]], 3), ([], 3))
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
                assert 'whosthere_publishers{camera="door"} 1.0' in await service.text("/metrics")
                assert service.stop() == 0
                await until(lambda: publisher.is_over)
            visits = [told for told in heard.visits("door") if told[-1]["type"] == "end"]
            assert {told[-1]["end_reason"] for told in visits} <= {"left", "stopped"}
        logged = service.log_file.read_text()
        assert "p@ss" not in logged
        assert "p%40ss" not in logged
        assert "Traceback" not in logged
