"""What to write into the configuration for a device that was found: a name, a URL, the lines to paste. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlsplit, urlunsplit

_LONGEST = 40
_NAMELESS = "camera"
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def camera_name(told: str, address: str, taken: Iterable[str]) -> str:
    """A camera's name, and so a level of a topic (a-z, 0-9, _ and -), that nobody has yet."""
    plain = unicodedata.normalize("NFKD", told).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9_]+", "-", plain)[:_LONGEST].strip("-_") or _NAMELESS
    taken = set(taken)
    last = address.rpartition(".")[2]
    numbered = (f"{name}-{last}-{number}" for number in range(2, len(taken) + 3))
    return next(each for each in (name, f"{name}-{last}", *numbered) if each not in taken)


def with_login(url: str, user: str, password: str) -> str:
    """A camera's URL as the configuration holds it. user, password: with their `${VAR}`, which are left as they are."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, f"{_encoded(user)}:{_encoded(password)}@{parts.netloc}", *parts[2:]))


def _encoded(template: str) -> str:
    return template if _VARIABLE.fullmatch(template) else quote(template, safe="")


def without_secret(url: str, password: str, template: str) -> str:
    """Firmware that puts the password into the URL that it gives: the variable stands there instead."""
    for written in {password, quote(password, safe="")}:
        url = url.replace(written, template) if written else url
    return url


def yaml_lines(cameras: Sequence[tuple[str, str]]) -> list[str]:
    """For whosthere.yaml: names and URLs."""
    return ["cameras:", *(f'  {name}: {{url: "{url}"}}' for name, url in cameras)]


def add_line(name: str, url: str) -> str:
    """The same as a command for a shell."""
    return f"whosthere cameras add {name} '{url}'"
