"""Commands over MQTT: which are obeyed, which are counted and told once, what is retained of cameras."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiomqtt import Message

from streamer.mqtt.camera_commands import CameraCommands
from streamer.mqtt.camera_topics import CameraTopics
from streamer.mqtt.presence import Presence
from streamer.mqtt.retained import Retained
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics
from tests.streamer.messages import ADA, due


class Rig:
    def __init__(self, prefix: str = "site/whosthere") -> None:
        self.metrics, self.obeyed, self.prefix = Metrics(), [], prefix
        self.commands = CameraCommands(
            prefix, lambda: {"door", "hall"}, lambda *told: self.obeyed.append(told), self.metrics
        )

    def hear(self, topic: str, payload: Any, *, retain: bool = False) -> bool:
        message = SimpleNamespace(topic=SimpleNamespace(value=topic), payload=payload, retain=retain)
        return self.commands.heard(cast(Message, message))

    def count(self, outcome: str) -> float:
        labels = {"outcome": outcome}
        return self.metrics.registry.get_sample_value("whosthere_broker_commands_total", labels) or 0.0


@pytest.mark.parametrize(
    ("payload", "enabled"),
    [(b"ON", True), (b"OFF", False), (b"on", True), (b" off\n", False), (b"true", True), (b"False", False)],
)
def test_what_a_switch_sends_is_obeyed(payload, enabled):
    rig = Rig()
    assert rig.hear("site/whosthere/cameras/door/enabled/set", payload)
    assert rig.obeyed == [("door", enabled)]
    assert rig.count("heard") == 1


@pytest.mark.parametrize(
    ("camera", "payload", "retain", "outcome", "said"),
    [
        ("door", b"OFF", True, "retained", "publish it without retain"),
        ("nix", b"ON", False, "unknown_camera", "no such camera"),
        ("Ad\x1ba", b"ON", False, "unknown_camera", "camera Ad?a"),
        ("door", b"1", False, "bad_payload", "want ON or OFF"),
        ("door", b"\xff", False, "bad_payload", "want ON or OFF"),
        ("hall", b"ON" * 10**6, False, "bad_payload", "want ON or OFF"),
    ],
)
def test_what_is_not_obeyed_is_counted_each_time_and_told_once(camera, payload, retain, outcome, said, caplog):
    rig = Rig()
    for _ in range(3):
        assert rig.hear(f"site/whosthere/cameras/{camera}/enabled/set", payload, retain=retain)
    assert rig.obeyed == []
    assert rig.count(outcome) == 3
    (line,) = caplog.messages
    assert said in line


def test_names_that_are_made_up_without_end_fill_neither_log_nor_memory(caplog):
    rig = Rig()
    for number in range(500):
        rig.hear(f"site/whosthere/cameras/c{number}/enabled/set", b"ON")
    assert rig.count("unknown_camera") == 500
    assert len(caplog.messages) == 50


@pytest.mark.parametrize(
    "topic",
    [
        "site/whosthere/cameras/door/status",
        "whosthere/cameras/door/enabled/set",
        "site/whosthere/cameras/door/hall/enabled/set",
        "site/whosthere/cameras/door/enabled/state",
    ],
)
def test_what_is_no_command_is_left_to_others(topic):
    rig = Rig()
    assert not rig.hear(topic, b"ON")
    assert rig.obeyed == []


def test_a_retained_command_that_is_erased_says_nothing(caplog):
    rig = Rig()
    assert rig.hear("site/whosthere/cameras/door/enabled/set", b"")
    assert (rig.obeyed, caplog.messages) == ([], [])


def topics(*, tell_enabled: bool) -> tuple[CameraTopics, Retained, Presence]:
    presence, retained = Presence({ADA: "Ada"}.get, True, lambda: 1000.0), Retained(lambda _: None)
    mqtt = MqttSettings(topic_prefix="w")
    return CameraTopics(mqtt, retained, presence, lambda: 1000.0, tell_enabled=tell_enabled), retained, presence


def test_a_camera_that_is_removed_leaves_nothing_and_its_last_event_brings_nothing_back():
    cameras, retained, presence = topics(tell_enabled=True)
    for name in ("door", "hall"):
        cameras.add(name)
        cameras.set_enabled(name, True)
        cameras.set_status(name, "online")
    cameras.remove("door")
    presence.heard(due("a1n").event)
    cameras.present_changed("door")
    leaves = ("status", "present", "enabled/state")
    assert [retained.payload(f"w/cameras/door/{leaf}") for leaf in leaves] == [b"", b"", b""]
    assert [bool(retained.payload(f"w/cameras/hall/{leaf}")) for leaf in leaves] == [True] * 3
    assert cameras.names == {"hall"}
    cameras.add("door")
    cameras.set_status("door", "offline", "starting")
    assert retained.payload("w/cameras/door/status") == b'{"state":"offline","since":1000.0,"reason":"starting"}'
    assert retained.payload("w/cameras/door/present") != b""


@pytest.mark.parametrize(("tell_enabled", "want"), [(True, b"OFF"), (False, None)])
def test_whether_it_is_enabled_is_told_where_that_is_commanded(tell_enabled, want, caplog):
    caplog.set_level(logging.INFO)
    cameras, retained, _ = topics(tell_enabled=tell_enabled)
    cameras.add("door")
    cameras.set_enabled("door", False)
    assert retained.payload("w/cameras/door/enabled/state") == want
