"""`cameras discover` as a user calls it, against a device of our own on loopback."""

import fcntl
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import pytest
import yaml

from streamer.discovery.ws_discovery import PORT
from tests.command import Ended, assert_refused, whosthere
from tests.http_servers import http_servers
from tests.live.login_gate import PASSWORD, USER
from tests.streamer.discovery.onvif_device import OnvifCamera, Responder, probe_matches

OURS = "Test Entrance"  # other tests may be on the group
ENVIRON = {"CAM_USER": USER, "CAM_PASSWORD": PASSWORD}
LOGIN = ("--user", "${CAM_USER}", "--password", "${CAM_PASSWORD}")


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """By multicast, tests in two processes would find each other's cameras: one on this machine is run at a time."""
    with (Path(gettempdir()) / "whosthere-tests-that-discover").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def device() -> Iterator[OnvifCamera]:
    camera = OnvifCamera()
    with http_servers() as start:
        url = start(camera.handler()) + "/onvif/device_service"
        scopes = [f"onvif://www.onvif.org/name/{OURS.replace(' ', '%20')}", "onvif://www.onvif.org/hardware/XY-1"]
        with Responder(PORT, [probe_matches(url, endpoint="urn:uuid:entrance", scopes=scopes)]):
            yield camera


def discover(*arguments: str, cwd: Path, environ: dict[str, str] | None = None) -> Ended:
    return whosthere(
        "cameras",
        "discover",
        "--interface",
        "127.0.0.1",
        "--seconds",
        "0.5",
        *arguments,
        cwd=cwd,
        environ=environ or {},
    )


def ours(ended: Ended) -> dict:
    (found,) = [each for each in ended.document["devices"] if each["name"] == OURS]
    return found


def test_without_a_login_nobody_is_asked_anything(device, tmp_path):
    ended = discover(cwd=tmp_path)
    assert ended.code == 0
    assert re.search(rf"^127\.0\.0\.1 +{OURS}, XY-1$", ended.out, re.MULTILINE)
    assert "whosthere cameras discover --user '${CAM_USER}' --password '${CAM_PASSWORD}'" in ended.out
    assert device.asked == []
    found = ours(discover("--json", cwd=tmp_path))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/onvif/device_service", found["device_url"])
    assert (found["camera"], found["streams"], found["reason"]) == ("test-entrance", [], None)


def test_with_a_login_there_are_lines_to_paste(device, tmp_path):
    ended = discover(*LOGIN, cwd=tmp_path, environ=ENVIRON)
    assert ended.code == 0
    url = "rtsp://${CAM_USER}:${CAM_PASSWORD}@127.0.0.1:554/main?x=1&y=2"
    assert f"whosthere cameras add test-entrance '{url}'" in ended.out.splitlines()
    block = re.search(r"^cameras:\n(?:  .*\n)+", ended.out, re.MULTILINE)
    assert block is not None
    assert yaml.safe_load(block[0])["cameras"]["test-entrance"] == {"url": url}
    assert PASSWORD not in ended.everything
    found = ours(discover(*LOGIN, "--json", cwd=tmp_path, environ=ENVIRON))
    assert [stream["width"] for stream in found["streams"]] == [1920, 640]
    assert found["streams"][0]["url"] == url


def test_names_that_are_configured_are_not_proposed_again(device, tmp_path):
    (tmp_path / "whosthere.yaml").write_text("cameras: {test-entrance: {url: x.mp4}}")
    assert ours(discover("--json", cwd=tmp_path))["camera"] == "test-entrance-1"


def test_a_login_that_is_refused_is_told(device, tmp_path):
    environ = ENVIRON | {"CAM_PASSWORD": "hunter3"}
    assert "it refuses the login; check user and password" in discover(*LOGIN, cwd=tmp_path, environ=environ).out
    assert ours(discover(*LOGIN, "--json", cwd=tmp_path, environ=environ))["streams"] == []


def test_the_login_goes_to_whom_it_is_for(device, tmp_path):
    ended = discover(*LOGIN, "--only", "192.0.2.9", "--json", cwd=tmp_path, environ=ENVIRON)
    assert ended.document == {"devices": []}
    assert re.search(r"^no device answered from 192\.0\.2\.9; there are: .*127\.0\.0\.1", ended.err, re.MULTILINE)
    assert device.asked == []


@pytest.mark.parametrize("wrong", ["banana", "192.0.2", "http://192.0.2.9", "::1"])
def test_a_device_is_named_by_its_address(tmp_path, wrong):
    ended = discover("--only", wrong, cwd=tmp_path)
    assert ended.code == 2
    assert "--only" in ended.err
    assert "give an IPv4 address, such as 192.0.2.5" in ended.err


def test_nobody_answers(tmp_path):
    ended = discover("--only", "192.0.2.9", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "")
    assert "no ONVIF device answered. Check" in ended.err
    assert "docs/cameras.md" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", "ada", "--password", "hunter2"), "name a variable that holds it"),
        (("--user", "ada"), "--user and --password go together"),
        (("--password", "${P}"), "--user and --password go together"),
        (("--interface", "eth0"), "give an IPv4 address"),
    ],
)
def test_arguments_that_are_none(arguments, said, tmp_path):
    ended = discover(*arguments, cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.err
    assert "hunter2" not in ended.everything


def test_a_variable_that_is_not_set(tmp_path):
    assert "CAM_USER" in assert_refused(discover(*LOGIN, cwd=tmp_path), "camera_variable_unset")


def test_a_network_that_is_not_here(tmp_path):
    assert_refused(discover("--interface", "203.0.113.1", cwd=tmp_path), "discovery_failed")
