"""Alerts fire and clear: a real Prometheus scrapes the real service while cameras, broker and configuration fail.

What takes days, a GPU or a broken disk to happen is shown by series alone: tests/configs/prometheus/*.yml. Two minutes:
with --thorough; tests/grafana/test_panels.py has four of them fire and clear in every run.
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.configs.prometheus.rules import alerts, asked
from tests.faces import KNOWN, STRANGERS, write_film
from tests.live.alerting import Alerting
from tests.live.mosquitto import Mosquitto
from tests.live.servers import RtspServer, unused_port
from tests.live.service import ServiceProcess, until
from tests.streamer.ingest.clips import write_clip
from tests.streamer.ingest.test_picture_trouble import damaged_slices

pytestmark = [pytest.mark.live, pytest.mark.thorough, pytest.mark.timeout(300)]

# How busy the machine is, not what is done to the service, makes these fire.
OF_THE_MACHINE = {"WhosthereLoopLag", "WhosthereOverloaded", "WhosthereEventLatency", "WhosthereDiskLow"}
ALL = "topic readwrite #\n"
NO_IDENTITY = (
    "topic read #\ntopic write whosthere/available\ntopic write whosthere/service/#\ntopic write whosthere/people/#\n"
    "topic write whosthere/cameras/+/status\ntopic write whosthere/cameras/+/present\n"
)


def config_of(folder: Path, door: RtspServer, yard: RtspServer, broker: Mosquitto) -> dict[str, object]:
    """Three cameras that are watched, one that is over, two that wait to be enabled."""
    film = str(write_film(folder / "hall.mp4", ([KNOWN, *STRANGERS[:1]], 2), ([], 1)))
    return {
        "paths": {"data": "data"},
        "mqtt": {"port": broker.port},
        "http": {"port": unused_port()},
        "ingest": {"rtsp": {"port": unused_port()}},
        "events": {"gone_after_s": 0.5, "outbox_limit": 20},
        "cameras": {
            "door": {"url": door.url("door"), "fps": 2},
            "yard": {"url": yard.url("yard"), "fps": 2, "read_timeout_s": 60},
            "hall": {"url": film, "fps": 4, "loop": True},
            "clip": {"url": str(write_film(folder / "clip.mp4", ([], 1))), "fps": 2, "loop": False},
            "damaged": {"url": str(damaged_slices(folder / "damaged.264")), "loop": True, "enabled": False},
            "phone": {"url": "publish://", "user": "phone", "password": "hunter2", "enabled": False},
        },
    }


class House:
    """The service under Prometheus, and what is done to both."""

    def __init__(self, service: ServiceProcess, prometheus: Alerting, broker: Mosquitto) -> None:
        self.service, self.prometheus, self.broker = service, prometheus, broker
        self._config = next(service.data.parent.glob("*.yaml"))
        self._whole = self._config.read_text()

    async def fires(self, *wanted: tuple[str, str]) -> None:
        """Until all of these (alert, camera or part) fire at once."""
        await self._until(lambda there: set(wanted) <= there, f"{wanted} do not fire")

    async def clears(self) -> None:
        """Until nothing fires that this test has to do with."""
        await self._until(lambda there: not there, "there should be none")

    async def _until(self, holds: Callable[[set[tuple[str, str]]], bool], what: str) -> None:
        there: set[tuple[str, str]] = set()

        async def look() -> bool:
            nonlocal there
            found = await asyncio.to_thread(self.prometheus.names)
            there = {one for one in found if one[0] not in OF_THE_MACHINE}
            return holds(there)

        try:
            await until(look, 90)
        except TimeoutError:
            raise AssertionError(f"{what}; firing: {sorted(there)}") from None

    def text_of(self, alert: str) -> str:
        return " ".join(
            " ".join(one["annotations"].values())
            for one in self.prometheus.firing()
            if one["labels"]["alertname"] == alert
        )

    def configure(self, changed: Callable[[str], str] = str) -> None:
        """Have it follow a changed configuration, or the first one."""
        self._config.write_text(changed(self._whole))
        os.kill(self.service.pid, signal.SIGHUP)

    async def guess_tokens(self) -> None:
        async with httpx.AsyncClient(headers={"Authorization": "Bearer wrong"}) as client:
            answers = [(await client.get(f"{self.service.http}/api/v1/people")).status_code for _ in range(12)]
        assert answers[-1] == 429


@pytest.fixture
def quiet_files(tmp_path: Path) -> Path:
    (tmp_path / "mosquitto").mkdir()
    return tmp_path / "mosquitto"


async def test_alerts_fire_and_clear(tmp_path, quiet_files):
    clip = write_clip(tmp_path / "rtsp.mp4", 25, fps=5, size=(320, 192), noise=True)
    with (
        Mosquitto(quiet_files, acl=ALL) as broker,
        RtspServer(unused_port(), {"door": clip}) as door,
        RtspServer(unused_port(), {"yard": clip}) as yard,
        Alerting(tmp_path) as prometheus,
        ServiceProcess(tmp_path, config_of(tmp_path, door, yard, broker)) as service,
    ):
        await service.until_ready()
        at = House(service, prometheus, broker)
        assert service.http is not None
        prometheus.aim(service.http)
        await service_is_asked_for_what_it_has(at)
        await all_is_well(at)
        await cameras_fail(at, door, yard)
        await broker_fails(at)
        await service_fails(at)


async def service_is_asked_for_what_it_has(at: House) -> None:
    text = await at.service.text("/metrics")
    there = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    wanted = {one.metric for rule in alerts().values() for one in asked(rule["expr"])} - {"up", "ALERTS"}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in wanted} <= there | {"process_open_fds"}


async def all_is_well(at: House) -> None:
    """With a camera that is over and two that are disabled."""
    await until(lambda: at.prometheus.at("count_over_time(up[1m])", time.time()) != [])
    await until(lambda: at.prometheus.at("count_over_time(up[1m])", time.time())[0][1] > 10)
    await at.clears()


async def cameras_fail(at: House, door: RtspServer, yard: RtspServer) -> None:
    """One is gone, one is silent, one is damaged, one has no publisher; nothing may be said of identities."""
    door.kill()
    os.kill(yard.pid, signal.SIGSTOP)
    at.broker.allow(NO_IDENTITY)
    at.configure(lambda text: text.replace("enabled: false", "enabled: true"))
    try:
        await they_are_told(at)
    finally:
        os.kill(yard.pid, signal.SIGCONT)  # or nobody could end it
    door.start()
    at.broker.allow(ALL)
    await at.clears()


async def they_are_told(at: House) -> None:
    await at.fires(
        ("WhosthereCameraOffline", "door"),
        ("WhosthereCameraStalled", "yard"),
        ("WhosthereCameraTrouble", "damaged"),
        ("WhosthereNobodyPublishes", "phone"),
        ("WhosthereBrokerRefusesTopics", ""),
        ("WhosthereOutboxGrowing", ""),
    )
    assert "Reason: camera_unreachable." in at.text_of("WhosthereCameraOffline")
    assert "names nobody: pictures_damaged" in at.text_of("WhosthereCameraTrouble")
    at.configure()
    await at.fires(("WhosthereMostCamerasAway", ""))
    assert "66.67% of the cameras" in at.text_of("WhosthereMostCamerasAway")


async def broker_fails(at: House) -> None:
    """It is gone for longer than the outbox lasts; meanwhile the configuration is spoilt, and somebody guesses."""
    at.broker.stop()
    at.configure(lambda text: text + "no_such_section: {}\n")
    await at.fires(
        ("WhosthereBrokerDown", ""),
        ("WhosthereOutboxGrowing", ""),
        ("WhosthereOutboxNearlyFull", ""),
        ("WhosthereEventsLost", ""),
        ("WhosthereNotReady", "configuration"),
    )
    await at.guess_tokens()
    await at.fires(("WhosthereLoginAttempts", ""))
    at.broker.start()
    at.configure()
    await at.clears()


async def service_fails(at: House) -> None:
    """It is killed, and started again: only that is told, whatever its counters do."""
    began_s = time.time()
    at.service.kill()
    await at.fires(("WhosthereDown", ""))
    at.service.start()
    await at.service.until_ready()
    await at.clears()
    fired = {
        labels["alertname"] for labels, _ in at.prometheus.over('ALERTS{alertstate="firing"}', began_s, time.time())
    }
    # What it left in the outbox has waited for as long as it was away, in seconds that count as minutes here.
    assert fired - OF_THE_MACHINE - {"WhosthereOutboxGrowing"} == {"WhosthereDown"}
    assert at.service.stop() == 0
