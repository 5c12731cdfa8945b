from typing import Any

import pytest
import yaml

from streamer.setup.document import begun, hidden, with_login, yaml_text
from streamer.variables import expand_url


def hidden_url(url: str) -> tuple[str, dict[str, str]]:
    tree, secrets = hidden({"cameras": {"my-door": {"url": url}}})
    return tree["cameras"]["my-door"]["url"], secrets


@pytest.mark.parametrize(
    ("typed", "written", "password"),
    [
        ("rtsp://admin:secret@192.0.2.9/h264", "rtsp://admin:${CAM_MY_DOOR_PASSWORD}@192.0.2.9/h264", "secret"),
        ("rtsp://a:se%2Fc%40ret@192.0.2.9:554/x", "rtsp://a:${CAM_MY_DOOR_PASSWORD}@192.0.2.9:554/x", "se/c@ret"),
        (
            "rtsp://a:se/c@ret@192.0.2.9/x?channel=1",
            "rtsp://a:${CAM_MY_DOOR_PASSWORD}@192.0.2.9/x?channel=1",
            "se/c@ret",
        ),
        ("http://ada lovelace:x@h/v.mjpg", "http://ada%20lovelace:${CAM_MY_DOOR_PASSWORD}@h/v.mjpg", "x"),
    ],
)
def test_a_password_goes_into_a_variable_and_the_camera_is_opened_with_it(
    typed: str, written: str, password: str
) -> None:
    url, secrets = hidden_url(typed)
    assert (url, secrets) == (written, {"CAM_MY_DOOR_PASSWORD": password})
    assert password not in url
    opened = expand_url(url, secrets)
    assert opened.rpartition("@")[2] == typed.rpartition("@")[2]


@pytest.mark.parametrize(
    "url", ["http://h/v?user=admin&pwd=s3cret", "rtmp://h/live/s3cret-key", "rtsp://a:b@h/x?token=s3cret"]
)
def test_a_url_that_may_hold_a_secret_elsewhere_goes_there_whole(url: str) -> None:
    written, secrets = hidden_url(url)
    assert (written, secrets) == ("${CAM_MY_DOOR_URL}", {"CAM_MY_DOOR_URL": url})
    assert expand_url(written, secrets) == url


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://192.0.2.9/h264",
        "rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9/h264",
        "http://h/v?token=${TOKEN}",
        "clips/hall.mp4",
        "usb:0",
        "/dev/video0",
        "rtsp://user@h/x",
    ],
)
def test_what_has_no_secret_stays(url: str) -> None:
    assert hidden_url(url) == (url, {})


def test_the_brokers_password_and_a_publishers_go_there_too() -> None:
    tree, secrets = hidden(
        {
            "mqtt": {"password": 1234},
            "cameras": {"a": {"url": "publish://", "password": "x"}, "b": {"password": "${B}"}},
        }
    )
    assert tree["mqtt"]["password"] == "${MQTT_PASSWORD}"
    assert secrets == {"MQTT_PASSWORD": "1234", "CAM_A_PASSWORD": "x"}
    assert tree["cameras"] == {"a": {"url": "publish://", "password": "${CAM_A_PASSWORD}"}, "b": {"password": "${B}"}}


@pytest.mark.parametrize("tree", [{"cameras": []}, {"cameras": {"a": "x"}, "mqtt": "y"}, {}])
def test_what_is_no_section_is_left_to_be_refused(tree: dict[str, Any]) -> None:
    assert hidden(tree) == (tree, {})


def test_a_login_takes_the_place_of_another() -> None:
    for url in ("rtsp://192.0.2.9/x", "rtsp://old:o/l@d@192.0.2.9/x"):
        assert with_login(url, "a b", "p@s/s") == "rtsp://a%20b:p%40s%2Fs@192.0.2.9/x"


def test_the_text_is_the_tree() -> None:
    tree = begun() | {"cameras": {"door": {"url": "rtsp://${X}@h", "fps": 10}}}
    text = yaml_text(tree, "whosthere.env")
    assert yaml.safe_load(text) == tree
    assert "whosthere.env" in text
    assert begun()["cameras"] == {}


def test_each_secret_has_a_variable_of_its_own() -> None:
    cameras = {
        "door-1": {"url": "rtsp://u:a@h/1"},
        "door_1": {"url": "rtsp://u:b@h/2"},
        "x": {"url": "rtsp://u:${CAM_Y_PASSWORD}@h"},
    }
    tree, secrets = hidden(
        {"cameras": cameras | {"y": {"url": "rtsp://u:c@h"}}, "mqtt": {"password": "d"}}, {"MQTT_PASSWORD"}
    )
    assert secrets == {
        "CAM_DOOR_1_PASSWORD": "a",
        "CAM_DOOR_1_PASSWORD_2": "b",
        "CAM_Y_PASSWORD_2": "c",
        "MQTT_PASSWORD_2": "d",
    }
    assert tree["mqtt"]["password"] == "${MQTT_PASSWORD_2}"
    assert tree["cameras"]["x"]["url"] == "rtsp://u:${CAM_Y_PASSWORD}@h"
