"""Panels in, whole dashboards out: variables, links between them, and every panel's place and number. Pure."""

from collections.abc import Sequence
from typing import Any

from scripts.dashboards.parts import SOURCE, Panel

WIDTH = 24
SCHEMA_VERSION = 39  # of Grafana 11; a newer one brings it up to date when it loads it


def board(
    uid: str, title: str, tells: str, panels: Sequence[Panel], *, page: str, has_cameras: bool = False
) -> dict[str, Any]:
    """A dashboard; panels stand from left to right, and below where a line is full. page: of docs/."""
    variables = [_datasource(), _label("instance", "Service", "whosthere_build_info", "instance")]
    if has_cameras:
        variables.append(_label("camera", "Camera", 'whosthere_camera_up{instance=~"$instance"}', "camera"))
    return {
        "uid": uid,
        "title": title,
        "description": f"{tells} More: docs/{page}, docs/grafana.md.",
        "tags": ["whosthere"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-3h", "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "15s", "30s", "1m", "5m", "15m", "30m", "1h"]},
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "weekStart": "",
        "templating": {"list": variables},
        "annotations": {"list": [_restarts(), _alerts()]},
        "links": [_dashboards()],
        "panels": _placed(panels),
    }


def _placed(panels: Sequence[Panel]) -> list[Panel]:
    placed, left, top, tallest = list[Panel](), 0, 0, 0
    for number, panel in enumerate(panels, 1):
        width, height = panel["_size"]
        if left + width > WIDTH:
            left, top, tallest = 0, top + tallest, 0
        place = {"x": left, "y": top, "w": width, "h": height}
        rest = {key: value for key, value in panel.items() if key != "_size"}
        placed.append({"id": number, "gridPos": place, **rest})
        left, tallest = left + width, max(tallest, height)
    return placed


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "type": "datasource",
        "label": "Prometheus",
        "hide": 0,
        "query": "prometheus",
        "regex": "",
        "multi": False,
        "includeAll": False,
        "refresh": 1,
        "skipUrlSync": False,
        "options": [],
        "current": {"selected": True, "text": "default", "value": "default"},
    }


def _label(name: str, label: str, metric: str, of: str) -> dict[str, Any]:
    """All of them at once is `.*`, so that hundreds of cameras do not make a query of ten thousand letters."""
    expr = f"label_values({metric}, {of})"
    return {
        "name": name,
        "type": "query",
        "label": label,
        "hide": 0,
        "datasource": SOURCE,
        "query": {"qryType": 1, "query": expr, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "regex": "",
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "refresh": 2,
        "sort": 1,
        "skipUrlSync": False,
        "options": [],
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _restarts() -> dict[str, Any]:
    """A line where the service began anew: much jumps there."""
    return {
        "name": "Starts of the service",
        "datasource": SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "light-blue",
        "expr": 'changes(process_start_time_seconds{instance=~"$instance"}[$__interval]) > 0',
    }


def _alerts() -> dict[str, Any]:
    """Where a rule of configs/prometheus fires."""
    return {
        "name": "Alerts that fire",
        "datasource": SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "expr": 'ALERTS{alertstate="firing", alertname=~"Whosthere.*"}',
    }


def _dashboards() -> dict[str, Any]:
    return {
        "title": "whosthere",
        "type": "dashboards",
        "tags": ["whosthere"],
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "The other dashboards",
        "url": "",
    }
