"""`cameras add|set|enable|disable|remove|reset`: kept in the data folder, over the YAML, which they leave alone.

A running service takes them within a second.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml

from streamer.camera_changes import ADDED, Changes
from streamer.cameras import edits
from streamer.cameras.edits import Edit
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line
from streamer.errors import ConfigInvalid, ConfigUnknownKey
from streamer.ingest.address import redacted_url
from streamer.process import make_data_folder
from streamer.settings import Settings
from streamer.settings_layers import Tree
from streamer.settings_reading import Layers, read_layers
from streamer.telemetry.logs import setup_logging

Name = Annotated[str, typer.Argument(help="a-z, 0-9, _ and -.", metavar="NAME")]
Known = Annotated[str, typer.Argument(help="A camera of `cameras list`.", metavar="NAME")]
Values = Annotated[
    list[str] | None, typer.Argument(help="What cameras.NAME.KEY may be, e.g. fps=5.", metavar="KEY=VALUE...")
]
# As typed: what looks like a number or a time (YAML reads 4:3 as one) is none.
_TEXT = ("url", "user", "password", "aspect")


def register(cameras: typer.Typer) -> None:
    cameras.command(epilog="Example: whosthere cameras add door 'rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9/h264'")(
        add
    )
    cameras.command("set", epilog="Example: whosthere cameras set door fps=5 rotate=180")(set_values)
    cameras.command(epilog="Example: whosthere cameras enable door")(enable)
    cameras.command(epilog="Example: whosthere cameras disable door")(disable)
    cameras.command(epilog="Example: whosthere cameras remove door")(remove)
    cameras.command(epilog="Example: whosthere cameras reset door")(reset)


def configured(config: Path | None, overrides: Sequence[str] | None) -> tuple[Settings, Layers, Changes]:
    """The settings, what they are made of, and what was changed by command. Raises ConfigError."""
    layers = read_layers(config, overrides or ())
    changes = layers.changes()
    settings = layers.settings(changes)
    setup_logging(settings.service.log_level, settings.service.log_format)
    return settings, layers, changes


def add(
    name: Name,
    url: Annotated[str, typer.Argument(help="As `url` in the YAML; ${VAR} in quotes stays as it is.", metavar="URL")],
    values: Values = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second that are looked at.")] = None,
    transport: Annotated[Literal["tcp", "udp"] | None, typer.Option(help="For RTSP.")] = None,
    json: AsJson = False,
) -> None:
    """Add a camera. It is not opened first: `cameras probe URL` does that."""
    options = {key: value for key, value in (("fps", fps), ("transport", transport)) if value is not None}

    given = {"url": url, **options, **_parsed(values or ())}
    _apply(name, edits.added(name, given, Path.cwd()), config, overrides, json)


def set_values(
    name: Known, values: Values = None, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False
) -> None:
    """Change a camera: those of its keys that are given."""
    _alter(name, _parsed(values or ()), "changed", config, overrides, json)


def enable(name: Known, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Open a camera again."""
    _alter(name, {"enabled": True}, "enabled", config, overrides, json)


def disable(name: Known, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Close a camera until it is enabled, over restarts, too."""
    _alter(name, {"enabled": False}, "disabled", config, overrides, json)


def remove(name: Known, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Take a camera away. One of the YAML is hidden, as long as it stands there, until it is reset."""
    _apply(name, edits.removed(name), config, overrides, json)


def reset(name: Known, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Forget what was changed by command: a camera is as the YAML has it again, one that was removed, too."""
    _apply(name, edits.as_configured(name), config, overrides, json)


def _alter(
    name: str, values: Tree, done: str, config: Path | None, overrides: Sequence[str] | None, json: bool
) -> None:
    if not values:
        raise typer.BadParameter("want at least one KEY=VALUE")
    _apply(name, edits.altered(name, values, done, Path.cwd()), config, overrides, json)


def _apply(name: str, edit: Edit, config: Path | None, overrides: Sequence[str] | None, json: bool) -> None:
    settings, layers, _ = configured(config, overrides)
    make_data_folder(settings.paths.data)
    edited = edits.apply(edit, layers, settings.camera_changes_path)
    done, camera = edited.done, edited.settings.cameras.get(name)
    if json:
        told: dict[str, Any] = {"camera": name, "result": done.partition(";")[0]}
        if camera is not None:
            came_from = edits.whence(name, layers, edited.changes)
            told |= {"url": redacted_url(camera.url), "enabled": camera.enabled, "from": came_from}
        print_json(told)
    else:
        print_line(f"camera {name}: {done}")


def _parsed(values: Sequence[str]) -> Tree:
    """KEY=VALUE -> a camera's part of the tree. Raises ConfigInvalid, which shows no value."""
    tree: Tree = {}
    for given in values:
        key, equals, text = given.partition("=")
        if not equals:
            raise typer.BadParameter(f"{key}: want KEY=VALUE")
        if key == ADDED:
            raise ConfigUnknownKey(f"{key}: unknown key (as given)")
        if key in _TEXT:
            tree[key] = None if text == "null" and key == "aspect" else text
            continue
        try:
            tree[key] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):
            raise ConfigInvalid(f"{key}: the value is no YAML; quote it") from None
    return tree
