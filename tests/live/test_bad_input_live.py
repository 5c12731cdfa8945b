"""What goes wrong around a running service: told where a user looks, counted, and everything else goes on.

Real cameras, brokers and disks that misbehave, each beside a camera that is fine; `whosthere serve` as a process.
"""

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from streamer.events.outbox_file import Changes, OutboxFile
from streamer.steady import steady_s
from tests.command import assert_refused, whosthere
from tests.faces import KNOWN, STRANGERS, write_film
from tests.galleries import open_store
from tests.gallery.fakes import photo_of, unit
from tests.live.mosquitto import Mosquitto
from tests.live.servers import RtspServer, unused_port
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber
from tests.small_disk import fill, small_disk
from tests.streamer.ingest.clips import write_clip
from tests.streamer.messages import dues

pytestmark = pytest.mark.live

PASSWORD = "hunter2/@:x"
ENCODED = "hunter2%2F%40%3Ax"
WEEK_S = 7 * 86400.0

# camera: the reason in MQTT and /readyz, the code in metrics and log, what the log line says
FAULTS = {
    "off": ("camera_unreachable", "camera_unreachable", "can't be reached (connection refused); check that it is on"),
    "locked": ("camera_login_refused", "camera_login_refused", "refuses the login; check the user and password"),
    "nowhere": ("camera_not_found", "camera_not_found", "is not there (404); check the path in its url"),
    "unset": ("camera_variable_unset", "camera_variable_unset", "variable NOBODY_HAS_SET_THIS is not set; set it"),
    "sound": ("stream_no_video", "stream_no_video", "has no video in it; choose a stream"),
    "stalls": ("stream_stalled", "stream_stalled", "sent no video for 1 s; check the camera and the network"),
    "text": ("stream_invalid", "stream_invalid", "text.mp4 is no video that can be read"),
    "gone": ("camera_not_found", "camera_not_found", "gone.mp4 can't be opened"),
    # These are played as far as they go.
    "cut": ("ended", "stream_invalid", "cut.mp4 is damaged or cut short; what can't be decoded is left out"),
    "corrupt": ("ended", "stream_invalid", "corrupt.mp4 is damaged or cut short"),
    "changing": ("ended", "stream_resized", "its picture changed from 320x192 to 160x96"),
}


