"""Discovery messages: ids, topics, and what Home Assistant would refuse or lose."""

import json
from datetime import UTC, datetime
from typing import Any

import jinja2
import pytest

from streamer.mqtt.home_assistant.devices import PLATFORMS, Device, Devices, Naming, kind_of, tombstone
from streamer.settings import MqttSettings
from tests.streamer.messages import ADA

EVERYTHING = {"enabled": True, "trackers": True, "pictures": "all"}
# What 2025.4.4 takes where one unknown key costs the whole device.
DEVICE_KEYS = {"ids", "name", "mf", "mdl", "via_device"}


def devices(commanded: bool = True, **mqtt: Any) -> Devices:
    return Devices(MqttSettings(**{"home_assistant": EVERYTHING} | mqtt), commanded=commanded)


def all_of(made: Devices, name: str | None = "Ada Lovelace") -> list[Device]:
    return [made.service(), made.camera("door-1"), made.person(ADA, name)]


def document(device: Device) -> dict[str, Any]:
    return json.loads(device.payload())


def shown(template: str, payload: object) -> str:
    """As Home Assistant's template engine has it, of the filters that are used."""
    environment = jinja2.Environment()
    environment.filters["tojson"] = json.dumps
    environment.filters["as_datetime"] = lambda at: datetime.fromtimestamp(at, UTC)
    variables = {} if payload == "" else {"value_json": payload}
    return environment.from_string(template).render(**variables)


def test_no_key_stands_where_an_unknown_one_costs_the_device():
    for device in all_of(devices()):
        told = document(device)
        assert told.keys() == {"dev", "o", "cmps"}
        assert told["dev"].keys() <= DEVICE_KEYS
        assert told["o"].keys() == {"name", "sw"}
        for component in told["cmps"].values():
            assert component["qos"] == 1
            assert component["p"]
            assert component["uniq_id"].startswith(told["dev"]["ids"][0])


def test_every_component_is_one_that_can_be_removed_again():
    for device in all_of(devices()):
        kind = kind_of(device.key, "whosthere")
        assert kind is not None
        told = {name: component["p"] for name, component in document(device)["cmps"].items()}
        assert told == PLATFORMS[kind]


def test_ids_are_opaque_and_never_made_from_a_name():
    device = devices().person(ADA, "Ada Lovelace")
    told = document(device)
    ids = [one[key] for one in told["cmps"].values() for key in ("uniq_id", "default_entity_id", "stat_t")]
    assert not any("lovelace" in one.lower() for one in [*ids, *told["dev"]["ids"], device.topic, device.key])
    assert told["cmps"]["present"]["default_entity_id"] == f"binary_sensor.whosthere_{ADA}_present"
    assert device.topic == f"homeassistant/device/whosthere_person_{ADA}/config"


def test_without_names_nobody_is_named():
    made = devices(publish_names=False)
    assert document(made.person(ADA, None))["dev"]["name"] == ADA
    who = document(made.camera("door"))["cmps"]["who"]["val_tpl"]
    assert shown(who, {"people": [{"id": ADA, "name": None}], "unknown": 0}) == ADA


def test_what_depends_on_the_picture_is_there_with_it_alone():
    told = document(devices().camera("door"))["cmps"]
    for name in ("occupied", "who", "unknown", "identity"):
        own, status = told[name]["avty"]
        assert told[name]["avty_mode"] == "all"
        assert own == {"t": "whosthere/available"}
        states = {
            state: shown(status["val_tpl"], {"state": state}) for state in ("online", "stalled", "offline", "disabled")
        }
        assert states == {"online": "online", "stalled": "online", "offline": "offline", "disabled": "offline"}
        assert shown(status["val_tpl"], "") == "offline"
    assert "avty" not in document(devices().service())["cmps"]["running"]


