"""What all dashboards share: how a panel of each kind looks, and where it stands. Pure: plain dictionaries, no I/O.

A panel is a Grafana panel (model of version 11) without its place and number; `board` gives it both.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Panel = dict[str, Any]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
ALL = 'instance=~"$instance"'
CAMERA = 'instance=~"$instance", camera=~"$camera"'
RATE = "[$__rate_interval]"

GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY = "green", "yellow", "orange", "red", "blue", "purple", "text"
# A word has one colour on every dashboard.
COLOURS = {
    "processed": GREEN,
    "dropped": YELLOW,
    "shed": BLUE,
    "skipped": ORANGE,
    "failed": RED,
    "held_back": PURPLE,
    "named": GREEN,
    "unknown": BLUE,
    "p50": GREEN,
    "p95": YELLOW,
    "p99": RED,
    "received": GREEN,
    "lost": RED,
    "late": ORANGE,
    "duplicate": YELLOW,
    "refused": PURPLE,
    "encoded": GREEN,
    "waiting": BLUE,
    "set aside": PURPLE,
    "resident": BLUE,
    "virtual": GREY,
}
OK = {0: ("not ok", RED), 1: ("ok", GREEN)}


def query(expr: str, legend: str = "", *, instant: bool = False, heatmap: bool = False) -> dict[str, Any]:
    """One PromQL query; instant: the value of now, as a table."""
    return {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": expr,
        "format": "table" if instant else "heatmap" if heatmap else "time_series",
        "instant": instant,
        "range": not instant,
        "legendFormat": legend or "__auto",
        "refId": "A",
    }


def rise(metric: str, by: str, labels: str = ALL) -> str:
    """How much a counter rose in five minutes. increase() does not see that a series began, at 1 as a rule: the first
    fault of its kind; so what was not there five minutes ago counts whole."""
    series = f"{metric}{{{labels}}}"
    by = f"sum by ({by}) " if by else "sum"
    return f"{by}(({series} unless {series} offset 5m) or increase({series}[5m]))"


def quantiles(metric: str, labels: str = ALL) -> list[dict[str, Any]]:
    """p50, p95 and p99 of a histogram."""
    by = f"sum by (le) (rate({metric}_bucket{{{labels}}}{RATE}))"
    return [query(f"histogram_quantile(0.{share}, {by})", f"p{share}") for share in (50, 95, 99)]


def steps(*pairs: tuple[float | None, str]) -> dict[str, Any]:
    """From each value on, its colour; the first has none."""
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for value, colour in pairs]}


def words(mapping: Mapping[int, tuple[str, str]]) -> list[dict[str, Any]]:
    """Values as words in their colours."""
    options = {
        str(value): {"text": text, "color": colour, "index": number}
        for number, (value, (text, colour)) in enumerate(mapping.items())
    }
    return [{"type": "value", "options": options}]


def stat(title: str, tells: str, expr: str, unit: str = "short", legend: str = "", **more: Any) -> Panel:
    """A number of now. more: thresholds, mappings, decimals, graph (a line behind it), size (cells wide)."""
    names = legend != ""
    options = {
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "orientation": "auto",
        "textMode": "value_and_name" if names else "value",
        "colorMode": "background" if "mappings" in more else "value",
        "graphMode": "area" if more.get("graph") else "none",
        "justifyMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }
    defaults = {
        "unit": unit,
        "thresholds": more.get("thresholds", steps((None, BLUE))),
        "mappings": words(more["mappings"]) if "mappings" in more else [],
        "color": {"mode": "thresholds"},
        "noValue": more.get("nothing", "no data"),
    }
    if "decimals" in more:
        defaults["decimals"] = more["decimals"]
    return _panel("stat", title, tells, [query(expr, legend)], options, defaults, more.get("size", (3, 4)))


def series(title: str, tells: str, queries: Sequence[dict[str, Any]], unit: str = "short", **more: Any) -> Panel:
    """Lines over time. more: stack, bars, limits (thresholds as lines), least, most (of the axis), size."""
    stacked, limits = more.get("stack", "bars" in more), more.get("limits")
    custom = {
        "drawStyle": "bars" if more.get("bars") else "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 80 if more.get("bars") else 25 if stacked else 8,
        "gradientMode": "none",
        "showPoints": "never",
        "spanNulls": False,
        "axisPlacement": "auto",
        "axisLabel": "",
        "axisBorderShow": False,
        "scaleDistribution": {"type": "linear"},
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    defaults = {
        "unit": unit,
        "min": more.get("least", 0),
        "color": {"mode": "palette-classic"},
        "thresholds": limits or steps((None, GREEN)),
        "mappings": [],
        "custom": custom,
    }
    if "most" in more:
        defaults["max"] = more["most"]
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, tells, queries, options, defaults, more.get("size", (12, 8)), _colours(queries))


def heatmap(title: str, tells: str, metric: str, unit: str, labels: str = ALL, **more: Any) -> Panel:
    """A histogram over time: how many of each size."""
    expr = f"sum by (le) (increase({metric}_bucket{{{labels}}}{RATE}))"
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Turbo",
            "fill": "dark-orange",
            "exponent": 0.5,
            "steps": 64,
            "reverse": False,
            "scale": "exponential",
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    custom = {"hideFrom": {"legend": False, "tooltip": False, "viz": False}, "scaleDistribution": {"type": "linear"}}
    queries = [query(expr, "{{le}}", heatmap=True)]
    return _panel("heatmap", title, tells, queries, options, {"custom": custom}, more.get("size", (12, 8)))


def timeline(
    title: str, tells: str, expr: str, legend: str, mapping: Mapping[int, tuple[str, str]], **more: Any
) -> Panel:
    """States over time, a row each."""
    options = {
        "mergeValues": True,
        "showValue": "never",
        "alignValue": "left",
        "rowHeight": 0.85,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    defaults = {
        "mappings": words(mapping),
        "color": {"mode": "thresholds"},
        "thresholds": steps((None, GREY)),
        "custom": {"lineWidth": 0, "fillOpacity": 80},
    }
    return _panel("state-timeline", title, tells, [query(expr, legend)], options, defaults, more.get("size", (12, 8)))


def table(title: str, tells: str, expr: str, columns: Mapping[str, str], **more: Any) -> Panel:
    """Labels of series of now. columns: label -> heading; `Value` is the number."""
    options = {"cellHeight": "sm", "showHeader": True, "frameIndex": 0}
    defaults = {
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True},
        "mappings": [],
        "thresholds": steps((None, GREEN)),
        "noValue": "none",
    }
    panel = _panel("table", title, tells, [query(expr, instant=True)], options, defaults, more.get("size", (12, 8)))
    order = {name: number for number, name in enumerate(columns)}
    panel["transformations"] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
        {"id": "organize", "options": {"indexByName": order, "renameByName": dict(columns), "excludeByName": {}}},
    ]
    panel["fieldConfig"]["overrides"] = list(more.get("overrides", []))
    return panel


def row(title: str) -> Panel:
    """A heading over the panels that follow."""
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "_size": (24, 1)}


def _panel(
    kind: str,
    title: str,
    tells: str,
    queries: Sequence[dict[str, Any]],
    options: dict[str, Any],
    defaults: dict[str, Any],
    size: tuple[int, int],
    overrides: Sequence[dict[str, Any]] = (),
) -> Panel:
    return {
        "type": kind,
        "title": title,
        "description": tells,
        "datasource": SOURCE,
        "targets": [one | {"refId": chr(ord("A") + number)} for number, one in enumerate(queries)],
        "options": options,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "_size": size,
    }


def _colours(queries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the words that legends may hold."""
    by_label = any(f"{{{{{label}}}}}" in one["legendFormat"] for one in queries for label in ("outcome", "known"))
    legends = {one["legendFormat"] for one in queries}
    return [
        {
            "matcher": {"id": "byRegexp", "options": f"/(^|, | ){word}$/"},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for word, colour in COLOURS.items()
        if by_label or word in legends
    ]
