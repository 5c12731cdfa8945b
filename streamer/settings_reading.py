"""From a YAML file, variables and --set to the settings of a run; read_layers() and load() block for a file read.

Nobody but variables.py reads os.environ.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from stat import S_ISREG
from typing import Any

from pydantic import ValidationError

from streamer.camera_changes import FILE as CHANGES_FILE
from streamer.camera_changes import Changes, read_changes, with_changes
from streamer.errors import ConfigInvalid, ConfigMissing
from streamer.settings import CameraSettings, PathsSettings, Settings
from streamer.settings_layers import Keys, Tree, merge, origin, read_yaml, resolve_paths, upper_layer
from streamer.settings_refusal import refusal
from streamer.variables import Unset, env_path, environment, expanded, read_env, set_beside

log = logging.getLogger(__name__)


def config_folder() -> Path:
    """Where the shipped configuration lies: configs/ of a checkout, or inside the installed package."""
    checkout = Path(__file__).resolve().parent.parent / "configs"
    if (checkout / "default.yaml").is_file():
        return checkout
    return Path(str(resources.files("streamer"))) / "bundled" / "configs"


def load(path: Path | None = None, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this run, with what was changed about cameras by command. As read_layers() and Layers.settings().

    Raises ConfigError.
    """
    layers = read_layers(path, overrides, environ)
    return layers.settings(layers.changes())


def read_layers(
    path: Path | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    *,
    uses_broker: bool = True,
) -> "Layers":
    """What a run is configured by. `path` None: ./whosthere.yaml where there is one, else the shipped default.

    `overrides` are `section.key=value`, value as YAML. Relative paths resolve against the config file (those
    of the shipped default, a variable or an override: against the current folder). uses_broker: False for what has no
    use for the broker's login, whose variables need not be set then. What the environment has not may stand in the
    file beside a file of the user's: whosthere.env. Raises ConfigError.
    """
    here = _current_folder()
    path = path or _own_config()
    if environ is None:
        set_beside(read_env(env_path(path)) if path else {})
        environ = environment()
    file = path or config_folder() / "default.yaml"
    tree = read_yaml(file)
    is_empty = not tree
    if isinstance(paths := tree.setdefault("paths", {}), dict):
        # Defaults too belong to the file's folder: serve and enrol with one --config share one gallery.
        default = PathsSettings()
        paths.setdefault("models", [str(folder) for folder in default.models])
        paths.setdefault("data", str(default.data))
        paths.setdefault("classifier", str(default.classifier))
    resolve_paths(tree, file.parent if path else here)
    above, origins = upper_layer(environ, overrides)
    resolve_paths(above, here)
    merged = merge(tree, above)
    if uses_broker:
        _expand_mqtt(merged, environ)
    return Layers(file, merged, _cameras_of(tree), _cameras_of(above), origins, path is None, is_empty)


@dataclass(frozen=True, slots=True)
class Layers:
    """A YAML file, variables and --set, read and not yet held to what is known.

    `configured`: the cameras of the file, `above`: what variables and --set say of cameras.
    """

    file: Path
    _merged: Tree = field(repr=False)
    configured: Tree = field(repr=False)
    above: Tree = field(repr=False)
    _origins: dict[Keys, str] = field(repr=False)
    is_shipped: bool = False  # no file of the user's
    is_empty: bool = False  # it says nothing at all

    def again(self, overrides: Sequence[str]) -> "Layers":
        """The same file as it is now, never another in its place. Raises ConfigError, also where it was emptied."""
        if self.is_shipped:
            return read_layers(None, overrides)
        layers = read_layers(self.file, overrides)
        if layers.is_empty and not self.is_empty:
            raise ConfigInvalid(f"config {self.file} is empty now; write it again, or stop the service")
        return layers

    def changes(self) -> Changes:
        """What was changed by command. Raises ConfigError."""
        return {} if self.changes_path is None else read_changes(self.changes_path)

    @property
    def changes_path(self) -> Path | None:
        """Where that is kept; None where paths.data is none, which settings() refuses."""
        paths = self._merged.get("paths")
        data = paths.get("data") if isinstance(paths, dict) else None
        return Path(data) / CHANGES_FILE if isinstance(data, str) else None

    def beneath(self, camera: str) -> Tree:
        """What it is by its configuration and by default, without what was changed by command."""
        return camera_defaults() | (self.configured.get(camera) or {})

    def settings(self, changes: Changes, changed_by: str | None = None) -> Settings:
        """One frozen tree. `changed_by`: what an error calls the source of the changes. Raises ConfigError."""
        merged, origins = dict(self._merged), dict(self._origins)
        if changes and isinstance(merged.get("cameras") or {}, dict):
            merged["cameras"], stale = with_changes(self.configured, changes, self.above)
            for name in stale:
                log.warning("camera %s: changed by command, and the configuration has it no more: left out", name)
            source = changed_by or str(self.changes_path)
            for name, change in changes.items():
                if name not in self.configured:
                    origins.setdefault(("cameras", name), source)
                for key in change or ():
                    origins.setdefault(("cameras", name, key), source)
        try:
            return Settings.model_validate(merged)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
        raise refusal(first, origin(first["loc"], origins, self.file), Settings, CameraSettings)


def camera_defaults() -> Tree:
    """What a camera is by default, as YAML would have it."""
    values = {key: field.get_default() for key, field in CameraSettings.model_fields.items() if not field.is_required()}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _cameras_of(tree: Tree) -> Tree:
    cameras = tree.get("cameras")
    return cameras if isinstance(cameras, dict) else {}


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigMissing(f"the current folder can't be read ({error.strerror}); start in another one") from None


def _own_config() -> Path | None:
    """The current folder's own, if it has one: told apart from one that nobody may look for."""
    file = Path("whosthere.yaml")
    try:
        return file if S_ISREG(file.stat().st_mode) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigMissing(
            f"can't look for {file} in the current folder ({error.strerror}); start in another one, or pass --config"
        ) from None


def _expand_mqtt(tree: dict[str, Any], environ: Mapping[str, str]) -> None:
    """The broker's login may be `${VAR}` too; an unset variable there is a config error."""
    section, unset = tree.get("mqtt"), list[str]()
    for key in ("username", "password"):
        if isinstance(section, dict) and isinstance(template := section.get(key), str):
            try:
                section[key] = expanded(template, environ)
            except Unset as one:
                unset.append(f"mqtt.{key}: {one}")
    if unset:
        raise ConfigInvalid("; ".join(unset))
