"""Cameras whose pictures arrive and can't be used: online with the reason, on MQTT, /readyz, /metrics, in the log."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faces import EVERYBODY, head, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber
from tests.streamer.ingest.test_picture_trouble import damaged_slices
from tests.streamer.ingest.writers import by_ffmpeg

pytestmark = pytest.mark.live

FPS = 10


def in_the_distance(path: Path) -> Path:
    """Seven people one after another, each for a second, with faces of about 20 px."""
    empty = np.full((180, 320, 3), 96, np.uint8)
    pictures = []
    for number in range(7):
        small = cv2.resize(head(EVERYBODY[number % len(EVERYBODY)]), (34, 34), interpolation=cv2.INTER_AREA)
        for step in range(FPS):
            picture = empty.copy()
            left = 30 + 40 * (number % 6) + step
            picture[70:104, left : left + 34] = small
            pictures.append(picture)
        pictures += [empty] * FPS
    return by_ffmpeg(path, pictures, FPS, "-c:v", "libx264", "-crf", "10")


def dark(path: Path) -> Path:
    random = np.random.default_rng(1)
    pictures = [random.integers(0, 4, (180, 320, 3), np.uint8) for _ in range(2 * FPS)]
    return by_ffmpeg(path, pictures, FPS, "-c:v", "libx264", "-crf", "10")


async def test_a_camera_whose_pictures_cannot_be_used_says_why(tmp_path):
    clips = {
        "damaged": damaged_slices(tmp_path / "damaged.264"),
        "dark": dark(tmp_path / "dark.mp4"),
        "far": in_the_distance(tmp_path / "far.mp4"),
        "fine": write_film(tmp_path / "fine.mp4", (EVERYBODY[:2], 2)),
    }
    expected = {"damaged": "pictures_damaged", "dark": "black", "far": "faces_too_small"}
    cameras = {name: {"url": str(clip), "loop": True, "fps": FPS} for name, clip in clips.items()}
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        config = {
            "paths": {"data": "data"},
            "mqtt": {"port": broker.port},
            "cameras": cameras,
            "events": {"gone_after_s": 0.5},
        }
        with ServiceProcess(tmp_path, config) as service:
            await service.until_ready("broker", "camera fine")
            for camera, reason in expected.items():

                async def counted(camera: str = camera, reason: str = reason) -> bool:
                    return await service.metric("whosthere_camera_trouble", camera=camera, reason=reason) == 1

                await until(counted)
                part = (await service.parts())[f"camera {camera}"]
                assert part["ok"]
                assert part["reason"].startswith(f"{reason}: ")
                told = [line for line in service.log() if line.get("camera") == camera and line.get("code") == reason]
                assert [line["level"] for line in told] == ["warning"]

                def published(camera: str = camera, reason: str = reason) -> bool:
                    states = [message.document for message in heard.on(f"whosthere/cameras/{camera}/status")]
                    return any((state["state"], state["reason"]) == ("online", reason) for state in states)

                await until(published)
            assert await service.metric("whosthere_camera_trouble", camera="fine") == 0
            assert await service.metric("whosthere_camera_up", camera="dark") == 1
            # A rule averages it over hours, so that it has to be there before.
            assert 'whosthere_camera_trouble{camera="fine",reason="black"} 0.0' in await service.text("/metrics")
