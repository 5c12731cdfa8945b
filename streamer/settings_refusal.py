"""What pydantic complains of first, as one line of ours. Pure.

A value is shown only where it can be no secret.
"""

from collections.abc import Sequence
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
        hint = did_you_mean(str(loc[-1]), _section(loc[:-1], root, camera).model_fields)
        return ConfigUnknownKey(f"{where}: unknown key ({source}){hint}")
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
