"""The alert rules: taken by promtool, each shown silent, fired and cleared by it; they ask for what there is."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import yaml

from gallery import errors as gallery_errors
from streamer import errors
from streamer.access import errors as access_errors
from streamer.kept_visits.writer import QUEUE_FULL
from streamer.pipeline.camera import NO_PUBLISHER, State
from streamer.pipeline.camera_trouble import WORDS
from streamer.telemetry.metrics import Metrics
from tests.configs.prometheus.rules import FOLDER, alerts, asked, joined_labels, write_quick
from tests.conftest import PROJECT

HERE = Path(__file__).parent
SERIES = sorted(HERE.glob("*.yml"))
NOT_OURS = {"up": set(), "ALERTS": {"alertname", "alertstate", "camera"}}
OF_PROMETHEUS = {"job", "instance"}
PAGE = PROJECT / "docs" / "alerts.md"


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which(name)
    if program is None:
        missing = f"needs {name} (Debian: prometheus, prometheus-alertmanager)"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("program", "check", "file"),
    [
        ("promtool", ("check", "config"), "prometheus.yml"),
        ("promtool", ("check", "rules"), "whosthere-alerts.yml"),
        ("amtool", ("check-config",), "alertmanager.yml"),
    ],
)
def test_the_files_are_taken(program, check, file):
    done = tool(program, *check, FOLDER / file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_of_prometheus_names_the_rules_and_where_the_service_listens_by_default():
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert config["rule_files"] == ["whosthere-alerts.yml"]
    (job,) = config["scrape_configs"]
    assert (job["job_name"], job["static_configs"]) == ("whosthere", [{"targets": ["127.0.0.1:8080"]}])


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, id=file.stem, marks=[pytest.mark.thorough] * (file.stem == "three_nights")) for file in SERIES],
)
def test_the_series_make_them_fire_and_clear(file):
    done = tool("promtool", "test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def stories() -> list[tuple[str, list[bool]]]:
    """Of each group of series and each alert that it asks after: whether it fires, from time to time."""
    found = []
    for file in SERIES:
        for group in yaml.safe_load(file.read_text())["tests"]:
            told: dict[str, list[bool]] = {}
            for moment in group["alert_rule_test"]:
                told.setdefault(moment["alertname"], []).append(bool(moment["exp_alerts"]))
            found += told.items()
    return found


@pytest.mark.parametrize("alert", alerts())
def test_each_is_shown_silent_then_fired_then_cleared(alert):
    shown = [fires for name, fires in stories() if name == alert]
    whole = [fires for fires in shown if not fires[0] and True in fires and not fires[-1]]
    assert whole, shown


def test_nothing_that_is_not_there_is_shown():
    assert {name for name, _ in stories()} == set(alerts())


@pytest.mark.parametrize("alert", alerts())
def test_each_has_what_somebody_needs_who_is_told(alert):
    rule = alerts()[alert]
    assert alert.startswith("Whosthere")
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("page", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    page, _, heading = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.+)$", (PROJECT / page).read_text(), re.MULTILINE)
    assert heading in {one.lower().replace(" ", "-") for one in headings}


@cache
def labels_of_metrics() -> dict[str, set[str]]:
    """Each sample's name -> its labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(Metrics()).values():
        if not hasattr(metric, "describe"):
            continue
        (family_,) = metric.describe()
        labels = set(metric._labelnames)
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
        for end in ends.get(family_.type, ("",)):
            found[family_.name + end] = labels | ({"le"} if end == "_bucket" else set())
    process = {sample.name: set() for one in Metrics().process.collect() for sample in one.samples}
    return found | process | NOT_OURS


def problems_of(expr: str) -> list[str]:
    """What an expression asks for that is not there."""
    there, wrong = labels_of_metrics(), []
    some: set[str] = set()
    for one in asked(expr):
        if one.metric not in there:
            wrong.append(f"no metric {one.metric}")
            continue
        some |= there[one.metric]
        named = {label for label, _ in one.matchers}
        wrong += [f"{one.metric} has no {label}" for label in named - there[one.metric] - OF_PROMETHEUS]
    wrong += [f"nothing has {label}" for label in joined_labels(expr) - some - OF_PROMETHEUS]
    return wrong


@pytest.mark.parametrize("alert", alerts())
def test_each_asks_for_what_the_service_has(alert):
    rule = alerts()[alert]
    assert problems_of(rule["expr"]) == []
    text = " ".join(rule["annotations"].values())
    used = set(re.findall(r"\$labels\.(\w+)", text))
    known = set().union(*(labels_of_metrics().get(one.metric, set()) for one in asked(rule["expr"])))
    assert used <= known | OF_PROMETHEUS
    assert not used & {"person", "name", "id", "url"}
    for looked_up in re.findall(r'printf "([^"]+)"', text):
        assert problems_of(looked_up.replace("'%s'", '"x"').replace("'", '"')) == []


@pytest.mark.parametrize(
    ("expr", "wrong"),
    [
        ("whosthere_camera_gone == 0", ["no metric whosthere_camera_gone"]),
        ('sum by (job) (rate(whosthere_camera_up{kamera="x"}[5m]))', ["whosthere_camera_up has no kamera"]),
        ("sum by (kamera) (whosthere_camera_up)", ["nothing has kamera"]),
        ("whosthere_event_latency_seconds > 1", ["no metric whosthere_event_latency_seconds"]),
    ],
)
def test_what_is_not_there_is_seen(expr, wrong):
    assert problems_of(expr) == wrong


def test_the_values_that_rules_name_are_values_that_there_are():
    modules = (errors, access_errors, gallery_errors)
    codes = {getattr(one, "code", "") for module in modules for one in vars(module).values()} | {QUEUE_FULL}
    known = {
        "state": set(get_args(State)) | {"outgrown", "stale"},
        "reason": {*WORDS, NO_PUBLISHER, "ended", "no_gpu", "no_cuda_provider", "by_hand"},
        "code": codes,
        "part": {"broker", "outbox", "models"},
        "outcome": {"dropped", "shed", "skipped", "failed"},
        "type": {"end"},
        "known": {"true"},
        "job": {"whosthere"},
    }
    for rule in alerts().values():
        for one in asked(rule["expr"]):
            for label, values in one.matchers:
                if label in known and one.metric not in NOT_OURS:
                    assert set(values) <= known[label], (one, label)


def test_the_page_has_each_as_it_is():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `Whosthere")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    told = {row[0].strip("`"): (row[2], row[3]) for row in rows}
    assert told == {name: (rule["labels"]["severity"], rule.get("for", "at once")) for name, rule in alerts().items()}
    assert len(rows) == len(told)
    assert all(len(row) == 5 and row[1] and row[4] for row in rows)


def test_quicker_rules_are_rules(tmp_path):
    quick = write_quick(tmp_path / "quick.yml", 60)
    done = tool("promtool", "check", "rules", quick)
    assert done.returncode == 0, done.stdout
    assert f"{len(alerts())} rules found" in done.stdout
