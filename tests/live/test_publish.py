"""Acceptance: a page in a browser publishes by WHIP to the real service, and who is seen is told over MQTT."""

import subprocess
from contextlib import asynccontextmanager

import pytest

from tests.faces import HEIGHT, KNOWN, NAME, WIDTH, write_film
from tests.live.browser import Browser
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, assert_told_whole, names_of

pytestmark = [pytest.mark.live, pytest.mark.both_cores, pytest.mark.timeout(240)]

PASSWORD = "pä/ss:w%40rd"
STATE = "document.getElementById('state').textContent"
NOTICE = "document.getElementById('notice-text').textContent"


def fake_camera(folder, film):
    """Chromium's switches for a camera that sees a film, again and again."""
    file = folder / "camera.mjpeg"
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(film), "-q:v", "2", "-r", "15", "-f", "mjpeg", str(file)]
    subprocess.run(command, check=True, timeout=60)
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={file}",
    )


@asynccontextmanager
async def watching(tmp_path, **camera):
    """A service with one person enrolled, its camera `door` waiting for a publisher; what it says is heard."""
    camera = {"url": "publish://", "password": PASSWORD, "fps": 10} | camera
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        config = {
            "paths": {"data": "data"},
            "mqtt": {"port": broker.port},
            "cameras": {"door": camera},
            "ingest": {"rtsp": {"port": 0}},
        }
        service = ServiceProcess(tmp_path, config)
        service.run("enrol", NAME, KNOWN.file)
        with service:
            await service.until_ready("broker", "models")
            yield service, heard
            assert service.stop() == 0
    assert "Traceback" not in service.log_file.read_text()


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
            await until(lambda: heard.status("door") == {"state": "online", "reason": None}, 15)
            await until(lambda: [NAME] in map(names_of, heard.visits("door")), 30)
            (named,) = [visit[-1] for visit in heard.visits("door") if names_of(visit) == [NAME]]
            assert named["frame"] == {"width": WIDTH, "height": HEIGHT}
            assert await service.metric("whosthere_webrtc_sessions", kind="whip") == 1
            await browser.run("document.getElementById('stop').click()")
            await until(lambda: heard.status("door") == {"state": "offline", "reason": "stream_lost"}, 5)
            assert await service.metric("whosthere_webrtc_sessions", kind="whip") == 0
        await until(lambda: heard.visits("door")[0][-1]["type"] == "end")
    for visit in heard.visits("door"):
        assert_told_whole([visit])
