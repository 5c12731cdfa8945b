"""The alert rules that users get: read, what they ask for, and the same made quick for tests that can't wait."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import PROJECT

FOLDER = PROJECT / "configs" / "prometheus"
RULES = FOLDER / "whosthere-alerts.yml"
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"\b(\d+)([smhdw])\b")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}|\b((?:whosthere|process)_\w+)\b")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Asked:
    """A metric that a rule names, with its matchers: (label, the values that it names)."""

    metric: str
    matchers: tuple[tuple[str, tuple[str, ...]], ...]


def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return found


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Each rule by its alert's name, in their order."""
    return {rule["alert"]: rule for group in groups() for rule in group["rules"]}


def asked(expr: str) -> list[Asked]:
    """Every metric of an expression."""
    return [
        Asked(
            named or plain, tuple((label, tuple(values.split("|"))) for label, _, values in _MATCHER.findall(matchers))
        )
        for named, matchers, plain in _SELECTOR.findall(expr)
    ]


def joined_labels(expr: str) -> set[str]:
    """The labels that it joins and sums by."""
    lists = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expr)
    return {label.strip() for one in lists for label in one.split(",")}


def write_quick(path: Path, times: int) -> Path:
    """The same rules with every duration so many times shorter, and what is a duration by its meaning."""

    def shorter(text: str) -> str:
        return _DURATION.sub(lambda found: f"{int(found[1]) * _UNITS_MS[found[2]] // times}ms", text)

    quick = groups()
    for group in quick:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = shorter(rule["expr"])
            if "for" in rule:
                rule["for"] = shorter(rule["for"])
            if rule["alert"] == "WhosthereOutboxGrowing":
                assert rule["expr"].endswith(" > 300")
                rule["expr"] = rule["expr"].replace("> 300", f"> {300 / times}")
    path.write_text(yaml.safe_dump({"groups": quick}))
    return path
