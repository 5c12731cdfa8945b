"""Devices as Home Assistant's MQTT discovery wants them: the service, each camera, each person. Pure.

Names and ids go in, a discovery message each comes out. Home Assistant drops a whole device for one key that it does
not know at the top, in `dev` or in `o`: what stands there was tried with 2025.4.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from streamer import __version__
from streamer.settings import MqttSettings

Kind = Literal["main", "cam", "person"]
Component = dict[str, Any]

# By kind of device: every component that was ever told of, and its platform; one that is taken out stays here.
PLATFORMS: Mapping[Kind, Mapping[str, str]] = {
    "main": {"running": "binary_sensor"},
    "cam": {
        "connected": "binary_sensor",
        "occupied": "binary_sensor",
        "who": "sensor",
        "unknown": "sensor",
        "identity": "event",
        "last_face": "image",
        "enabled": "switch",
    },
    "person": {
        "present": "binary_sensor",
        "where": "sensor",
        "last_seen": "sensor",
        "last_camera": "sensor",
        "tracker": "device_tracker",
    },
}

DEFAULT_PREFIX = "homeassistant"

_ORIGIN = {"name": "whosthere", "sw": __version__}
_LONGEST_STATE = 250  # characters; Home Assistant has 255, and shows nothing of what is longer
# No JSON, as while a topic is erased: the templates find no value_json then, and would fail.
_HAS = "value_json is defined"


@dataclass(frozen=True, slots=True)
class Device:
    """`key`: its last level but one on the topic, and how the rest of the world knows it. components: by their keys."""

    key: str
    topic: str
    states: str
    device: Mapping[str, Any]
    components: Mapping[str, Component]

    def payload(self, gone: Mapping[str, str] = {}) -> bytes:
        """The message; of `gone`, components by platform, Home Assistant is told that they are no more."""
        removed = {name: {"p": platform} for name, platform in gone.items()}
        return orjson.dumps({"dev": self.device, "o": _ORIGIN, "cmps": {**self.components, **removed}})


@dataclass(frozen=True, slots=True)
class Naming:
    """Where devices are told of, and what their ids begin with: two services on one broker have two topic prefixes."""

    discovery: str
    prefix: str
    node: str

    @classmethod
    def of(cls, mqtt: MqttSettings) -> "Naming":
        return cls(mqtt.home_assistant.prefix, mqtt.topic_prefix, node_of(mqtt.topic_prefix))

    def key(self, kind: Kind, name: str = "") -> str:
        return f"{self.node}_{kind}_{name}" if name else f"{self.node}_{kind}"

    def topic(self, key: str) -> str:
        return f"{self.discovery}/device/{key}/config"

    def key_of(self, topic: str) -> str | None:
        """The device of one of our topics; None where it is none."""
        found = re.fullmatch(rf"{re.escape(self.discovery)}/device/({re.escape(self.node)}_[a-z0-9_-]+)/config", topic)
        return found[1] if found and kind_of(found[1], self.node) is not None else None


def birth_topics(mqtt: MqttSettings) -> list[str]:
    """Where Home Assistant says that it has started: whatever its prefix of discovery is, unless told otherwise, on the
    second."""
    return list(dict.fromkeys(f"{prefix}/status" for prefix in (mqtt.home_assistant.prefix, DEFAULT_PREFIX)))


def node_of(prefix: str) -> str:
    """A topic prefix as ids may have it; one that can't stay as it is gets an ending of its own. So does `home_cam`,
    whose devices the service of `home` would take for its own cameras."""
    plain = re.sub(r"_(?=(main|cam|person)(_|$))", "-", re.sub(r"[^a-zA-Z0-9_-]", "_", prefix))
    return plain if plain == prefix else f"{plain}_{hashlib.sha256(prefix.encode()).hexdigest()[:6]}"


def kind_of(key: str, node: str) -> Kind | None:
    """What a device of ours is, by its key; None: none of ours."""
    rest = key.removeprefix(f"{node}_")
    if rest == key:
        return None
    if rest == "main":
        return "main"
    return next((kind for kind in ("cam", "person") if rest.startswith(f"{kind}_")), None)


def tombstone(key: str, components: Mapping[str, str]) -> bytes:
    """A device by its ids and platforms alone, for Home Assistant to know again what is to be removed: it names nobody.

    Followed by the empty message.
    """
    told = {
        name: {"p": platform, "uniq_id": f"{key}_{name}"} | _least(platform) for name, platform in components.items()
    }
    return orjson.dumps({"dev": {"ids": [key], "name": key}, "o": _ORIGIN, "cmps": told})


def remnant(key: str, name: str, platform: str) -> Component:
    """The same of one component of a device that stays."""
    return {"p": platform, "uniq_id": f"{key}_{name}"} | _least(platform)


def _least(platform: str) -> Component:
    """What a platform refuses to be without; topics on which nothing comes."""
    if platform == "event":
        return {"stat_t": "x", "evt_typ": ["new"]}
    if platform == "image":
        return {"img_t": "x"}
    # A switch that loses its state topic goes on listening to the one before, removed or not (seen with 2025.4.4).
    return {"stat_t": "x"} | ({"cmd_t": "x"} if platform == "switch" else {})


class Devices:
    """Makes them all by the settings. name_of what is told is the caller's: with mqtt.publish_names false, nobody's."""

    def __init__(self, mqtt: MqttSettings, *, commanded: bool) -> None:
        self.naming = Naming.of(mqtt)
        self._options = mqtt.home_assistant
        self._names = mqtt.publish_names
        self._commanded = commanded
        self._available = [{"t": f"{mqtt.topic_prefix}/available"}]

    def service(self) -> Device:
        """Its own connectivity is always available: that is what tells of the others that they are not."""
        prefix = self.naming.prefix
        running = {"dev_cla": "connectivity", "ent_cat": "diagnostic", "stat_t": f"{prefix}/available"}
        running |= {"pl_on": "online", "pl_off": "offline"}
        return self._device("main", "", f"{prefix}/service/", {"name": prefix, "mdl": "Service"}, {"running": running})

    def camera(self, name: str) -> Device:
        states = f"{self.naming.prefix}/cameras/{name}/"
        status, present = f"{states}status", f"{states}present"
        seeing = f"{{{{ 'online' if {_HAS} and value_json.state in ['online', 'stalled'] else 'offline' }}}}"
        # Who was there says nothing while there is no picture.
        sees: Component = {"avty_mode": "all", "avty": [*self._available, {"t": status, "val_tpl": seeing}]}
        always: Component = {"avty": self._available}
        who = "p.name or p.id" if self._names else "p.id"
        components: dict[str, Component] = {
            "connected": always
            | {
                "dev_cla": "connectivity",
                "ent_cat": "diagnostic",
                "stat_t": status,
                "val_tpl": f"{{{{ 'ON' if {_HAS} and value_json.state == 'online' else 'OFF' }}}}",
                "json_attr_t": status,
            },
            "occupied": sees
            | {
                "name": "Somebody there",
                "dev_cla": "occupancy",
                "stat_t": present,
                "val_tpl": f"{{{{ 'ON' if {_HAS} and (value_json.people or value_json.unknown) else 'OFF' }}}}",
            },
            "who": sees
            | {
                "name": "Who is there",
                "ic": "mdi:account-group",
                "stat_t": present,
                "val_tpl": f"{{% set ns = namespace(names=[]) %}}{{% if {_HAS} %}}{{% for p in value_json.people %}}"
                f"{{% set ns.names = ns.names + [{who}] %}}{{% endfor %}}{{% endif %}}"
                + _cut("ns.names | join(', ')", "nobody"),
                "json_attr_t": present,
            },
            "unknown": sees
            | {
                "name": "Unknown people",
                "ic": "mdi:account-question",
                "stat_cla": "measurement",
                "stat_t": present,
                "val_tpl": f"{{{{ value_json.unknown | default(0) if {_HAS} else 0 }}}}",
            },
            "identity": sees
            | {
                "name": "Identity",
                "evt_typ": ["new", "update", "end"],
                "stat_t": f"{states}identity/+",
                "val_tpl": _EVENT,
            },
        }
        if self._options.pictures != "none":
            picture = {"name": "Last face", "img_t": f"{states}last_face", "cont_type": "image/jpeg"}
            components["last_face"] = always | picture
        if self._commanded:
            switch = {"name": "Enabled", "ic": "mdi:cctv", "ent_cat": "config"}
            topics = {"cmd_t": f"{states}enabled/set", "stat_t": f"{states}enabled/state"}
            components["enabled"] = always | switch | topics
        about = {"name": f"Camera {name}", "mdl": "Camera", "via_device": self.naming.key("main")}
        return self._device("cam", name, states, about, components)

    def person(self, person_id: str, name: str | None) -> Device:
        """name: None where nobody is to be named."""
        states = f"{self.naming.prefix}/people/{person_id}/"
        present, last_seen = f"{states}present", f"{states}last_seen"
        is_there = f"{_HAS} and value_json.present"
        at = f"{{{{ value_json.at | as_datetime if {_HAS} and value_json.at else 'None' }}}}"
        camera = f"{{{{ value_json.camera if {_HAS} and value_json.camera else 'None' }}}}"
        joined = f"(value_json.cameras | join(', ')) if {_HAS} else ''"
        components: dict[str, Component] = {
            "present": {
                "name": None,  # the device's alone
                "dev_cla": "occupancy",
                "stat_t": present,
                "val_tpl": f"{{{{ 'ON' if {is_there} else 'OFF' }}}}",
                "json_attr_t": present,
            },
            "where": {"name": "Where", "ic": "mdi:cctv", "stat_t": present, "val_tpl": _cut(joined, "not seen")},
            "last_seen": {
                "name": "Last seen",
                "dev_cla": "timestamp",
                "stat_t": last_seen,
                "val_tpl": at,
                "json_attr_t": last_seen,
            },
            "last_camera": {"name": "Last camera", "ic": "mdi:cctv", "stat_t": last_seen, "val_tpl": camera},
        }
        if self._options.trackers:
            home = f"{{{{ 'home' if {is_there} else 'not_home' }}}}"
            tracker = {"name": "Tracker", "src_type": "router", "stat_t": present, "val_tpl": home}
            components["tracker"] = tracker
        always: Component = {"avty": self._available}
        about = {"name": name or person_id, "mdl": "Person", "via_device": self.naming.key("main")}
        told = {key: always | component for key, component in components.items()}
        return self._device("person", person_id, states, about, told)

    def _device(
        self, kind: Kind, name: str, states: str, about: Mapping[str, Any], components: Mapping[str, Component]
    ) -> Device:
        """With what all have. An entity's id is made by Home Assistant once, of default_entity_id where it knows that
        key, else of the device's name."""
        key, told = self.naming.key(kind, name), {}
        for own, component in components.items():
            platform = PLATFORMS[kind][own]
            entity_id = f"{platform}.{self.naming.node}_{name or kind}_{own}".lower().replace("-", "_")
            fixed = {"p": platform, "uniq_id": f"{key}_{own}", "default_entity_id": entity_id, "qos": 1}
            told[own] = fixed | component
        return Device(key, self.naming.topic(key), states, {"ids": [key], "mf": "whosthere", **about}, told)


def _cut(names: str, nobody: str) -> str:
    """A template for so many names as a state holds."""
    cut = f"told | truncate({_LONGEST_STATE}, true, '...', 0)"
    return f"{{% set told = {names} %}}{{{{ ({cut}) if told else '{nobody}' }}}}"


_EVENT = (
    f"{{% if {_HAS} %}}{{{{ {{'event_type': value_json.type, 'person_id': (value_json.person or {{}}).get('id'), "
    "'person': (value_json.person or {}).get('name'), "
    "'previous_person_id': (value_json.previous_person or {}).get('id'), 'decision': value_json.decision, "
    "'event_id': value_json.event_id, 'seq': value_json.seq, 'similarity': value_json.similarity, "
    "'snapshot': value_json.snapshot, 'end_reason': value_json.end_reason} | tojson }}{% endif %}"
)
