"""What tests of publishers by WebRTC share: a service that waits for one, a browser's fake camera, a film to send."""

import asyncio
import math
import subprocess
import time
from contextlib import asynccontextmanager

import httpx
from aiortc import VideoStreamTrack
from av import VideoFrame

from tests.faces import KNOWN, NAME, picture_of
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess
from tests.live.subscriber import Subscriber

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
async def watching(tmp_path, config=None, webrtc=None, **camera):
    """A service with one person enrolled, its camera `door` waiting for a publisher; what it says is heard."""
    camera = {"url": "publish://", "password": PASSWORD, "fps": 10} | camera
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        config = {
            **({"paths": {"data": "data"}} | (config or {})),
            "mqtt": {"port": broker.port},
            "cameras": {"door": camera},
            "ingest": {"rtsp": {"port": 0}, "webrtc": webrtc or {}},
        }
        service = ServiceProcess(tmp_path, config)
        service.run("enrol", NAME, KNOWN.file)
        with service:
            await service.until_ready("broker", "models")
            yield service, heard
            assert service.stop() == 0
    assert "Traceback" not in service.log_file.read_text()


class Film(VideoStreamTrack):
    """Somebody who sways, 30 pictures a second."""

    def __init__(self, *cast):
        super().__init__()
        self._pictures = [picture_of(cast, math.sin(2 * math.pi * number / 30)) for number in range(30)]
        self._shown = 0

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        frame = VideoFrame.from_ndarray(self._pictures[self._shown % 30], format="bgr24")
        self._shown += 1
        frame.pts, frame.time_base = pts, time_base
        return frame


async def post_until_taken(service, publisher):
    """POST until the camera takes it; (the answer, how long that took, every status before)."""
    refusals, began = [], time.monotonic()
    headers = {"Content-Type": "application/sdp", "Authorization": b"Bearer " + PASSWORD.encode()}
    offer = await publisher.offer()
    async with httpx.AsyncClient(base_url=service.http, timeout=20) as client, asyncio.timeout(30):
        while (answer := await client.post("/whip/door", content=offer, headers=headers)).status_code != 201:
            refusals.append((answer.status_code, answer.json()["code"]))
            await asyncio.sleep(0.2)
    await publisher.accept(answer.text)
    return answer, time.monotonic() - began, refusals
