"""The benchmark as a whole: what one part could not measure takes nothing from the others."""

import json
from dataclasses import dataclass

import pytest
import typer
from typer.testing import CliRunner

from streamer.bench import run
from streamer.bench.parts import Parts
from streamer.bench.realtime import NO_EVENT, RealtimeRun
from streamer.bench.run import BenchOptions, run_bench
from streamer.cli.bench import command
from streamer.errors import BenchFailed
from streamer.settings_reading import load
from tests.faces import KNOWN, write_film


@dataclass
class Heard:
    """run_realtime() of a machine on which four cameras are too many, and with eight of which no service starts."""

    async def __call__(self, settings, clips, seconds, folder):
        if len(clips) == 8:
            raise BenchFailed("the broker does not start")
        latency = (5.0, 9.0, 9.5) if len(clips) == 1 else (None, None, None)
        return RealtimeRun(len(clips), 9 if latency[0] else 0, 3, *latency, dropped_share=0.5, loop_lag_p99_ms=4.0)


@pytest.fixture
def settings(tmp_path):
    return load(overrides=[f"paths.data={tmp_path / 'never'}", "recognition.device=cpu"])


@pytest.fixture
def ours_alone(monkeypatch):
    """Our own weights, no network to fetch the peer's packages by."""
    monkeypatch.setattr(run, "DETECTOR", "nano_det")
    monkeypatch.setattr(run, "EMBEDDER", "nano_embed")
    monkeypatch.setattr(run, "run_peer", _no_peer)
    monkeypatch.setattr(run, "run_realtime", Heard())


def _no_peer(*_):
    raise BenchFailed("the peer's environment can't be made (no network)")


async def test_without_the_peer_and_without_events_the_rest_is_measured(tmp_path, settings, ours_alone):
    film = write_film(tmp_path / "film.mp4", ([KNOWN], 1))
    said = []
    parts = Parts(said.append)
    document = await run_bench(settings, BenchOptions(film, tmp_path / ".bench", rounds=2), parts)
    assert document["ours_fps"] > 0
    assert document["limit_fps"] > 0
    assert document["shipped_fps"] > 0
    assert document["embedded_faces"] > 0
    for key in ("peer_fps", "ratio_to_peer", "peer_faces_per_s", "track_agreement", "people"):
        assert document[key] is None
    assert document["latency_ms"]["1"]["p95"] == 9.0
    assert document["latency_ms"]["4"] == {
        "events": 0,
        "told_late": 3,
        "p50": None,
        "p95": None,
        "p99": None,
        "dropped_share": 0.5,
        "loop_lag_p99_ms": 4.0,
    }
    assert document["latency_ms"]["8"] is None
    assert document["loop_lag_p99_ms"] == 4.0
    assert parts.failed == [
        {"part": "the peer", "why": "the peer's environment can't be made (no network)"},
        {"part": "4 cameras", "why": NO_EVENT},
        {"part": "8 cameras", "why": "the broker does not start"},
    ]
    command.show_speed(document)  # what there is no figure for stays empty
    assert any("p95 9.0" in line for line in said), "told as soon as it is measured"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_part_that_failed_is_printed_and_ends_with_1(monkeypatch, tmp_path, as_json):
    def kept(asked, parts):
        parts.fail("outbox, tls", "mosquitto does not start")
        return {"mqtt": {"events": 6, "plain": None, "tls": None}}, lambda document: command.show_mqtt(document["mqtt"])

    monkeypatch.setitem(command.KINDS, "mqtt", kept)
    app = typer.Typer()
    command.register(app)
    done = CliRunner().invoke(app, ["--mqtt", *(["--json"] if as_json else [])])
    assert done.exit_code == 1
    if as_json:
        assert json.loads(done.stdout)["failed"] == [{"part": "outbox, tls", "why": "mosquitto does not start"}]
    else:
        assert "outbox, tls: FAILED: mosquitto does not start" in done.stdout
