"""The dashboards as they lie in configs/grafana: their panels and queries, with Grafana's variables filled in."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conftest import PROJECT

FOLDER = PROJECT / "configs" / "grafana"
FILES = sorted(FOLDER.glob("*.json"))


@dataclass(frozen=True, slots=True)
class Query:
    """One of a panel's, as it stands in the file."""

    board: str
    panel: str
    legend: str
    expr: str

    def filled(self, **variables: str) -> str:
        """As Grafana sends it. Raises KeyError for a variable that has no value."""
        return fill(self.expr, variables)

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}" + (f" ({self.legend})" if self.legend != "__auto" else "")


def fill(expr: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: variables[found[1]], expr)


def boards() -> dict[str, dict[str, Any]]:
    """File name -> dashboard."""
    return {file.name: json.loads(file.read_text()) for file in FILES}


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Those that show something: no headings."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def queries() -> list[Query]:
    """Of all panels of all dashboards."""
    return [
        Query(name, panel["title"], target["legendFormat"], target["expr"])
        for name, board in boards().items()
        for panel in panels(board)
        for target in panel["targets"]
    ]
