"""docker-compose.yml as docker compose reads it: variables of a .env filled in, by the rules of the compose
specification. For tests."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.conftest import PROJECT

COMPOSE = PROJECT / "docker-compose.yml"
EXAMPLE = PROJECT / ".env.example"
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:-|:\?)([^}]*))?\})")
PASSWORDS = (
    "MQTT_PASSWORD",
    "MQTT_HOME_PASSWORD",
    "GRAFANA_PASSWORD",
    "MEDIAMTX_PUBLISH_PASSWORD",
    "MEDIAMTX_READ_PASSWORD",
)
FILLED_IN = dict.fromkeys(PASSWORDS, "correct horse")


class Unset(Exception):
    """What docker compose says of a variable that has to be set."""


def env_file(text: str) -> dict[str, str]:
    """NAME=VALUE lines; the value is all that stands behind the first =."""
    lines = (line.strip() for line in text.splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def example(**changes: str) -> dict[str, str]:
    """.env as somebody has who filled in the example."""
    return env_file(EXAMPLE.read_text()) | FILLED_IN | changes


def services(environ: Mapping[str, str]) -> dict[str, Any]:
    """The services, with their variables. Raises Unset."""
    return _filled(yaml.safe_load(COMPOSE.read_text()), environ)["services"]


def environment(service: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """What a container gets: names without a value are passed on where they are set."""
    told = service["environment"].items()
    return {
        name: environ[name] if value is None else value for name, value in told if value is not None or name in environ
    }


def _filled(tree: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {key: _filled(value, environ) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, environ) for value in tree]
    return _VARIABLE.sub(lambda found: _value(found, environ), tree) if isinstance(tree, str) else tree


def _value(found: re.Match[str], environ: Mapping[str, str]) -> str:
    dollar, name, operator, rest = found.groups()
    if dollar:
        return "$"
    value = environ.get(name, "")
    if not value and operator == ":?":
        raise Unset(f"required variable {name} is missing a value: {rest}")
    return value or (rest if operator == ":-" else "")
