"""What was changed about cameras by command (`cameras add|set|disable|remove`, MQTT): a file in the data folder.

It lies over the user's YAML, which stays as it is.

Trees as YAML gives them go in and out, `${VAR}` unexpanded. Whoever changes it holds its lock; it is written whole or
not at all, for this user alone: URLs may hold logins. Blocks for small reads and writes; any thread.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from recognition.whole_file import HeldByAnother, held_alone, replacing
from streamer.errors import ConfigInvalid, ConfigUnreadable, DataFolderUnwritable
from streamer.settings_layers import Tree, merge

FILE = "cameras.json"
LOCKED_WITHIN_S = 10.0
_FORMAT = 1

ADDED = "added"  # the key that marks a camera which no YAML need have

# By camera: what it has that the YAML says otherwise or not at all; None: it is removed.
Changes = Mapping[str, Tree | None]


def read_changes(path: Path) -> dict[str, Tree | None]:
    """Nothing was changed where there is no such file.

    Raises ConfigUnreadable, ConfigInvalid: what can't be read may have said that a camera is not to be opened.
    """
    way_out = "put a copy back, or move it away to go by the configuration file alone"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if not os.access(path.parent, os.X_OK):
            return {}  # the folder is somebody else's, who runs the service: this is another command of another user
        raise ConfigUnreadable(
            f"{path} can't be read ({error.strerror}); give this user the files in paths.data"
        ) from None
    except ValueError:
        raise ConfigUnreadable(f"{path} is damaged: it holds what was changed about cameras; {way_out}") from None
    if isinstance(document, dict) and isinstance(found := document.get("format"), int) and found > _FORMAT:
        raise ConfigUnreadable(f"{path} was written by a newer whosthere; use that one, or move the file away")
    cameras = document.get("cameras") if isinstance(document, dict) and document.get("format") == _FORMAT else None
    if not isinstance(cameras, dict) or not all(isinstance(one, dict | None) for one in cameras.values()):
        raise ConfigInvalid(f"{path} is none of ours: it has not the form of changes to cameras; {way_out}")
    return cameras


@contextmanager
def editing(path: Path) -> Iterator[dict[str, Tree | None]]:
    """The changes, to be changed: written when the block has ended, unless it raises or nothing is new.

    One at a time, of all processes. Raises as read_changes(), and DataFolderUnwritable.
    """
    try:
        with held_alone(path, within_s=LOCKED_WITHIN_S):
            before = read_changes(path)
            changes = dict(before)
            yield changes
            if changes != before:
                document = {"format": _FORMAT, "cameras": changes}
                with replacing(path) as file:
                    file.write(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
    except HeldByAnother:
        raise DataFolderUnwritable(
            f"{path} has been held by another command for {LOCKED_WITHIN_S:.0f} s; end that"
        ) from None
    except OSError as error:
        raise DataFolderUnwritable(
            f"{path} can't be written ({error.strerror}); make paths.data writable, or make room there"
        ) from None


def with_changes(configured: Tree, changes: Changes, above: Tree) -> tuple[Tree, list[str]]:
    """Cameras as configured, with the changes laid over them and what variables and --set say (`above`) over that.

    Also returns the names of those that were changed and stand nowhere any more: they are left out.
    """
    told = {
        name: {key: value for key, value in change.items() if key != ADDED}
        for name, change in changes.items()
        if change is not None
    }
    cameras = merge(merge(configured, told), above)
    stale = [name for name in told if name not in configured and name not in above and not is_added(changes, name)]
    left_out = {*stale, *(name for name, change in changes.items() if change is None)}
    return {name: camera for name, camera in cameras.items() if name not in left_out}, stale


def is_added(changes: Changes, name: str) -> bool:
    """Whether the camera is one by command alone, in need of no other source."""
    return ADDED in (changes.get(name) or {})


def alter(changes: dict[str, Tree | None], name: str, values: Tree, beneath: Tree) -> None:
    """Have these values from now on. `beneath`: the camera's without any change; what is so anyway is not kept."""
    change = {**(changes.get(name) or {}), **values}
    if ADDED not in change:
        change = {key: value for key, value in change.items() if key not in beneath or beneath[key] != value}
    if change:
        changes[name] = change
    else:
        changes.pop(name, None)
