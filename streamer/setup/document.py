"""Answers -> the configuration as it is written: sections as YAML, without a secret, and the variables for these.

Pure.
"""

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from itertools import count
from typing import NamedTuple
from urllib.parse import quote, unquote

import yaml

from streamer.ingest.address import redacted_url
from streamer.settings_layers import Tree

_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_REFERENCE_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^?]*)@(.*)", re.DOTALL)
_HEAD = """# By `whosthere setup`: run it again, or edit this. Every setting and its default: docs/configuration.md
# Passwords belong into {secrets}, beside it.
"""
BEGUN = {
    "paths": {"models": ["model/artifacts"], "data": "var"},
    "recognition": {"detector": "nano_det", "embedder": "nano_embed"},
    "mqtt": {"host": "127.0.0.1", "port": 1883},
    "cameras": {},
}


class Hidden(NamedTuple):
    """A tree with `${VAR}` for each secret, and what these are."""

    tree: Tree
    secrets: dict[str, str]


def begun() -> Tree:
    """Where there is no configuration yet."""
    return deepcopy(BEGUN)


class _Secrets(dict[str, str]):
    """By variable; `taken`: names that mean something else."""

    def __init__(self, taken: Iterable[str]) -> None:
        super().__init__()
        self._taken = frozenset(taken)

    def reference(self, variable: str, value: str) -> str:
        """`${VAR}` for a value; a value that is such stays."""
        if _REFERENCE.fullmatch(value):
            return value
        names = (variable if number == 1 else f"{variable}_{number}" for number in count(1))
        name = next(one for one in names if one not in self._taken and self.get(one, value) == value)
        self[name] = value
        return f"${{{name}}}"


def hidden(tree: Tree, taken: Iterable[str] = ()) -> Hidden:
    """Passwords of cameras and of the broker go into variables; those that are `${VAR}` already stay.

    `taken`: variables that have another value, whatever their file says.
    """
    tree, secrets = deepcopy(tree), _Secrets({*taken, *_REFERENCE_NAME.findall(yaml.safe_dump(tree))})
    cameras = tree.get("cameras")
    for name, camera in cameras.items() if isinstance(cameras, dict) else ():
        if not isinstance(camera, dict):
            continue
        if isinstance(url := camera.get("url"), str):
            camera["url"] = _hidden_url(str(name), url, secrets)
        if isinstance(password := camera.get("password"), str) and password:
            camera["password"] = secrets.reference(f"{variable_of(str(name))}_PASSWORD", password)
    mqtt = tree.get("mqtt")
    if isinstance(mqtt, dict) and (password := mqtt.get("password")):
        mqtt["password"] = secrets.reference("MQTT_PASSWORD", str(password))
    return Hidden(tree, secrets)


def variable_of(camera: str) -> str:
    """How the names of a camera's variables begin."""
    return "CAM_" + re.sub(r"[^A-Z0-9]", "_", camera.upper())


def _hidden_url(camera: str, url: str, secrets: _Secrets) -> str:
    """The password alone, or the whole URL where the rest may hold one, too (a token in its query)."""
    login, bare = None, url
    if match := _URL.fullmatch(url):
        user, colon, password = match[2].partition(":")
        login, bare = (user, password if colon else None), match[1] + match[3]
    if redacted_url(bare) != bare and not _REFERENCE.search(bare):
        return secrets.reference(f"{variable_of(camera)}_URL", url)
    if login is None:
        return url
    user, password = login
    written = user if _REFERENCE.fullmatch(user) else quote(unquote(user), safe="")
    if password:
        plain = password if _REFERENCE.fullmatch(password) else unquote(password)
        written += f":{secrets.reference(f'{variable_of(camera)}_PASSWORD', plain)}"
    scheme, _, rest = bare.partition("://")
    return f"{scheme}://{written}@{rest}"


def with_login(url: str, user: str, password: str) -> str:
    """A URL with a login that was typed, whatever stood there."""
    match = _URL.fullmatch(url)
    scheme, rest = (match[1], match[3]) if match else re.match(r"([^:]*://)?(.*)", url, re.DOTALL).groups("")  # type: ignore[union-attr]
    return f"{scheme}{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def yaml_text(tree: Mapping[str, object], secrets_file: str) -> str:
    """The configuration's content."""
    body = yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    return _HEAD.format(secrets=secrets_file) + body
