"""`${VAR}` in a setting -> the variable's value, or the content of the file that VAR_FILE names.

Text goes in, the secret in place comes out: never log it. Blocks for a small file's read. What the environment has not
may stand in a file beside the configuration, whosthere.env for whosthere.yaml, which whoever reads that one tells of;
systemd's EnvironmentFile= and a shell (`set -a; . whosthere.env`) read the same. No error here quotes a value.
"""

import os
import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from streamer.errors import CameraVariableUnset, ConfigUnreadable

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SINGLE = re.compile(r"'([^']*)'")
_ESCAPED = re.compile(r"\\(.)")
_TO_ESCAPE = re.compile(r'(["\\$`])')
_HEAD = "# Passwords for the configuration beside this file; whosthere reads it there. For nobody else's eyes.\n"


_beside: dict[str, str] = {}


def set_beside(values: Mapping[str, str]) -> None:
    """What the file beside the configuration says, in place of what it said before."""
    _beside.clear()
    _beside.update(values)


def environment() -> Mapping[str, str]:
    """This process's variables, and below them those of that file."""
    return ChainMap(os.environ, _beside)  # neither is written by whoever gets it


def set_outside() -> frozenset[str]:
    """The names that the environment itself has: what that file says of these does not count."""
    return frozenset(os.environ)


class Unset(Exception):
    """A variable has no value; the message says which and what to do."""


def expand_url(template: str, environ: Mapping[str, str] | None = None) -> str:
    """A camera's URL as it is opened.

    Percent-encoded, except where the template is no URL itself: a file name, or a variable that holds a whole
    URL. Raises CameraVariableUnset.
    """
    encode: Callable[[str], str] = _percent_encoded if "://" in template else str
    try:
        return _expand(template, environment() if environ is None else environ, encode)
    except Unset as unset:
        raise CameraVariableUnset(str(unset)) from None


def expand_secret(template: str, environ: Mapping[str, str] | None = None) -> str:
    """A camera's user or password as it is compared. Raises CameraVariableUnset."""
    try:
        return _expand(template, environment() if environ is None else environ, str)
    except Unset as unset:
        raise CameraVariableUnset(str(unset)) from None


def expanded(template: str, environ: Mapping[str, str]) -> str:
    """Any text, nothing encoded. Raises Unset."""
    return _expand(template, environ, str)


def variable(name: str, environ: Mapping[str, str] | None = None) -> str:
    """The variable's value, or the content of the file that NAME_FILE names. Raises Unset."""
    return _variable(name, environment() if environ is None else environ)


def sudo_user(environ: Mapping[str, str] | None = None) -> str | None:
    """Who called sudo; None where nobody did."""
    return (os.environ if environ is None else environ).get("SUDO_USER") or None


def visible_gpus(environ: Mapping[str, str] | None = None) -> str | None:
    """What CUDA_VISIBLE_DEVICES says; None where it is not set."""
    return (os.environ if environ is None else environ).get("CUDA_VISIBLE_DEVICES")


def _percent_encoded(value: str) -> str:
    return quote(value, safe="")


def _expand(template: str, environ: Mapping[str, str], encode: Callable[[str], str]) -> str:
    return _VARIABLE.sub(lambda match: encode(_variable(match[1], environ)), template)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if name in environ:
        return environ[name]
    file = environ.get(f"{name}_FILE")
    if file is None:
        raise Unset(f"variable {name} is not set; set it, or {name}_FILE to a file's path")
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise Unset(f"variable {name}_FILE: {file} can't be read ({why}); check the path") from None


def env_path(config: Path) -> Path:
    """Where it lies."""
    return config.with_suffix(".env")


def read_env(path: Path) -> dict[str, str]:
    """Nothing where there is no such file, or one that this user may not read. Raises ConfigUnreadable."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return {}
    except OSError as error:
        raise ConfigUnreadable(f"{path} can't be read ({error.strerror}); check the file") from None
    except UnicodeDecodeError:
        raise ConfigUnreadable(f"{path} is not UTF-8 text; save it as such") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", ";")):
            continue
        match = _LINE.fullmatch(stripped)
        value = None if match is None else _value(match[2].strip())
        if match is None or value is None:
            raise ConfigUnreadable(f'{path} line {number}: want NAME="value"; mend the line')
        found[match[1]] = value
    return found


def _value(text: str) -> str | None:
    if double := _DOUBLE.fullmatch(text):
        return _ESCAPED.sub(r"\1", double[1])
    if single := _SINGLE.fullmatch(text):
        return single[1]
    return None if text[:1] in ("'", '"') else text


def env_text(values: Mapping[str, str]) -> str:
    """The file's content. Values have no line break."""
    lines = (f'{name}="{_escaped(value)}"\n' for name, value in values.items())
    return _HEAD + "".join(lines)


def _escaped(value: str) -> str:
    return _TO_ESCAPE.sub(r"\\\1", value)
