"""The layers under the settings: a YAML file, variables and --set in; a plain tree and its origins out.

read_yaml() blocks for a file read, the rest is pure. No error here quotes a value: it may be a secret.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from streamer.errors import ConfigInvalid, ConfigMissing, ConfigUnreadable

ENV_PREFIX = "WHOSTHERE_"

Tree = dict[str, Any]
Keys = tuple[str, ...]
_SECRET_FILES: dict[Keys, Keys] = {("mqtt", f"{key}_file"): ("mqtt", key) for key in ("username", "password")}

# PyYAML quotes aliases and tags in its complaints, and `password: !secret` or `*secret` looks like one.
_QUOTED = re.compile(r"'([^']*)'")
# These are its own: `expected ',' or ']', but got '<stream end>'`, `found character '\t'`.
_OWN = re.compile(r"\\?.|<.*>")


def read_yaml(file: Path) -> Tree:
    """The file's mapping, sections without content left out.

    Raises ConfigMissing, ConfigUnreadable and ConfigInvalid.
    """
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigMissing(f"config {file} can't be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise ConfigUnreadable(f"config {file} is not UTF-8 text; save it as such") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = _QUOTED.sub(_hide, getattr(error, "problem", None) or "no YAML")
        raise ConfigUnreadable(
            f"config {file}{where}: {problem}; mend the YAML (quote values with special characters)"
        ) from None
    except ValueError:
        raise ConfigUnreadable(f"config {file}: a value looks like a date and is none; quote it") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigInvalid(f"config {file}: want sections such as `cameras:` at the top, got {type(tree).__name__}")
    return {str(key): value for key, value in tree.items() if value is not None}


def _hide(quoted: re.Match[str]) -> str:
    return quoted[0] if _OWN.fullmatch(quoted[1]) else "(not shown)"


def upper_layer(environ: Mapping[str, str], overrides: Sequence[str]) -> tuple[Tree, dict[Keys, str]]:
    """Variables, then `section.key=value` overrides, as one tree, and for each key set where it was set.

    Raises ConfigInvalid.
    """
    tree: Tree = {}
    origins: dict[Keys, str] = {}
    # Sorted: WHOSTHERE_CAMERAS__DOOR, a whole camera, comes before WHOSTHERE_CAMERAS__DOOR__FPS.
    for name, text in sorted(environ.items()):
        if name.startswith(ENV_PREFIX) and "__" in name:
            keys = tuple(part.lower() for part in name.removeprefix(ENV_PREFIX).split("__"))
            if keys in _SECRET_FILES:  # as containers get their secrets: read where logins are expanded
                keys, text = _SECRET_FILES[keys], f"${{{name.removesuffix('_FILE')}}}"
            _put(tree, keys, _from_variable(name, keys, text))
            origins[keys] = f"variable {name}"
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigInvalid(f"--set {key}: want section.key=value")
        keys = tuple(key.strip().split("."))
        try:
            _put(tree, keys, yaml.safe_load(text))
        except (yaml.YAMLError, ValueError):
            raise ConfigInvalid(f"--set {key}: the value is no YAML; quote it") from None
        origins[keys] = f"--set {key.strip()}"
    return tree, origins


def merge(below: Tree, above: Tree) -> Tree:
    """`below` with what `above` sets put over it, section by section; neither is changed."""
    merged = dict(below)
    for key, value in above.items():
        kept = merged.get(key)
        merged[key] = merge(kept, value) if isinstance(kept, dict) and isinstance(value, dict) else value
    return merged


def resolve_paths(tree: Tree, folder: Path) -> None:
    """Relative file names of one layer -> absolute ones, against that layer's folder, in place."""
    paths = tree.get("paths")
    if isinstance(paths, dict):
        if isinstance(models := paths.get("models"), list):
            paths["models"] = [_absolute(item, folder) for item in models]
        paths.update({key: _absolute(paths[key], folder) for key in ("data", "keys", "classifier") if key in paths})
    gallery = tree.get("gallery")
    if isinstance(gallery, dict):
        if isinstance(key := gallery.get("master_key"), dict) and "file" in key:
            gallery["master_key"] = {**key, "file": _absolute(key["file"], folder)}
        if "rerank_library" in gallery:
            gallery["rerank_library"] = _absolute(gallery["rerank_library"], folder)
    for section in (tree.get("http"), tree.get("mqtt")):
        if isinstance(section, dict) and isinstance(tls := section.get("tls"), dict):
            tls.update({key: _absolute(tls[key], folder) for key in ("ca", "cert", "key") if key in tls})
    cameras = tree.get("cameras")
    for camera in cameras.values() if isinstance(cameras, dict) else ():
        url = camera.get("url") if isinstance(camera, dict) else None
        # "${CLIP}" is known only when the camera is opened, and may be absolute or a URL; usb:0 is a device.
        if isinstance(url, str) and "://" not in url and not url.startswith(("${", "usb:", "v4l2:", "publish:")):
            camera["url"] = _absolute(url, folder)


def origin(loc: Sequence[int | str], origins: Mapping[Keys, str], file: Path) -> str:
    """Where the value at `loc` was set: the override or variable that is nearest to it, else the file."""
    for length in range(len(loc), 0, -1):
        if found := origins.get(tuple(str(part) for part in loc[:length])):
            return found
    return f"config {file}"


def _absolute(value: object, folder: Path) -> object:
    if not isinstance(value, str) or not value:
        return value
    return str(folder.absolute() / os.path.expanduser(value))


def _from_variable(name: str, keys: Keys, text: str) -> object:
    """Lists and mappings as JSON, plain text otherwise (pydantic reads numbers from it); no login is JSON."""
    if keys[-1] in ("username", "password"):
        return text
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            raise ConfigInvalid(f"{name}: begins like JSON and is none; write lists as JSON") from None
    return None if text == "null" else text


def _put(tree: Tree, keys: Keys, value: object) -> None:
    for key in keys[:-1]:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigInvalid(f"{'.'.join(keys)}: {key} is given as a value and as a section; keep one")
        tree = below
    tree[keys[-1]] = value
