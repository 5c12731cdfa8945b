"""Cameras that are added, changed, disabled and removed under a running service: by SIGHUP, by command, over MQTT."""

import fcntl
import json
import os
import pty
import signal
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT
from tests.faces import KNOWN, write_film
from tests.live.mosquitto import program
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, assert_told_whole

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

SET, STATE = "whosthere/cameras/{}/enabled/set", "whosthere/cameras/{}/enabled/state"


@pytest.fixture
def film(tmp_path: Path) -> str:
    """Somebody who stands there for ever, as long as it is played in a loop."""
    return str(write_film(tmp_path / "film.mp4", ([KNOWN], 2)))


class Rig(ServiceProcess):
    """A service whose YAML is written anew while it runs."""

    def __init__(self, folder: Path, port: int, cameras: dict[str, Any], **sections: Any) -> None:
        self._sections = {"paths": {"data": "data"}, "mqtt": {"port": port}, **sections}
        super().__init__(folder, {**self._sections, "cameras": cameras})

    def write(self, cameras: dict[str, Any] | str, **sections: Any) -> None:
        text = cameras if isinstance(cameras, str) else None
        tree = {"http": {"port": 0}, **self._sections, **sections, "cameras": cameras}
        self._config.write_text(text or yaml.safe_dump(tree))

    def hang_up(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def told(self, part: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if part in line["message"]]

    async def names(self) -> set[str]:
        return {name.removeprefix("camera ") for name in await self.parts() if name.startswith("camera ")}


def camera(url: str, **values: Any) -> dict[str, Any]:
    return {"url": url, "loop": True, "fps": 5, **values}


def ends(heard: Subscriber, name: str) -> list[str]:
    return [event["end_reason"] for event in heard.events(name) if event["type"] == "end"]


async def test_a_reload_adds_changes_and_removes_and_leaves_the_others_alone(tmp_path, broker, heard, film):
    before = {"door": camera(film), "hall": camera(film), "gate": camera(film)}
    with Rig(tmp_path, broker.port, before) as service:
        await service.until_ready()
        await until(lambda: all(heard.events(name) for name in before))
        service.write(
            {"door": camera(film), "hall": camera(film, fps=4), "new": camera(film)}, events={"settle_s": 3.0}
        )
        service.hang_up()
        await until(lambda: service.told("cameras reloaded: added: new; changed: hall; removed: gate"))
        await until(lambda: heard.events("new"))
        await until(lambda: service.told("reloaded: events changed as well, which needs a restart"))
        assert await service.names() == {"door", "hall", "new"}
        assert 'camera="gate"' not in await service.text("/metrics")
        await until(lambda: len(ends(heard, "gate")) == 1 and len(ends(heard, "hall")) == 1)
        await until(lambda: len(heard.visits("hall")) == 2)
        gate = [f"whosthere/cameras/gate/{leaf}" for leaf in ("status", "present")]
        await until(lambda: all(heard.on(topic)[-1].payload is None for topic in gate))
        assert heard.retained("whosthere/cameras/gate/#") == {}
        assert "whosthere/cameras/new/status" in heard.retained("whosthere/cameras/+/status")
        assert ends(heard, "door") == []
        assert len(heard.visits("door")) == 1
        assert await service.metric("whosthere_camera_reconnects_total", camera="door") == 0
        assert service.stop() == 0
    await heard.catch_up()
    assert_told_whole(heard.visits())
    assert ends(heard, "gate") == ["stopped"]
    assert ends(heard, "door") == ["stopped"], "at the end of the service alone"
    assert [line for line in service.log() if line["level"] == "error"] == []


@pytest.mark.parametrize(
    ("broken", "code", "what"),
    [
        ("cameras: {door: {url: x", "config_unreadable", "mend the YAML"),
        ("cameras: {door: {url: x, fpss: 3}}", "config_unknown_key", "cameras.door.fpss: unknown key"),
        ("cameras: {door: {url: x, fps: fast}}", "config_invalid", "cameras.door.fps: want a number"),
    ],
)
async def test_a_broken_file_changes_nothing_and_is_told_until_it_is_mended(tmp_path, broker, film, broken, code, what):
    with Rig(tmp_path, broker.port, {"door": camera(film)}) as service:
        await service.until_ready()
        service.write(broken)
        for _ in range(3):
            service.hang_up()
        await until(lambda: service.told("the configuration is not reloaded: "))
        (line,) = service.told("the configuration is not reloaded: ")
        assert what in line["message"]
        assert line["code"] == code
        part = (await service.parts())["configuration"]
        assert not part["ok"]
        assert what in part["reason"]
        assert part["reason"].endswith(f"[{code}]")
        assert (await service.parts())["camera door"]["ok"]
        service.write({"door": camera(film), "hall": camera(film)})
        service.hang_up()
        await until(lambda: service.told("cameras reloaded: added: hall"))
        assert "configuration" not in await service.parts()
        service.hang_up()
        assert service.stop() == 0, "a reload is under way, or about to be"


async def test_commands_are_noticed_within_a_moment_and_outlive_a_restart(tmp_path, broker, heard, film):
    with Rig(tmp_path, broker.port, {"door": camera(film), "hall": camera(film)}) as service:
        await service.until_ready()
        yard = json.loads(service.run("cameras", "add", "yard", film, "loop=true", "--fps", "3", "--json"))
        assert (yard["result"], yard["from"]) == ("added", "added")
        await until(lambda: heard.events("yard"), 20)
        service.run("cameras", "disable", "door")
        await until(lambda: heard.status("door") == {"state": "disabled", "reason": None}, 20)
        service.run("cameras", "remove", "hall")
        service.run("cameras", "set", "yard", "fps=2")
        await until(lambda: service.told("changed by command: changed: yard"))
        await until(lambda: heard.on("whosthere/cameras/hall/status")[-1].payload is None, 20)
        assert await service.names() == {"door", "yard"}
        service.kill()
        service.start()
        await service.until_ready("broker", "camera yard")
        assert await service.names() == {"door", "yard"}
        assert heard.status("door") == {"state": "disabled", "reason": None}
        (service.data / "cameras.json").write_text('{"format": 1, "came')
        await until(lambda: [line for line in service.log() if line.get("code") == "config_unreadable"])
        assert not (await service.parts())["configuration"]["ok"]
        assert await service.names() == {"door", "yard"}
        (service.data / "cameras.json").unlink()
        await until(lambda: heard.status("door").get("state") == "online")
        assert await service.names() == {"door", "hall"}
        assert "configuration" not in await service.parts()


def publish(port: int, topic: str, payload: str, *options: str) -> None:
    command = [program("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(port), "-q", "1", "-t", topic, "-m", payload]
    subprocess.run([*command, *options], check=True)


async def test_a_camera_is_switched_over_mqtt_where_that_is_allowed(tmp_path, broker, heard, film):
    mqtt = {"port": broker.port, "commands": ["cameras/enabled"]}
    publish(broker.port, SET.format("door"), "OFF", "-r")  # of some time before
    with Rig(tmp_path, broker.port, {"door": camera(film), "hall": camera(film)}, mqtt=mqtt) as service:
        await service.until_ready()
        await until(lambda: service.told("a retained one may be old"))
        await until(lambda: [m.payload for m in heard.on(STATE.format("door"))] == ["ON"])
        await until(lambda: heard.events("door"))
        for word, state in (("OFF", "disabled"), ("ON", "online"), ("false", "disabled"), ("true", "online")):
            publish(broker.port, SET.format("door"), word)
            await until(lambda state=state: heard.status("door").get("state") == state)
        publish(broker.port, SET.format("door"), "OFF", "-r")  # who publishes it retained is obeyed while we are there
        await until(lambda: heard.status("door").get("state") == "disabled")
        for topic, payload in ((SET.format("nix"), "ON"), (SET.format("hall"), "maybe")):
            for _ in range(3):
                publish(broker.port, topic, payload)

        async def counted() -> bool:
            outcomes = {"heard": 5, "retained": 1, "unknown_camera": 3, "bad_payload": 3}
            counts = [await service.metric("whosthere_broker_commands_total", outcome=one) for one in outcomes]
            return counts == list(outcomes.values())

        await until(counted)
        assert len(service.told("no such camera is configured")) == 1
        assert len(service.told("want ON or OFF")) == 1
        words = [m.payload for m in heard.on(STATE.format("door"))]
        assert words == ["ON", "OFF", "ON", "OFF", "ON", "OFF"]
        await until(lambda: ends(heard, "door"))
        assert ends(heard, "hall") == []
        service.kill()
        service.start()
        await service.until_ready("broker", "camera hall")
        assert heard.status("door") == {"state": "disabled", "reason": None}, "it stays as it was commanded"
        assert service.stop() == 0

    service.write({"door": camera(film)}, mqtt={"port": broker.port})
    with service:
        await until(lambda: heard.on(STATE.format("door"))[-1].payload is None)
        publish(broker.port, SET.format("door"), "ON")
        await heard.catch_up()
        assert heard.status("door")["state"] == "disabled", "off until it is listed"


async def test_a_terminal_that_is_closed_stops_it(tmp_path, broker, film):
    service = Rig(tmp_path, broker.port, {"door": camera(film)})
    ours, theirs = pty.openpty()

    def with_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with service.log_file.open("wb") as log:
        process = subprocess.Popen(
            [*service.command("serve"), "--log-format", "json"],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            preexec_fn=with_terminal,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )
    try:
        await until(lambda: service.told("running; cameras"))
        process.send_signal(signal.SIGHUP)
        await until(lambda: service.told("reloaded: no camera differs"))
        os.close(theirs)
        os.close(ours)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(10)
