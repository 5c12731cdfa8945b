"""Writes configs/grafana/*.json. Blocks for a moment."""

import json
from pathlib import Path

from scripts.dashboards.all_boards import dashboards

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "grafana"


def text(dashboard: object) -> str:
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, dashboard in dashboards().items():
        (FOLDER / name).write_text(text(dashboard))
