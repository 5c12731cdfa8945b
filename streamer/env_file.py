"""The file of variables beside a configuration: whosthere.env for whosthere.yaml, for passwords that are not in it.

Text goes in, names and values come out, and back. systemd's EnvironmentFile= and a shell (`set -a; . whosthere.env`)
read the same. Blocks for a small read. No error here quotes a value.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from streamer.errors import ConfigUnreadable

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SINGLE = re.compile(r"'([^']*)'")
_ESCAPED = re.compile(r"\\(.)")
_TO_ESCAPE = re.compile(r'(["\\$`])')
_HEAD = "# Passwords for the configuration beside this file; whosthere reads it there. For nobody else's eyes.\n"


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
