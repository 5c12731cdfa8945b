"""Cameras added, changed, removed: kept in the data folder, over the YAML, which is left alone.

An edit is made by one of the functions here and given to apply(), which blocks for the file and its lock. A running
service takes what was written within a second.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamer.camera_changes import ADDED, Changes, alter, editing, is_added
from streamer.errors import CameraExists, CameraUnknown
from streamer.ingest.address import address, redacted_url
from streamer.settings import CameraSettings, Settings
from streamer.settings_layers import Tree, resolve_paths
from streamer.settings_reading import Layers, camera_defaults

Whence = Literal["yaml", "set", "added", "changed"]
# Changes in the changes given; what was done, in words. Raises CameraError, ConfigError.
Edit = Callable[[dict[str, Tree | None], Layers], str]


@dataclass(frozen=True, slots=True)
class Edited:
    """`done`: in words, what holds it up after a `;`. `settings`: as they are by now."""

    done: str
    settings: Settings
    changes: Changes


def apply(edit: Edit, layers: Layers, path: Path) -> Edited:
    """One change, held to what the YAML is held to before it is written to `path`.

    Raises what the edit raises, ConfigError, DataFolderUnwritable.
    """
    with editing(path) as changes:
        done = edit(changes, layers)
        settings = layers.settings(changes, "as given")
    return Edited(done, settings, changes)


def whence(name: str, layers: Layers, changes: Changes) -> Whence:
    """Where a camera comes from; `set`: a variable or --set."""
    if name in layers.configured or name in layers.above:
        return "changed" if changes.get(name) else "yaml" if name in layers.configured else "set"
    return "added"


def is_there(name: str, layers: Layers, changes: Changes) -> bool:
    """Whether there is such a camera, disabled or not."""
    return changes.get(name, "") is not None and (
        name in layers.configured or name in layers.above or is_added(changes, name)
    )


def added(name: str, values: Tree, folder: Path | None = None) -> Edit:
    """A camera that is not there yet; relative files are of `folder`, None: of the configuration's."""

    def edit(changes: dict[str, Tree | None], layers: Layers) -> str:
        if changes.get(name, "") is None:
            raise CameraExists(
                f"camera {name} was removed by command and still stands in {layers.file}; `whosthere cameras reset "
                f"{name}` brings it back, or use another name"
            )
        if is_there(name, layers, changes):
            raise CameraExists(f"camera {name} is there already; change it by `whosthere cameras set {name} url=...`")
        fresh = changes[name] = {ADDED: True, **values}
        _opens(name, fresh, folder or own_folder(layers))
        return "added"

    return edit


def altered(name: str, values: Tree, done: str, folder: Path | None = None) -> Edit:
    """These of its keys have these values from now on."""

    def edit(changes: dict[str, Tree | None], layers: Layers) -> str:
        _refuse_unknown(name, changes, layers)
        fresh = dict(values)
        resolve_paths({"cameras": {name: fresh}}, folder or own_folder(layers))
        alter(changes, name, fresh, layers.beneath(name))
        hidden = [key for key in fresh if isinstance(above := layers.above.get(name), dict) and key in above]
        return done + (f"; but {', '.join(hidden)} is set by a variable or --set, which goes first" if hidden else "")

    return edit


def replaced(name: str, values: Tree) -> Edit:
    """Exactly so from now on, whether it was there or not: what is not among the values has its default."""

    def edit(changes: dict[str, Tree | None], layers: Layers) -> str:
        if not is_there(name, layers, changes):
            return added(name, values)(changes, layers)
        return altered(name, camera_defaults() | values, "changed")(changes, layers)

    return edit


def removed(name: str) -> Edit:
    """Taken away; one of the YAML is hidden, as long as it stands there, until it is reset."""

    def edit(changes: dict[str, Tree | None], layers: Layers) -> str:
        _refuse_unknown(name, changes, layers)
        if name not in layers.configured and name not in layers.above:
            del changes[name]
            return "removed"
        changes[name] = None
        return f"removed; it still stands in {layers.file} and is hidden (`whosthere cameras reset {name}` undoes that)"

    return edit


def as_configured(name: str) -> Edit:
    """As the YAML has it again, one that was removed, too."""

    def edit(changes: dict[str, Tree | None], layers: Layers) -> str:
        if name not in changes:
            _refuse_unknown(name, changes, layers)
            return "as the configuration has it; nothing was changed"
        if name not in layers.configured and name not in layers.above:
            raise CameraUnknown(
                f"camera {name} stands in no configuration file; `whosthere cameras remove {name}` takes it away"
            )
        del changes[name]
        return "as the configuration has it again"

    return edit


def as_shown(values: Tree, camera: CameraSettings) -> Tree:
    """Values of somebody who was shown the camera, without its logins: the URL as shown is the one that it has."""
    return {**values, "url": camera.url} if values.get("url") == redacted_url(camera.url) else values


def _opens(name: str, camera: Tree, folder: Path) -> None:
    """Raises CameraError for a scheme that no source knows; what variables hold is known when it is opened."""
    resolve_paths({"cameras": {name: camera}}, folder)
    url = camera.get("url")
    if isinstance(url, str) and url and "$" not in url and not url.startswith("publish:"):
        address(name, CameraSettings(url=url), url)


def own_folder(layers: Layers) -> Path:
    """Where relative files of the configuration belong."""
    return Path.cwd() if layers.is_shipped else layers.file.absolute().parent


def _refuse_unknown(name: str, changes: Changes, layers: Layers) -> None:
    there = {**layers.configured, **layers.above, **changes}
    known = [known for known in there if changes.get(known, "") is not None]
    if name not in known:
        raise CameraUnknown(f"{name} is no configured camera (there are: {', '.join(known) or 'none'})")