@pytest.fixture
def clips(tmp_path: Path) -> dict[str, Path]:
    whole = write_clip(tmp_path / "whole.mp4", 50, noise=True).read_bytes()
    third = len(whole) // 3
    (tmp_path / "cut.mp4").write_bytes(whole[:third])
    (tmp_path / "corrupt.mp4").write_bytes(whole[:third] + bytes(len(whole) - third))
    parts = [
        write_clip(tmp_path / f"{width}.part", 25, size=(width, height), form="h264")
        for width, height in ((320, 192), (160, 96))
    ]
    (tmp_path / "changing.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    (tmp_path / "text.mp4").write_text("This is no film.\n" * 100)
    good = write_clip(tmp_path / "good.mp4", 50, size=(320, 192))
    names = {"cut": "cut.mp4", "corrupt": "corrupt.mp4", "changing": "changing.h264", "text": "text.mp4"}
    return {"good": good, "gone": tmp_path / "gone.mp4"} | {key: tmp_path / name for key, name in names.items()}


@pytest.fixture
def servers(clips: dict[str, Path]) -> Iterator[tuple[RtspServer, RtspServer]]:
    """One with all sorts of streams; one that wants a login."""
    stalling = {"stalls": (clips["good"], 0.8)}
    with (
        RtspServer(unused_port(), {"door": clips["good"]}, stalling=stalling, audio=["sound"]) as rtsp,
        RtspServer(unused_port(), {"door": clips["good"]}, login=("ada", "right")) as locked,
    ):
        yield rtsp, locked


async def processed(service: ServiceProcess, camera: str) -> float:
    return await service.metric("whosthere_frames_total", camera=camera, outcome="processed")


async def until_it_goes_on(service: ServiceProcess, camera: str) -> None:
    """Until the camera has had more of its frames processed than it has now."""
    before = await processed(service, camera)

    async def more() -> bool:
        return await processed(service, camera) > before + 2

    await until(more)


def lines_of(service: ServiceProcess, camera: str, code: str) -> list[str]:
    found = (line for line in service.log() if line.get("camera") == camera and line.get("code") == code)
    return [line["message"] for line in found]


async def assert_secret(service: ServiceProcess, heard: str, *secrets: str) -> None:
    """No log line, metric, answer, topic or `ps` shows a password."""
    places = {
        "log": service.log_file.read_text(),
        "metrics": await service.text("/metrics"),
        "readyz": await service.text("/readyz"),
        "topics": heard,
        "ps": Path(f"/proc/{service.pid}/cmdline").read_text(),
    }
    shown = [place for place, text in places.items() for secret in secrets if secret in text]
    assert all(places.values())
    assert shown == []


async def test_bad_cameras_beside_a_good_one(
    clips: dict[str, Path], servers: tuple[RtspServer, RtspServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAM_PASSWORD", PASSWORD)
    monkeypatch.setattr(ServiceProcess, "is_forked", False)  # `ps` is looked at: it needs a command line of its own
    rtsp, locked = servers
    urls = {name: str(clip) for name, clip in clips.items()} | {
        "off": f"rtsp://ada:${{CAM_PASSWORD}}@127.0.0.1:{unused_port()}/door",
        "locked": f"rtsp://ada:${{CAM_PASSWORD}}@127.0.0.1:{locked.port}/door",
        "unset": f"rtsp://ada:{PASSWORD}${{NOBODY_HAS_SET_THIS}}@127.0.0.1/door",
    }
    urls |= {mount: rtsp.url(mount) for mount in ("nowhere", "sound", "stalls")}
    cameras = {name: {"url": url, "read_timeout_s": 1, "stalled_after_s": 0.5} for name, url in urls.items()}
    cameras["good"]["loop"] = True
    cameras["cut"]["pace"] = "fastest"
    cameras["changing"] |= {"pace": "fastest", "fps": 25}
    assert {*cameras} == {*FAULTS, "good"}
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        config = {"paths": {"data": "data"}, "mqtt": {"port": broker.port}, "cameras": cameras}
        with ServiceProcess(tmp_path, config) as service:
            await service.until_ready("broker", "camera good")
            for camera, (reason, code, says) in FAULTS.items():

                async def counted(camera: str = camera, code: str = code) -> bool:
                    return await service.metric("whosthere_camera_errors_total", camera=camera, code=code) > 0

                def told(camera: str = camera, reason: str = reason) -> bool:
                    states = [message.document for message in heard.on(f"whosthere/cameras/{camera}/status")]
                    return any((state["state"], state["reason"]) == ("offline", reason) for state in states)

                await until(counted)
                await until(told)
                lines = lines_of(service, camera, code)
                assert says in lines[0]
                assert len(lines) == 1 or camera == "stalls", lines  # which comes back, and stalls again

            def stalled() -> bool:
                """It comes back and stalls again: between half a second and one, in which a start may not look."""
                told = heard.on("whosthere/cameras/stalls/status")
                return "stalled" in [message.document["state"] for message in told]

            await until(stalled)

            parts = await service.parts()
            for camera, (reason, _, _) in FAULTS.items():
                if reason == "ended":
                    assert parts[f"camera {camera}"] == {"ok": True, "reason": None}
                elif camera != "stalls":
                    assert parts[f"camera {camera}"] == {"ok": False, "reason": f"offline: {reason}"}
            assert await processed(service, "cut") > 3
            assert await processed(service, "changing") == 50
            assert parts["camera good"]["ok"]
            await until_it_goes_on(service, "good")
            assert heard.status("good") == {"state": "online", "reason": None}
            await heard.catch_up()
            topics = "\n".join(f"{message.topic} {message.payload}" for message in heard.messages())
            await assert_secret(service, topics, PASSWORD, ENCODED, "hunter2")
            assert service.stop() == 0
        assert "Traceback" not in service.log_file.read_text()


def write_without_end(outbox: OutboxFile) -> None:
    for number in itertools.count():
        visit = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        outbox.write(Changes(puts=dues(f"{visit}1n {visit}2e")), steady_s())


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small one, whose outbox has used up all the room that it had set aside."""
    with small_disk(6) as folder:
        with open_store(folder / "gallery.db") as store:
            store.add_person("Ada Lovelace", [photo_of(unit(1))])
        outbox = OutboxFile(folder / "outbox.db", 100_000, WEEK_S, steady_s())
        hog = fill(folder)
        with pytest.raises((OSError, sqlite3.OperationalError)):
            write_without_end(outbox)
        outbox.close()
        hog.unlink()
        yield folder


async def test_a_broker_that_refuses_and_a_disk_that_is_full(disk: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "street.mp4", (STRANGERS[:3], 1), ((), 1))
    street = {"url": str(film), "fps": 5, "loop": True}
    with Mosquitto(tmp_path, users={"ada": "s3cret"}) as broker:
        config = {
            "paths": {"data": str(disk)},
            "mqtt": {"port": broker.port, "username": "ada", "password": "wr0ng"},
            "cameras": {"street": street},
            "events": {"faces_to_settle": 1, "gone_after_s": 0.5},
        }
        file = tmp_path / "by-hand.yaml"
        file.write_text(yaml.safe_dump(config))

        def typed(*command: str) -> str:
            return " ".join([*command, "--config", str(file)])

        with ServiceProcess(tmp_path, config) as service:
            await service.until_ready("camera street", "outbox")
            await until(lambda: any(line.get("code") == "broker_login_refused" for line in service.log()))
            refused = "refuses the login; check mqtt.username and mqtt.password"
            assert refused in next(line["message"] for line in service.log() if "code" in line)
            await service.until_metric(
                "whosthere_broker_errors_total", lambda told: told >= 1, code="broker_login_refused"
            )
            broker_part = (await service.parts())["broker"]
            assert not broker_part["ok"]
            assert refused in broker_part["reason"]
            assert broker_part["reason"].endswith(" [broker_login_refused]")
            for command in ("check", "events"):
                ended = whosthere(*typed(command).split(), cwd=tmp_path)
                assert_refused(ended, "broker_login_refused")
                assert refused in ended.everything
                assert "wr0ng" not in ended.everything

            second = assert_refused(whosthere(*typed("serve").split(), cwd=tmp_path), "already_running")
            assert f"another whosthere serves with data folder {disk}; stop it or set another paths.data" in second

            hog = fill(disk)

            async def suffers() -> bool:
                return not (await service.readiness())["outbox"]

            await until(suffers)
            assert (await service.parts())["outbox"]["reason"] == "can't be written"
            await service.until_metric("whosthere_outbox_errors_total", lambda told: told > 0, code="outbox_unwritable")
            (line,) = [line for line in service.log() if line.get("code") == "outbox_unwritable"]
            assert "events wait in memory; make room on the disk" in line["message"]
            await until_it_goes_on(service, "street")
            enrolling = typed("enrol", "Eve", str(KNOWN.file))
            ended = whosthere(*enrolling.split(), cwd=tmp_path)
            assert "free some room" in assert_refused(ended, "gallery_unwritable")
            assert await service.metric("whosthere_gallery_people") == 1

            hog.unlink()
            await service.until_ready("outbox")
            assert whosthere(*enrolling.split(), cwd=tmp_path).code == 0
            await service.until_people(2)
            assert await service.metric("whosthere_outbox_dropped_total") == 0
            await until_it_goes_on(service, "street")
            await assert_secret(service, "not connected", "wr0ng", "s3cret")
            assert service.stop() == 0
        assert "Traceback" not in service.log_file.read_text()
