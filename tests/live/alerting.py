"""A real Prometheus that evaluates our alert rules, made sixty times quicker, over one service."""

from pathlib import Path
from typing import Any

import yaml

from tests.configs.prometheus.rules import write_quick
from tests.live.prometheus import Prometheus

TIMES = 60  # minutes are seconds


class Alerting(Prometheus):
    """firing() is what an Alertmanager would be told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        file = self._folder / "prometheus.yml"
        rules = write_quick(self._folder / "rules.yml", TIMES)
        config: dict[str, Any] = yaml.safe_load(file.read_text())
        config["global"]["evaluation_interval"] = "1s"
        file.write_text(yaml.safe_dump(config | {"rule_files": [str(rules)]}))

    def firing(self) -> list[dict[str, Any]]:
        """{"labels": ..., "annotations": ...} of each."""
        return [alert for alert in self._ask("alerts")["alerts"] if alert["state"] == "firing"]

    def names(self) -> set[tuple[str, str]]:
        """(alert, camera or part, if it is of one) of what fires."""
        labels = [alert["labels"] for alert in self.firing()]
        return {(one["alertname"], one.get("camera", one.get("part", ""))) for one in labels}
