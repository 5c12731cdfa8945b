"""Cameras of a real RTSP server that falls silent, goes and comes back: what is told, what is left behind.

How soon: scripts/measure-reconnects.py and docs/reliability.md.
"""

import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from streamer.app import Service, running_service
from streamer.bench.processes import cutting_server
from streamer.bench.soak import total
from streamer.settings import CameraSettings
from streamer.settings_reading import load
from tests.faces import KNOWN, write_film
from tests.live.servers import RtspServer, unused_port
from tests.live.service import until

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_film(tmp_path / "clip.mp4", ([KNOWN], 2))


@asynccontextmanager
async def serving(folder: Path, **cameras: CameraSettings) -> AsyncIterator[Service]:
    """The service without a broker and without HTTP."""
    overrides = [f"paths.data={folder / 'data'}", "http.enabled=false", f"mqtt.port={unused_port()}"]
    settings = load(overrides=overrides).model_copy(update={"cameras": cameras})
    async with running_service(settings) as service:
        yield service


def states(service: Service) -> dict[str, str]:
    return {camera.name: camera.status.state for camera in service.cameras}


def four_of(url: str) -> dict[str, CameraSettings]:
    return {f"c{number}": CameraSettings(url=url, fps=10) for number in range(4)}


async def test_a_stall_is_told_by_the_streams_own_rhythm_unless_a_limit_is_set(tmp_path, clip):
    with RtspServer(unused_port(), stalling={"quiet": (clip, 3.0), "patient": (clip, 3.0)}) as server:
        quiet, patient = (CameraSettings(url=server.url(name), fps=2) for name in ("quiet", "patient"))
        patient = patient.model_copy(update={"stalled_after_s": 6.0})
        async with serving(tmp_path, quiet=quiet, patient=patient) as service:
            await until(lambda: states(service) == {"quiet": "online", "patient": "online"})
            await until(lambda: states(service)["quiet"] == "stalled")
            assert states(service)["patient"] == "online", "its limit was set"
            (camera,) = (camera for camera in service.cameras if camera.name == "quiet")
            assert camera.status.reason == "stream_stalled"
            assert camera._rhythm.stalled_after_s < 2.5, (
                "by the stream's 10 frames a second, not by the 2 that are used"
            )
            await until(lambda: states(service)["patient"] == "stalled")
            await until(lambda: states(service)["quiet"] == "online")  # lost after read_timeout_s, and opened again


async def test_frames_flow_again_once_it_is_back_and_the_others_go_on(tmp_path, clip):
    with RtspServer(unused_port(), {"away": clip}) as server, RtspServer(unused_port(), {"there": clip}) as other:
        short = {"read_timeout_s": 2, "open_timeout_s": 2}
        away, there = (CameraSettings(url=s.url(name), **short) for s, name in ((server, "away"), (other, "there")))
        async with serving(tmp_path, away=away, there=there) as service:
            camera, neighbour = service.cameras
            await until(lambda: set(states(service).values()) == {"online"})
            source = neighbour._source
            for go, come in (
                (server.kill, server.start),
                (lambda: os.kill(server.pid, signal.SIGSTOP), lambda: os.kill(server.pid, signal.SIGCONT)),
            ):
                go()
                tried = total(service.metrics.camera_reconnects)
                await until(lambda: camera.status.state == "offline")
                # By then the delays are as long as they get.
                await until(lambda tried=tried: total(service.metrics.camera_reconnects) >= tried + 3)
                tried = total(service.metrics.camera_reconnects)
                come()
                before = camera.asked
                await until(lambda before=before: camera.asked > before, 20)
                await until(lambda: camera.status.state == "online")
                again = total(service.metrics.camera_reconnects) - tried
                assert again <= 2, "at most the one that was under way fails; the next follows within 1.5 s"
            assert neighbour._source is source
            assert neighbour.status.state == "online"


async def test_reconnects_leave_nothing_behind(tmp_path, clip):
    """No threads, no descriptors. Memory shows in a thousand alone: scripts/measure-reconnects.py."""
    process = psutil.Process()
    async with cutting_server(clip, 0.1) as url, serving(tmp_path, **four_of(url)) as service:

        async def after(reconnects: int) -> tuple[int, int]:
            """Threads and descriptors."""
            await until(lambda: total(service.metrics.camera_reconnects) >= reconnects)
            return threading.active_count(), process.num_fds()

        threads, descriptors = await after(12)
        threads_later, descriptors_later = await after(12 + 60)
        # Those of four cameras and of the broker's socket come and go; one a reconnect would be 60.
        assert threads_later - threads < 15
        assert descriptors_later - descriptors < 15
