"""Names that may be levels of a topic, URLs with their variables, lines that can be pasted."""

import shlex

import pytest
import yaml

from streamer.discovery.proposal import add_line, camera_name, with_login, without_secret, yaml_lines
from streamer.settings import Settings
from streamer.variables import expand_url


@pytest.mark.parametrize(
    ("told", "taken", "name"),
    [
        ("Front Door", [], "front-door"),
        ("Tür/Küche #1 +", [], "tur-kuche-1"),
        ("入口", [], "camera"),
        ("", ["camera"], "camera-9"),
        ("IPC", ["ipc", "ipc-9"], "ipc-9-2"),
        ("IPC", ["ipc", "ipc-9", "ipc-9-2"], "ipc-9-3"),
        ("--__..", [], "camera"),
        ("x" * 200, [], "x" * 40),
        ("DS-2CD2143G2-I", [], "ds-2cd2143g2-i"),
    ],
)
def test_names(told, taken, name):
    assert camera_name(told, "192.0.2.9", taken) == name
    Settings.model_validate({"cameras": {name: {"url": "x"}}})


ENVIRON = {"CAM_USER": "ada", "CAM_PASSWORD": "hunter2/@:x"}


@pytest.mark.parametrize(
    ("url", "user", "password", "written", "opened"),
    [
        (
            "rtsp://192.0.2.9:554/main?x=1&y=2",
            "${CAM_USER}",
            "${CAM_PASSWORD}",
            "rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9:554/main?x=1&y=2",
            "rtsp://ada:hunter2%2F%40%3Ax@192.0.2.9:554/main?x=1&y=2",
        ),
        (
            "rtsp://192.0.2.9/a",
            "ad@min",
            "${CAM_PASSWORD}",
            "rtsp://ad%40min:${CAM_PASSWORD}@192.0.2.9/a",
            "rtsp://ad%40min:hunter2%2F%40%3Ax@192.0.2.9/a",
        ),
        (
            "rtsp://192.0.2.9/%24%7BHOME%7D",
            "a$b",
            "${CAM_PASSWORD}",
            "rtsp://a%24b:${CAM_PASSWORD}@192.0.2.9/%24%7BHOME%7D",
            "rtsp://a%24b:hunter2%2F%40%3Ax@192.0.2.9/%24%7BHOME%7D",
        ),
    ],
)
def test_lines_to_paste_open_what_was_found(url, user, password, written, opened):
    found = with_login(url, user, password)
    assert found == written
    (name, camera), *_ = yaml.safe_load("\n".join(yaml_lines([("door", found)])))["cameras"].items()
    assert (name, expand_url(camera["url"], ENVIRON)) == ("door", opened)
    assert shlex.split(add_line("door", found)) == ["whosthere", "cameras", "add", "door", written]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://h/user=ada_password=hunter2_channel=1.sdp", "rtsp://h/user=ada_password=${P}_channel=1.sdp"),
        ("rtsp://h/x?p=hunter2&q=hunter2", "rtsp://h/x?p=${P}&q=${P}"),
        ("rtsp://h/x", "rtsp://h/x"),
    ],
)
def test_a_password_in_the_url_that_a_device_gives(url, shown):
    assert without_secret(url, "hunter2", "${P}") == shown