def test_a_state_is_never_longer_than_is_shown():
    who = document(devices().camera("door"))["cmps"]["who"]["val_tpl"]
    people = [{"id": f"p{number:012d}", "name": f"Person number {number}"} for number in range(60)]
    assert 200 < len(shown(who, {"people": people, "unknown": 0})) <= 250
    assert shown(who, {"people": [], "unknown": 2}) == shown(who, "") == "nobody"
    where = document(devices().person(ADA, "Ada"))["cmps"]["where"]["val_tpl"]
    cameras = [f"camera-{number}" for number in range(60)]
    assert 200 < len(shown(where, {"present": True, "cameras": cameras})) <= 250
    assert shown(where, {"present": False, "cameras": []}) == "not seen"


def test_a_time_has_a_zone_and_what_is_not_known_is_none():
    told = document(devices().person(ADA, "Ada"))["cmps"]
    assert shown(told["last_seen"]["val_tpl"], {"at": 1763674512.104}) == "2025-11-20 21:35:12.104000+00:00"
    assert shown(told["last_seen"]["val_tpl"], "") == shown(told["last_camera"]["val_tpl"], "") == "None"
    assert shown(told["tracker"]["val_tpl"], {"present": True}) == "home"
    assert shown(told["tracker"]["val_tpl"], "") == "not_home"


def test_an_event_is_one_of_the_listed_types_and_nothing_where_the_topic_is_emptied():
    identity = document(devices().camera("door"))["cmps"]["identity"]
    event = {"type": "new", "person": None, "previous_person": None, "event_id": "E", "seq": 1, "similarity": None}
    event |= {"decision": "unknown", "snapshot": None, "end_reason": None}
    told = json.loads(shown(identity["val_tpl"], event))
    assert told["event_type"] in identity["evt_typ"]
    assert (told["person_id"], told["seq"]) == (None, 1)
    assert shown(identity["val_tpl"], "") == ""


@pytest.mark.parametrize(
    ("options", "missing"), [({"trackers": False}, "tracker"), ({"pictures": "none"}, "last_face")]
)
def test_what_is_not_asked_for_is_not_there(options, missing):
    made = devices(home_assistant=EVERYTHING | options)
    assert missing not in {name for device in all_of(made) for name in document(device)["cmps"]}
    assert "enabled" not in document(devices(commanded=False).camera("door"))["cmps"]


def test_two_services_on_one_broker_have_devices_of_their_own():
    keys = {prefix: Naming.of(MqttSettings(topic_prefix=prefix)).key("cam", "door") for prefix in ("a/b", "a_b", "a.b")}
    assert len({*keys.values()}) == 3
    assert keys["a_b"] == "a_b_cam_door"
    naming = Naming.of(MqttSettings(topic_prefix="a/b"))
    assert naming.key_of(naming.topic(keys["a/b"])) == keys["a/b"]
    assert naming.key_of(naming.topic("other_cam_door")) is None
    assert naming.key_of("homeassistant/device/somebody_elses/config") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [("home", "home_cam"), ("home", "home_person"), ("home", "home/cam"), ("a", "a_cam_b"), ("a", "a_main")],
)
def test_no_service_takes_a_device_of_anothers_for_its_own(one, other):
    theirs = Devices(MqttSettings(topic_prefix=other), commanded=False)
    ours = Naming.of(MqttSettings(topic_prefix=one))
    for device in (theirs.service(), theirs.camera("main"), theirs.person(ADA, None)):
        assert theirs.naming.key_of(device.topic) == device.key
        assert ours.key_of(device.topic) is None


def test_a_tombstone_names_nobody_and_has_what_each_platform_wants():
    for kind, platforms in PLATFORMS.items():
        told = json.loads(tombstone(f"whosthere_{kind}_x", platforms))
        assert {name: one["p"] for name, one in told["cmps"].items()} == platforms
        assert {one["uniq_id"] for one in told["cmps"].values()} == {f"whosthere_{kind}_x_{name}" for name in platforms}
        assert told["dev"]["ids"] == [told["dev"]["name"]] == [f"whosthere_{kind}_x"]
        # Else Home Assistant goes on listening to the switch's state after it has removed it, and fails with each.
        assert all("stat_t" in one or one["p"] == "image" for one in told["cmps"].values())
