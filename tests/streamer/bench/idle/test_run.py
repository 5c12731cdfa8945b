"""`bench --idle` from its options to its document: real services, the build before out of git, and parts that fail."""

from types import SimpleNamespace

import pytest

from streamer.bench.idle import measure, run
from streamer.bench.idle.rows import Row, Table, line_of
from streamer.bench.idle.run import GOALS, IdleBenchOptions, run_idle
from streamer.bench.idle.serving import BEFORE, OURS, Build, Scrape, builds
from streamer.bench.parts import Parts
from streamer.cli.bench.idle import show_idle
from streamer.settings_reading import load
from tests.conftest import PROJECT


@pytest.fixture
def settings(tmp_path):
    return load(overrides=[f"paths.data={tmp_path / 'never'}", "recognition.device=cpu"])


async def test_without_photos_the_keys_are_there_and_why_is_told(tmp_path, settings):
    parts = Parts(lambda _: None)
    document = await run_idle(settings, IdleBenchOptions(tmp_path, None), parts)
    assert {key: document["idle"][key] for key in GOALS} == dict.fromkeys(GOALS)
    assert document["idle"]["rows"] == {}
    (failed,) = parts.failed
    assert "--faces" in failed["why"]


async def test_without_weights_it_is_told_at_once_which_and_where_they_go(tmp_path):
    parts = Parts(lambda _: None)
    empty = load(overrides=[f"paths.data={tmp_path / 'never'}", f"paths.models=[{tmp_path}]"])
    await run_idle(empty, IdleBenchOptions(tmp_path, tmp_path / "faces.zip"), parts)
    (failed,) = parts.failed
    assert all(word in failed["why"] for word in ("scrfd_500m", str(tmp_path), "paths.models", "../shared/models"))


async def test_a_part_that_fails_leaves_the_others(tmp_path, settings, monkeypatch, capsys):
    async def prepared(*_):
        return measure.Bench({}, {}, None, {}, tmp_path, tmp_path, None, said.append)

    async def broken(*_):
        raise OSError(28, "No space left on device")

    async def measured(idle, _):
        idle._table.add("many64_share_of_two_cores", Row(0.5, goal=0.8))
        idle._missed["many64"] = 0

    said = []
    monkeypatch.setattr(run, "_prepared", prepared)
    monkeypatch.setattr(run._Idle, "_many", measured)
    for part in ("_vbr", "_cbr", "_scenes", "_busy", "_memory"):
        monkeypatch.setattr(run._Idle, part, broken)
    parts = Parts(said.append)
    document = await run_idle(settings, IdleBenchOptions(tmp_path, tmp_path), parts)
    assert [one["part"] for one in parts.failed] == ["vbr", "cbr", "scenes", "busy", "memory"]
    assert document["idle"]["visits_missed"] == 0
    assert document["idle"]["rows"]["many64_share_of_two_cores"] == {
        "ours": 0.5,
        "before": None,
        "limit": None,
        "goal": 0.8,
    }
    assert "  64 cameras of 720p15: share of two cores: 0.5 (goal 0.8)" in said
    show_idle(document)
    assert "64 cameras of 720p15: share of two cores" in capsys.readouterr().out


def test_a_camera_that_is_never_looked_at_has_a_share_too():
    frames = {"processed": {"a": 30.0, "b": 30.0}, "shed": {"a": 1.0, "c": 99.0}}
    assert measure.shares(SimpleNamespace(frames=frames)) == {"a": 1.5, "b": 1.5, "c": 0.0}
    assert measure.shares(SimpleNamespace(frames={})) == {}


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (Row(0.12345, 0.5, 0.25, 0.2), "  of the build before: 0.123 (before 0.5, limit 0.25, goal 0.2)"),
        (Row(None, 3.0), "  of the build before: not measured (before 3)"),
        (Row(1234.56), "  of the build before: 1235"),
    ],
)
def test_a_row_is_told_at_once(row, line):
    said = []
    Table(said.append).add("cpu_ratio_to_before", row)
    assert said == [line]
    assert line_of("vbr_visits_told_share", Row(1.0)) == "vbr: visits told, share: 1"


def test_what_metrics_say_is_summed_by_camera():
    scrape = Scrape(
        "# TYPE whosthere_gate_seconds counter\n"
        'whosthere_gate_seconds_total{camera="a",gate="detector",state="open"} 3\n'
        'whosthere_gate_seconds_total{camera="a",gate="detector",state="closed"} 9\n'
        'whosthere_gate_seconds_total{camera="b",gate="decoder",state="open"} 1\n'
    )
    assert scrape.total("whosthere_gate_seconds_total", camera="a") == 12
    assert scrape.by("camera", "whosthere_gate_seconds_total", state="open") == {"a": 3, "b": 1}
    assert scrape.by("camera", "whosthere_frames_total") == {}


def test_without_history_there_is_this_build_alone(tmp_path):
    assert builds(tmp_path, "0" * 40) == {OURS: Build(OURS, PROJECT)}


async def test_a_command_of_a_build_that_fails_is_told(tmp_path):
    build = Build(OURS, PROJECT)
    parts = Parts(lambda _: None)
    await parts.run("enrolling", build.command("-c", "raise SystemExit('no room')", folder=tmp_path))
    assert "of ours ended with 1: no room" in parts.failed[0]["why"]


@pytest.mark.thorough
@pytest.mark.live
@pytest.mark.shared
@pytest.mark.both_cores
@pytest.mark.timeout(300)
async def test_two_cameras_are_watched_by_both_builds(tmp_path, shared, monkeypatch):
    """The whole of it, but smaller: 640x360, two cameras, a short lap."""
    full = measure.hall

    def small(people, **wanted):
        return full(people, **{**wanted, "size": (640, 360), "fps": 15, "seconds": 24.0, "begins_s": 8.0})

    monkeypatch.setattr(measure, "hall", small)
    monkeypatch.setattr(measure, "STREAMS", 2)
    monkeypatch.setattr(measure, "LAP_S", 24.0)
    settings = load(overrides=[f'paths.models=["model/artifacts", "{shared / "models"}"]', "recognition.device=cpu"])
    options = IdleBenchOptions(tmp_path / "bench", shared / "faces" / "lfw_dev.zip", longest_s=24.0, parts=("vbr",))
    parts = Parts(lambda _: None)
    document = (await run_idle(settings, options, parts))["idle"]
    assert parts.failed == []
    rows = document["rows"]
    assert rows["vbr_visits_told_share"]["ours"] == 1.0
    assert rows["vbr_misnamed"]["ours"] == 0
    assert document["visits_missed"] == 0
    assert document["cpu_ratio_to_decode"] > 0
    assert document["asleep_p95_ms"] > 0
    if BEFORE in builds(tmp_path / "bench"):
        assert document["cpu_ratio_to_before"] > 0
