"""What pydantic complains of first, as one line of ours. Pure.

A value is shown only where it can be no secret.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from recognition.near_names import did_you_mean
from streamer.errors import ConfigError, ConfigInvalid, ConfigUnknownKey
from streamer.settings_layers import ENV_PREFIX

# Never shown in an error, and hidden in a repr: a camera's URL may hold its password.
_SECRET = frozenset({"url", "username", "user", "password", "ice_servers"})


def refusal(first: ErrorDetails, source: str, root: type[BaseModel], camera: type[BaseModel]) -> ConfigError:
    """pydantic's first complaint as one line of ours; the value is shown only where it can be no secret."""
    loc = first["loc"]
    where = ".".join(str(part) for part in loc if part != "[key]")
    if first["type"] in ("extra_forbidden", "invalid_key"):
        return ConfigUnknownKey(f"{where}: unknown key ({source}){_hint(loc, root, camera)}")
    if loc[:1] == ("cameras",) and loc[-1] == "[key]":
        return ConfigInvalid(f"{where}: a camera's name is made of a-z, 0-9, _ and -, 64 at most ({source})")
    message = {
        "model_type": "want a section, with keys and values below it",
        "dict_type": "want a section, with names below it",
        "tuple_type": f"want a list (in a {ENV_PREFIX} variable: as JSON)",
        "string_type": "want text; put the value in quotes",
        "missing": "is missing; add it",
        "int_parsing": "want a whole number",
        "int_type": "want a whole number",
        "int_from_float": "want a whole number",
        "float_parsing": "want a number",
        "float_type": "want a number",
        "bool_parsing": "want true or false",
        "bool_type": "want true or false",
    }.get(first["type"], f"{first['msg'][:1].lower()}{first['msg'][1:]}")
    value, key, section = first["input"], str(loc[-1]), _section(loc[:-1], root, camera)
    # Text in place of a whole section may be anything, a URL with its password too.
    harmless = key in section.model_fields and key not in _SECRET and _section(loc, root, camera) is section
    shown = f", got {value!r}" if harmless and isinstance(value, (int, float, str)) else ""
    return ConfigInvalid(f"{where}: {message}{shown} ({source})")


def _hint(loc: Sequence[int | str], root: type[BaseModel], camera: type[BaseModel]) -> str:
    """The key of that section that was meant, else those like it of sections below, else all that the section has."""
    key, section = str(loc[-1]), _section(loc[:-1], root, camera)
    here, above = section.model_fields, "".join(f"{part}." for part in loc[:-1])
    below = [*_paths(section, camera, above), *(_paths(camera, camera, "cameras.<name>.") if section is root else ())]
    by_key: dict[str, list[str]] = {}
    for path in below:
        by_key.setdefault(path.rpartition(".")[2], []).append(path)
    alike = [path for near in get_close_matches(key.casefold(), by_key, n=1, cutoff=0.8) for path in by_key[near]]
    otherwise = f"did you mean {' or '.join(alike)}?" if alike else f"there are {', '.join(here)}"
    return did_you_mean(key, here, otherwise)


def _paths(section: type[BaseModel], camera: type[BaseModel], above: str) -> Iterator[str]:
    """Every setting of a section, by its full name."""
    for key in section.model_fields:
        below = _section([key], section, camera)
        yield f"{above}{key}"
        if below not in (section, camera):
            yield from _paths(below, camera, f"{above}{key}.")


def _section(loc: Sequence[int | str], root: type[BaseModel], camera: type[BaseModel]) -> type[BaseModel]:
    """The section that `loc` leads to; a camera's name counts as its section."""
    section = root
    for part in loc:
        if section is root and part == "cameras":
            section = camera
        elif str(part) in section.model_fields:
            annotation = section.model_fields[str(part)].annotation
            either = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
            for kind in either:
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    section = kind
    return section
