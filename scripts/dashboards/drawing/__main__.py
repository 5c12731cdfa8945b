"""Draws each dashboard with what a real Prometheus answered: JSON and a lively half minute in, docs/pictures/*.png out.

    python -m scripts.dashboards.drawing --npm FOLDER

FOLDER is where `npm install` and `npm run bundle` were run on a copy of this folder's package.json and page.tsx. Needs
chromium, prometheus and mosquitto. Grafana itself does not run. Blocks for two minutes.
"""

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from scripts.dashboards.__main__ import FOLDER
from tests.grafana.day import House, happen, house
from tests.grafana.reading import boards, fill, panels

PICTURES = FOLDER.parents[1] / "docs" / "pictures"
UNIT_PX, ROW_PX, MARGIN_PX = 58, 34, 70  # as page.tsx has them
COLOURS = 255  # of a picture
VARIABLES = {"instance": ".*", "camera": ".*", "__rate_interval": "4s", "__interval": "1s", "__range": "5m"}
PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css"><div id="root"></div>
<script>window.DRAWN = {drawn};</script><script src="page.js"></script>"""


def legend_of(legend: str, labels: dict[str, str]) -> str:
    """As Grafana fills it in; `__auto` is the labels."""
    if legend == "__auto":
        return ", ".join(f"{name}={value}" for name, value in labels.items() if name != "__name__") or "value"
    for name, value in labels.items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return legend


def answers(at: House, panel: dict[str, Any], start_s: float, end_s: float) -> list[dict[str, Any]]:
    """Every series of a panel; a table's alone as they were in the middle, when most was going on."""
    found = list[dict[str, Any]]()
    for target in panel["targets"]:
        expr = fill(target["expr"], VARIABLES)
        if target["instant"]:
            series = [(labels, [(end_s, value)]) for labels, value in at.prometheus.at(expr, (start_s + end_s) / 2)]
        else:
            series = at.prometheus.over(expr, start_s, end_s)
        for labels, points in series:
            found.append({"legend": legend_of(target["legendFormat"], labels), "labels": labels, "points": points})
    return found


async def live(at: House) -> float:
    """When Prometheus began to look, in Unix seconds."""
    await at.service.until_ready("broker", "models", "camera street", "camera yard")
    at.prometheus.aim(at.url)
    began_s = time.time()
    await happen(at)
    return began_s


def draw(board: dict[str, Any], drawn: dict[str, Any], npm: Path, picture: Path) -> None:
    page = npm / f"{picture.stem}.html"
    page.write_text(PAGE.format(drawn=json.dumps(drawn).replace("</", "<\\/")))
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    size = f"{24 * UNIT_PX + 16},{rows * ROW_PX + MARGIN_PX}"
    command = [
        "chromium",
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={size}",
    ]
    command += ["--virtual-time-budget=8000", f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120, env={**os.environ, "HOME": str(npm)})
    with Image.open(picture) as drawn_in_full:
        drawn_in_full.quantize(colors=COLOURS).save(picture, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npm", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=PICTURES, metavar="FOLDER")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    npm = options.npm.resolve()
    with tempfile.TemporaryDirectory() as folder, house(Path(folder)) as at:
        with at.service:
            start_s = asyncio.run(live(at))
            end_s = time.time()
            at.service.stop()
        asyncio.run(at.shows("up == 0"))
        for name, board in boards().items():
            series = {panel["id"]: answers(at, panel, start_s, end_s) for panel in panels(board)}
            drawn = {"dashboard": board, "series": series, "from": start_s, "to": end_s}
            draw(board, drawn, npm, (options.out / name).with_suffix(".png").resolve())


if __name__ == "__main__":
    main()
