"""The list of what Home Assistant was told: what becomes a tombstone, how long it stays, files that can't be used."""

import json
import os
from pathlib import Path

import pytest

from streamer.mqtt.home_assistant.devices import Device, Devices
from streamer.mqtt.home_assistant.errors import DiscoveryListTooNew, DiscoveryListUnreadable, DiscoveryListUnwritable
from streamer.mqtt.home_assistant.ledger import KEEP_S, Ledger, read_ledger, told_devices
from streamer.settings import MqttSettings
from tests.streamer.messages import ADA, BOB


def wanted(*people: str, trackers: bool = False) -> dict[str, Device]:
    made = Devices(MqttSettings(home_assistant={"enabled": True, "trackers": trackers}), commanded=False)
    devices = [made.service(), made.camera("door"), *(made.person(one, "Zebedee") for one in people)]
    return {device.topic: device for device in devices}


def save(ledger: Ledger) -> None:
    ledger.write(ledger.snapshot())
    ledger.is_dirty = False


def topic(person_id: str) -> str:
    return f"homeassistant/device/whosthere_person_{person_id}/config"


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "home-assistant.json"


def test_who_is_gone_stays_as_a_tombstone_without_a_name_over_a_restart(path):
    ledger = Ledger.read(path)
    ledger.want(wanted(ADA, BOB))
    save(ledger)
    again = Ledger.read(path)
    again.want(wanted(BOB))
    assert again.is_dirty
    save(again)

    (row,) = Ledger.read(path).tombstones
    assert (row.topic, row.is_gone) == (topic(ADA), True)
    assert row.removed_platforms == {name: c["p"] for name, c in wanted(ADA)[topic(ADA)].components.items()}
    assert "Zebedee" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert told_devices(path, [BOB]) == [topic(BOB)]


def test_what_anybody_left_on_the_broker_can_damage_no_list(path):
    ledger = Ledger.read(path)
    parts = {"who": "sensor", "Who 2": "sensor", "x" * 40: "sensor", "odd": "no platform", "bad": "\ud800"}
    ledger.remove("whosthere_cam_gone", topic("gone"), parts)
    ledger.remove(f"whosthere_cam_{'x' * 400}", topic("x" * 400), {"who": "sensor"})
    save(ledger)
    (row,) = Ledger.read(path, repair=False).tombstones
    assert row.removed_platforms == {"who": "sensor"}


def test_what_changes_while_it_is_being_written_is_in_the_next_writing_alone(path):
    ledger = Ledger.read(path)
    ledger.want(wanted(ADA, BOB))
    rows = ledger.snapshot()
    ledger.want(wanted(BOB))
    ledger.write(rows)
    assert Ledger.read(path).tombstones == []
    save(ledger)
    assert [row.topic for row in Ledger.read(path).tombstones] == [topic(ADA)]


def test_nothing_new_is_nothing_to_write(path):
    ledger = Ledger.read(path)
    ledger.want(wanted(ADA))
    save(ledger)
    ledger.want(wanted(ADA))
    assert not ledger.is_dirty


def test_a_component_that_is_told_of_no_more_is_one_too_until_it_is_again(path):
    ledger = Ledger(path)
    ledger.want(wanted(ADA, trackers=True))
    ledger.want(wanted(ADA))
    (row,) = ledger.tombstones
    assert (row.is_gone, row.removed_platforms) == (False, {"tracker": "device_tracker"})
    ledger.want(wanted(ADA, trackers=True))
    assert ledger.tombstones == []


def test_a_tombstone_goes_when_it_is_old_and_was_replayed(path):
    now = [1e9]
    ledger = Ledger(path, now=lambda: now[0])
    ledger.want(wanted(ADA, BOB))
    ledger.want(wanted(BOB))
    ledger.replayed([topic(ADA)])
    assert [row.replayed for row in ledger.tombstones] == [1]
    now[0] += KEEP_S + 1
    ledger.want(wanted())
    ledger.replayed([])
    assert [row.topic for row in ledger.tombstones] == [topic(BOB)]
    save(ledger)
    assert ADA not in path.read_text()


def test_what_may_have_been_told_is_listed_to_be_removed(path):
    ledger = Ledger(path)
    ledger.want(wanted(BOB))
    ledger.remove(f"whosthere_person_{ADA}", topic(ADA), {"present": "binary_sensor"})
    ledger.remove(f"whosthere_person_{BOB}", topic(BOB), {"present": "binary_sensor"})
    assert [row.topic for row in ledger.tombstones] == [topic(ADA)]


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe", b"[]", b'{"version":1,"devices":[{"key":1}]}', b'{"version":0}']
)
def test_a_damaged_one_is_kept_aside_and_begun_anew(path, text, caplog):
    path.write_bytes(text)
    assert told_devices(path, [ADA]) == []
    assert isinstance(read_ledger(path, repair=False), DiscoveryListUnreadable)
    assert path.read_bytes() == text

    ledger = read_ledger(path)
    assert isinstance(ledger, Ledger)
    assert ledger.was_damaged
    (aside,) = path.parent.glob("home-assistant.json.damaged-*")
    assert aside.read_bytes() == text
    assert [getattr(record, "code", "") for record in caplog.records] == ["discovery_list_unreadable"]


def test_one_of_the_future_is_left_alone(path):
    path.write_text('{"version": 2, "devices": "other"}')
    assert isinstance(read_ledger(path), DiscoveryListTooNew)
    assert json.loads(path.read_text())["version"] == 2


def test_one_that_cant_be_read_or_written_is_told(path):
    path.mkdir()
    assert isinstance(read_ledger(path), DiscoveryListUnreadable)
    ledger = Ledger(path)
    ledger.want(wanted(ADA))
    with pytest.raises(DiscoveryListUnwritable, match=r"home-assistant\.json can't be written"):
        save(ledger)
    assert ledger.is_dirty
    assert os.listdir(path.parent) == [path.name]
