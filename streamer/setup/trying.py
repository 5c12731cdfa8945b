"""What was answered, tried for real: a camera, the broker, the whole configuration. Coroutines run on a loop."""

from collections import ChainMap
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

from pydantic import SecretStr, ValidationError

from streamer.ingest.probe import ProbeReport
from streamer.ingest.probe import probe as probe_source
from streamer.mqtt.broker_check import try_broker
from streamer.settings import CameraSettings, MqttSettings, Settings
from streamer.settings_layers import Tree, resolve_paths
from streamer.settings_refusal import refusal
from streamer.setup.document import hidden
from streamer.variables import environment, expand_url, expanded


async def try_camera(name: str, camera: Tree) -> ProbeReport:
    """What it sends. Raises the CameraError."""
    made = hidden({"cameras": {name: camera}})
    settings = CameraSettings.model_validate(made.tree["cameras"][name])
    url = expand_url(settings.url, ChainMap(made.secrets, environment()))  # type: ignore[arg-type]
    return (await probe_source(url, settings, name)).report


async def try_mqtt(mqtt: Tree, folder: Path, secrets: Mapping[str, str]) -> str:
    """The version of MQTT that the broker speaks. Raises the BrokerError, Unset for a variable, and ConfigInvalid."""
    tree = {"mqtt": deepcopy(mqtt)}
    resolve_paths(tree, folder)
    known = ChainMap(dict(secrets), environment())  # type: ignore[arg-type]
    section = tree["mqtt"]
    for key in ("username", "password"):
        if isinstance(value := section.get(key), str):
            section[key] = expanded(value, known)
    if "password" in section:
        section["password"] = SecretStr(str(section["password"]))
    return await try_broker(_mqtt(section))


def _mqtt(section: Tree) -> MqttSettings:
    try:
        return MqttSettings.model_validate(section)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    first["loc"] = ("mqtt", *first["loc"])
    raise refusal(first, "what was answered", Settings, CameraSettings)


def checked(tree: Tree, file: Path) -> Settings:
    """The settings that the tree would make, its references unexpanded. Raises the ConfigError."""
    tree = deepcopy(tree)
    resolve_paths(tree, file.parent)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    raise refusal(first, f"config {file}", Settings, CameraSettings)
