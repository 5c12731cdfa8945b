"""The dashboards as files: what the script writes, known to Grafana's schema, in order, with metrics that there are."""

import json
import re
from itertools import combinations, pairwise
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from scripts.dashboards.__main__ import text
from scripts.dashboards.all_boards import dashboards
from streamer.telemetry.metrics import Metrics
from tests.conftest import PROJECT
from tests.grafana.reading import FILES, FOLDER, boards, panels, queries

NAMES = [file.name for file in FILES]
UNITS = {"short", "s", "percentunit", "bytes", "bps", "pps", "reqps", "dtdurations"}

register_default_plugins()


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """What of ours is not in theirs, or is otherwise; what theirs has besides is filled in by default."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        missing = [f"{where}.{key}" for key in ours if key not in theirs]
        return missing + [
            found for key in ours.keys() & theirs for found in differences(ours[key], theirs[key], f"{where}.{key}")
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        both = enumerate(zip(ours, theirs, strict=True))
        return [found for number, (a, b) in both for found in differences(a, b, f"{where}[{number}]")]
    return [] if ours == theirs else [f"{where}: {ours!r} is read as {theirs!r}"]


def as_grafana_reads(board: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    return read


def test_the_files_are_what_the_script_writes():
    assert sorted(dashboards()) == NAMES
    for name, dashboard in dashboards().items():
        assert (FOLDER / name).read_text() == text(dashboard), "run `make dashboards`"


@pytest.mark.parametrize("name", NAMES)
def test_grafana_s_schema_knows_all_of_it(name):
    board = boards()[name]
    assert differences(board, as_grafana_reads(board)) == []


@pytest.mark.parametrize(
    "harm",
    [
        lambda board: board.update(titel="x"),
        lambda board: board["panels"][0].update(descripton="x"),
        lambda board: board["panels"][0]["options"].update(grafMode="x"),
        lambda board: board["panels"][0]["targets"][0].update(express="x"),
        lambda board: board["panels"][0]["fieldConfig"]["defaults"].update(units="x"),
        lambda board: board["panels"][0]["fieldConfig"]["defaults"]["thresholds"].update(modes="x"),
        lambda board: board["templating"]["list"][0].update(refreshs=1),
        lambda board: board["links"][0].update(keeptime=True),
    ],
)
def test_a_key_that_the_schema_does_not_know_is_found(harm):
    board = boards()["overview.json"]
    harm(board)
    assert len(differences(board, as_grafana_reads(board))) == 1


def test_dashboards_and_panels_are_told_apart():
    found = boards()
    assert len({board["uid"] for board in found.values()}) == len(found) == 5
    assert len({board["title"] for board in found.values()}) == 5
    for board in found.values():
        assert re.fullmatch(r"[a-z-]{8,40}", board["uid"])
        assert "id" not in board, "Grafana gives that"
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(set(numbers)) == len(numbers)
        titles = [panel["title"] for panel in board["panels"]]
        assert len(set(titles)) == len(titles)
        for panel in panels(board):
            assert [target["refId"] for target in panel["targets"]] == list("ABCD"[: len(panel["targets"])])
            legends = [target["legendFormat"] for target in panel["targets"]]
            assert len(set(legends)) == len(legends)


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_covers_another_and_lines_are_full(name):
    places = [panel["gridPos"] for panel in boards()[name]["panels"]]
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, (a, b)
    for top in {place["y"] for place in places}:
        line = sorted((place for place in places if place["y"] == top), key=lambda place: place["x"])
        assert line[0]["x"] == 0
        assert all(a["x"] + a["w"] == b["x"] for a, b in pairwise(line))
        assert sum(place["w"] for place in line) == 24, f"line {top}"
        assert len({place["h"] for place in line}) == 1, f"line {top}"


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_tells_and_in_which_unit(name):
    board = boards()[name]
    assert board["description"]
    assert board["refresh"] == "30s"
    for panel in panels(board):
        assert len(panel["description"]) > 8, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        unit = panel["fieldConfig"]["defaults"].get("unit") or panel["options"].get("yAxis", {}).get("unit")
        assert panel["type"] in ("table", "state-timeline") or unit in UNITS, panel["title"]
        for page in re.findall(r"docs/([\w-]+\.md)", panel["description"] + board["description"]):
            assert (PROJECT / "docs" / page).is_file(), page


def test_queries_are_of_metrics_that_there_are_and_hide_nothing():
    metrics = Metrics()
    known = {"up", "scrape_duration_seconds"} | {family.name for family in metrics.process.collect()}
    for metric in vars(metrics).values():
        for family in metric.describe() if hasattr(metric, "describe") else ():
            ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
            known |= {family.name + end for end in ends.get(family.type, ("",))}
    known |= {"process_cpu_seconds_total"}
    for query in queries():
        used = set(re.findall(r"\b((?:whosthere|process|scrape)_\w+|up)\{", query.expr))
        assert used, query
        assert used <= known, query
        assert "vector(" not in query.expr, query
        assert "absent" not in query.expr, query
        assert query.expr.count("{") == query.expr.count('instance=~"$instance"'), query


def test_cameras_are_chosen_where_panels_are_of_cameras():
    for query in queries():
        if query.board == "cameras.json" and "ingest_refused" not in query.expr:
            assert 'camera=~"$camera"' in query.expr, query
    for name, board in boards().items():
        variables = {one["name"]: one for one in board["templating"]["list"]}
        assert list(variables) == ["datasource", "instance", *(["camera"] if name == "cameras.json" else [])]
        for variable in list(variables.values())[1:]:
            assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".*")


def test_what_is_provisioned_is_what_there_is():
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/whosthere.yaml").read_text())["providers"]
    assert (source["type"], source["jsonData"]["timeInterval"]) == ("prometheus", "15s")
    assert provider["type"] == "file"
    assert provider["options"]["path"].startswith("/")
