"""`whosthere setup` as somebody new goes through it, at a terminal, with a real camera and a real broker."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from streamer.variables import read_env
from tests.certificates import Authority
from tests.command import whosthere
from tests.conftest import PROJECT
from tests.live.mosquitto import Mosquitto
from tests.live.servers import RtspServer, unused_port
from tests.streamer.ingest.clips import write_clip
from tests.terminal import AtTerminal

pytestmark = pytest.mark.live

LOGIN = ("admin", "se/cr@t")
USERS = {"whosthere": 'br"o$ker'}
# Whatever else listens on this machine: `check` wants HTTP's port free.
ANY_PORT = {"WHOSTHERE_HTTP__PORT": "0"}
ADA = PROJECT / "model" / "faces" / "eileen_collins.jpg"


@pytest.fixture(scope="module")
def camera(tmp_path_factory) -> Iterator[RtspServer]:
    clip = write_clip(tmp_path_factory.mktemp("clips") / "h264.mp4", 25, size=(320, 192))
    with RtspServer(unused_port(), {"door": clip}, login=LOGIN) as server:
        yield server


@pytest.fixture(scope="module")
def broker(tmp_path_factory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto"), users=USERS) as running:
        yield running


@pytest.fixture
def frigate(tmp_path: Path) -> Path:
    """Its media folder: one face, a broken file, two people of one name, a guess."""
    faces = tmp_path / "frigate" / "clips" / "faces"
    for name in ("Ada_Lovelace", "Bob", "bob", "train"):
        (faces / name).mkdir(parents=True)
    (faces / "Ada_Lovelace" / "Ada_Lovelace-1741000000.5.webp").write_bytes(ADA.read_bytes())
    (faces / "Ada_Lovelace" / "broken.webp").write_bytes(ADA.read_bytes()[:2000])
    (faces / "Bob" / "1.webp").write_bytes(ADA.read_bytes())
    (faces / "bob" / "1.webp").write_bytes(b"x")
    (faces / "train" / "1741000000.1-abc123-1741000003.2-unknown-0.4.webp").write_bytes(b"x")
    return tmp_path / "frigate"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_from_nothing_to_a_checked_configuration_with_people(home, camera, broker, frigate) -> None:
    with AtTerminal("setup", "--no-token", "--no-discover", cwd=home, environ=ANY_PORT) as user:
        user.answer("(Enter: none)", f"rtsp://127.0.0.1:{camera.port}/door")
        user.answer("What to call it [door]")
        user.answer("User (Enter: leave this camera)", LOGIN[0])
        user.answer_unseen("Password", "wrong")
        user.expect("[camera_login_refused]")
        user.answer("User", LOGIN[0])
        user.answer_unseen("Password", LOGIN[1])
        user.expect("door answers: h264 320x192")
        user.answer("(Enter: no more)")
        user.answer("Host [127.0.0.1]")
        user.answer("TLS?")
        user.answer("Port [1883]", str(broker.port))
        user.expect("it wants a login")
        user.answer("User", "whosthere")
        user.answer_unseen("Password", USERS["whosthere"])
        user.expect("takes a message (MQTT 5)")
        user.answer("Tell Home Assistant", "y")
        user.expect("Enter  nano, ours: here, works offline, 73.0%")
        user.answer("(a number; Enter: none)", "1")
        user.expect("licence: InsightFace: non-commercial research only")
        user.answer("Do you accept this licence", "n")
        user.answer("(a number; Enter: none)")
        user.answer("Whom to enrol from", str(home / "nowhere"))
        user.expect("[enrolment_list_missing]")
        user.answer("Whom to enrol from", str(frigate))
        user.answer("2 photos of 1 people in Frigate (2 more have names that are too alike): enrol them?")
        assert not list(home.iterdir())
        user.answer("Write ")
        user.expect("Ada Lovelace (")
        user.expect("ok     camera door: h264 320x192")
        user.expect("whosthere serve")
        assert user.ended() == 0
    for told in ("[names_alike]", "broken.webp: ", "1 pictures that Frigate filed under nobody are left out"):
        assert told in user.shown
    secrets = read_env(home / "whosthere.env")
    assert secrets == {"CAM_DOOR_PASSWORD": LOGIN[1], "MQTT_PASSWORD": USERS["whosthere"]}
    assert stat.S_IMODE((home / "whosthere.env").stat().st_mode) == 0o600
    text = (home / "whosthere.yaml").read_text()
    assert yaml.safe_load(text)["mqtt"]["home_assistant"] == {"enabled": True}
    for secret in secrets.values():
        assert secret not in text + user.shown
    assert yaml.safe_load(text)["cameras"]["door"]["url"].startswith("rtsp://admin:${CAM_DOOR_PASSWORD}@")
    _again(home, camera)


def _again(home: Path, camera: RtspServer) -> None:
    """What is there are the defaults, and nothing is written where nothing is new."""
    before = {file.name: file.stat().st_mtime_ns for file in home.glob("whosthere*")}
    same = whosthere("setup", "--yes", "--json", cwd=home, environ=ANY_PORT)
    assert (same.code, same.document["before"], same.document["broker"]["ok"]) == (0, None, True)
    assert {file.name: file.stat().st_mtime_ns for file in home.glob("whosthere*")} == before
    more = f"rtsp://{LOGIN[0]}:${{DOOR}}@127.0.0.1:{camera.port}/door"
    ended = whosthere(
        "setup", "--yes", "--json", "--camera", f"gate={more}", cwd=home, environ=ANY_PORT | {"DOOR": LOGIN[1]}
    )
    assert ended.code == 0, ended
    told = ended.document
    assert [(one["name"], one["ok"]) for one in told["cameras"]] == [("door", None), ("gate", True)]
    assert Path(told["before"]).is_file()
    assert all(row["ok"] for row in told["checks"])
    assert yaml.safe_load((home / "whosthere.yaml").read_text())["cameras"]["gate"]["url"] == more
    assert not any(secret in ended.everything for secret in (LOGIN[1], USERS["whosthere"]))


@pytest.mark.parametrize("at", [pytest.param("(Enter: none)", marks=pytest.mark.thorough), "Host [127.0.0.1]"])
def test_ctrl_c_leaves_nothing(home, at) -> None:
    with AtTerminal("setup", cwd=home) as user:
        user.answer("Look for cameras", "n")
        if at != "(Enter: none)":
            user.answer("(Enter: none)")
        user.expect(at)
        user.interrupt()
        user.expect("stopped: nothing was written")
        assert user.ended() == 130
        assert "Traceback" not in user.shown
    assert not list(home.iterdir())


def test_a_broker_with_a_certificate_of_its_own_authority(home, tmp_path) -> None:
    write_clip(home / "hall.mp4", 5)
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    authority = Authority(folder)
    with Mosquitto(folder, tls=authority.issue("broker")) as broker:
        typed = ("--yes", "--camera", "hall=hall.mp4", "--broker", f"localhost:{broker.port}")
        stranger = whosthere("setup", *typed, "--broker-tls", cwd=home)
        assert (stranger.code, (home / "whosthere.yaml").exists()) == (1, False)
        assert "Traceback" not in stranger.err
        ended = whosthere("setup", *typed, "--broker-ca", authority.cert, "--json", cwd=home, environ=ANY_PORT)
    assert (ended.code, ended.document["broker"]["ok"]) == (0, True), ended
    mqtt = yaml.safe_load((home / "whosthere.yaml").read_text())["mqtt"]
    assert mqtt == {"host": "localhost", "port": broker.port, "tls": {"ca": str(authority.cert)}}
