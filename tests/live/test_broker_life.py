"""The service and a broker that freezes, refuses the login, is shared by mistake; signals; what stays retained."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiomqtt import Client, MqttError

from streamer.demo.scene import write_stills
from tests.conftest import PROJECT
from tests.faces import KNOWN, NAME, STRANGERS, write_film
from tests.galleries import open_store
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import ECHO, Subscriber, assert_told_whole
from tests.streamer.messages import due

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    with Mosquitto(folder) as running:
        yield running


def service_of(tmp_path: Path, port: int, cameras: dict[str, object] | None = None, **mqtt: object) -> ServiceProcess:
    config = {"paths": {"data": "data"}, "mqtt": {"port": port, **mqtt}, "cameras": cameras or {}}
    return ServiceProcess(tmp_path, config)


def codes(service: ServiceProcess) -> list[object]:
    """Of each line of its log."""
    return [line.get("extra", {}).get("code", line.get("code")) for line in service.log()]


def film(tmp_path: Path) -> str:
    return str(write_film(tmp_path / "door.mp4", ([KNOWN, STRANGERS[0]], 3), ([], 3)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_cleanly(tmp_path, broker, number):
    with service_of(tmp_path, broker.port) as service, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        await service.until_ready("broker")
        assert service.end(number) == 0
        await until(lambda: [m.payload for m in heard.on("whosthere/service/state")][-1:] == ["stopped"])
        await until(lambda: [m.payload for m in heard.on("whosthere/available")][-1:] == ["offline"])


@pytest.mark.parametrize("when", ["connected", "connecting", "with a message under way"])
async def test_a_broker_that_is_frozen_does_not_keep_the_service(tmp_path, broker, when):
    cameras = {"door": {"url": film(tmp_path), "fps": 10, "loop": True}} if "message" in when else None
    if when == "connecting":
        broker.freeze()
    with service_of(tmp_path, broker.port, cameras) as service:
        if when == "connecting":
            await until(lambda: any("running; cameras" in line["message"] for line in service.log()))
        else:
            await service.until_ready()
            broker.freeze()
        if cameras:
            await until(lambda: service.metric("whosthere_outbox_depth"), 60)
        started_s = time.monotonic()
        assert service.stop() == 0
        took_s = time.monotonic() - started_s
    assert took_s < 5.0


@pytest.mark.parametrize("version", ["auto", pytest.param("5", marks=pytest.mark.thorough), "3.1.1"])
async def test_a_login_that_is_mended_is_used_within_ten_seconds_and_readyz_says_why_until_then(tmp_path, version):
    folder = tmp_path / "locked"
    folder.mkdir()
    with (
        Mosquitto(folder, users={"whosthere": "other"}) as broker,
        service_of(tmp_path, broker.port, username="whosthere", password="hunter2", version=version) as service,
    ):
        await until(lambda: codes(service).count("broker_login_refused"))
        part = (await service.parts())["broker"]
        assert not part["ok"]
        assert "refuses the login; check mqtt.username and mqtt.password, and mqtt.client_id" in part["reason"]
        assert "hunter2" not in json.dumps(part)
        broker.set_users({"whosthere": "hunter2"})
        await service.until_ready("broker", within_s=10.0)
        assert service.stop() == 0


async def test_readyz_says_that_a_broker_is_not_there(tmp_path, free_port):
    with service_of(tmp_path, free_port) as service:
        await until(lambda: codes(service).count("broker_unreachable"))
        part = (await service.parts())["broker"]
    assert not part["ok"]
    assert part["reason"].endswith("[broker_unreachable]")


@asynccontextmanager
async def namesake(port: int, client_id: str, wait_s: float):
    """Another client with this id, as tenacious as ours."""

    async def insist() -> None:
        while True:
            try:
                async with Client("127.0.0.1", port, identifier=client_id) as client:
                    async for _ in client.messages:
                        pass
            except MqttError:
                await asyncio.sleep(wait_s)

    task = asyncio.create_task(insist())
    try:
        yield
    finally:
        while not task.done():  # asyncio.wait_for may swallow a cancellation
            task.cancel()
            await asyncio.wait((task,), timeout=0.1)


@pytest.mark.parametrize("wait_s", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_second_client_with_our_id_is_named_as_such(tmp_path, broker, version, wait_s):
    with service_of(tmp_path, broker.port, client_id="twin", version=version) as service:
        await service.until_ready("broker")
        async with namesake(broker.port, "twin", wait_s):
            await until(lambda: codes(service).count("broker_id_taken"), 30)
        (first, *_) = [
            line for line, code in zip(service.log(), codes(service), strict=False) if code == "broker_id_taken"
        ]
        assert "another client seems to use the same client id" in first["message"]
        await service.until_ready("broker", within_s=15.0)
        assert "refuses topic" not in "".join(line["message"] for line in service.log())


async def test_who_is_there_is_retained_from_the_start_on_and_cleared_with_the_person(tmp_path, broker):
    cameras = {"door": {"url": film(tmp_path), "fps": 10, "loop": True}, "wall": {"url": "none.mp4", "enabled": False}}
    service = service_of(tmp_path, broker.port, cameras)
    with Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        service.run("enrol", NAME, *write_stills(tmp_path))
        person = open_store(service.data / "gallery.db")
        (ada,) = person.people()
        person.close()
        mine = f"whosthere/people/{ada.id}/present"
        with service:
            await until(lambda: any(m.document["present"] for m in heard.on(mine)))
            await until(lambda: any(m.document["people"] for m in heard.on("whosthere/cameras/door/present")))
            first = [m.topic for m in heard.messages() if not m.topic.endswith(("test", "check"))]
            assert first[:2] == ["whosthere/available", "whosthere/service/state"]
            at_start = next(m.document for m in heard.on("whosthere/cameras/door/present"))
            assert (at_start["people"], at_start["unknown"]) == ([], 0)
            assert [m.document["present"] for m in heard.on(mine)][:2] == [False, True]
            assert heard.on("whosthere/cameras/wall/present")[0].document["people"] == []
            seen = next(m.document for m in heard.on("whosthere/cameras/door/present") if m.document["people"])
            assert seen["people"] == [{"id": ada.id, "name": NAME, "since": seen["people"][0]["since"]}]
            await until(lambda: not heard.on(mine)[-1].document["present"], 30)

            service.run("people", "forget", NAME, "--yes")
            await until(lambda: heard.on(mine)[-1].payload in (None, ""))
            assert heard.retained("whosthere/people/#") == {}
            assert service.stop() == 0
        still = heard.retained("whosthere/#")
    assert json.loads(still["whosthere/cameras/door/present"])["people"] == []
    assert (still["whosthere/available"], still["whosthere/service/state"]) == ("offline", "stopped")
    assert "whosthere/service/check" not in still


async def test_what_is_retained_of_cameras_and_people_that_are_gone_is_cleared_at_the_start(tmp_path, broker):
    gone = ["cameras/attic/status", "cameras/attic/present", "people/pgone00000000/present"]
    kept = ["cameras/attic/other", "notes"]
    async with Client("127.0.0.1", broker.port) as client:
        for topic in gone + kept:
            await client.publish(f"whosthere/{topic}", '{"present": true}', qos=1, retain=True)
    cameras = {"wall": {"url": "none.mp4", "enabled": False}}
    with service_of(tmp_path, broker.port, cameras) as service, Subscriber(broker.port, tmp_path) as heard:
        await service.until_ready("broker")
        await until(lambda: not heard.retained("whosthere/#").keys() & {f"whosthere/{topic}" for topic in gone})
        still = heard.retained("whosthere/#")
    assert still.keys() >= {f"whosthere/{topic}" for topic in kept} | {"whosthere/cameras/wall/status"}


async def test_events_goes_on_after_the_brokers_restart_and_can_be_of_one_person(tmp_path, broker):
    service = service_of(tmp_path, broker.port, {"door": {"url": "none.mp4"}})
    command = [*service.command("events"), "--json", "--count", "3", "--person", "pbob000000000", "--camera", "door"]
    topic = "whosthere/cameras/door/identity/x"

    async def publish(*words: str) -> None:
        async with Client("127.0.0.1", broker.port) as client:
            for word in words:
                item = due(word, person="pada000000000" if word[0] == "a" else "pbob000000000")
                await client.publish(topic, item.event.model_dump_json(by_alias=True), qos=1)

    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        try:
            while not (line := await _line(tail, publish, "a1n", "b1n")):
                pass
            assert "waiting for events at" in await asyncio.to_thread(tail.stderr.readline)
            broker.stop()
            assert "waiting for it" in await asyncio.to_thread(tail.stderr.readline)
            broker.start()
            assert "the broker is back" in await asyncio.to_thread(tail.stderr.readline)
            await publish("a2e", "b1n", "b2u", "b3e")
            rest = await asyncio.to_thread(tail.stdout.readlines)
            assert tail.wait(20) == 0
        finally:
            tail.kill()  # or a failure would wait for it
    assert [json.loads(text)["seq"] for text in (line, *rest)] == [1, 2, 3]


async def _line(tail, publish, *words: str) -> str:
    """The first line, published for until the command listens."""
    reading = asyncio.create_task(asyncio.to_thread(tail.stdout.readline))
    while not reading.done():
        await publish(*words)
        await asyncio.wait((reading,), timeout=0.2)
    return reading.result()


@pytest.mark.parametrize("more", [(), ("max_queued_messages 0",)], ids=["as it comes", "hangs up"])
async def test_one_of_two_cameras_is_denied_for_a_while_and_all_its_visits_arrive_whole(tmp_path, more):
    folder = tmp_path / "denying"
    folder.mkdir()
    everything = "topic readwrite #\n"
    but_door = "topic read #\n" + "".join(
        f"topic write {topic}\n"
        for topic in (
            "whosthere/available",
            "whosthere/service/#",
            "whosthere/people/#",
            "whosthere/cameras/hall/#",
            ECHO,
        )
    )
    cameras = {name: {"url": film(tmp_path), "fps": 10, "loop": True} for name in ("door", "hall")}
    with (
        Mosquitto(folder, acl=everything, more=more) as broker,
        Subscriber(broker.port, tmp_path) as heard,
        service_of(tmp_path, broker.port, cameras) as service,
    ):
        await heard.catch_up()
        await until(lambda: all(heard.visits(camera) for camera in cameras))
        broker.allow(but_door)
        await until(lambda: service.metric("whosthere_outbox_set_aside"))
        part = (await service.parts())["broker"]
        assert not part["ok"]
        assert "whosthere/cameras/door/identity/unknown" in part["reason"]
        at_door, in_hall = len(heard.events("door")), len(heard.events("hall"))
        await until(lambda: len(heard.events("hall")) >= in_hall + 4)
        assert len(heard.events("door")) == at_door
        broker.allow(everything)
        await service.until_ready("broker", within_s=30.0)
        await until(lambda: len(heard.events("door")) > at_door)
        assert service.stop() == 0
        await heard.catch_up()

    assert_told_whole(heard.visits())
    assert heard.misaddressed() == []
    for visit in heard.visits("door"):
        told = [event for event in heard.events("door") if event["event_id"] == visit[0]["event_id"]]
        assert list(dict.fromkeys(event["seq"] for event in told)) == [event["seq"] for event in visit], "in order"


@pytest.mark.parametrize(("version", "told"), [("auto", False), ("5", False), ("3.1.1", True)])
def test_check_says_that_over_3_1_1_denials_are_not_noticed(tmp_path, broker, version, told):
    said = service_of(tmp_path, broker.port, version=version).run("check")
    line = f"takes the login and a message on whosthere/service/check (MQTT {'3.1.1' if told else '5'})"
    assert line in " ".join(said.split())
    assert "those of cameras and people were not tried" in " ".join(said.split())
    assert ("a message that its ACL denies may be lost unnoticed" in " ".join(said.split())) is told
