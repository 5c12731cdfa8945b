"""The parts of `bench --http` ask a real service, whose own models answer, and hear of its events."""

import asyncio

import pytest

from streamer.bench.api import embeddings, rerank, viewers
from streamer.bench.api.cameras import run_cameras
from streamer.bench.api.load import Place, ask_all
from streamer.bench.api.pictures import uploads
from streamer.bench.api.run import HttpBenchOptions, quiet_service, run_http
from streamer.bench.clips import with_gap
from streamer.bench.parts import Parts
from streamer.errors import BenchFailed
from streamer.settings_reading import load
from tests.faces import KNOWN, STRANGERS, write_film, write_photo


@pytest.fixture
def settings(tmp_path):
    return load(overrides=[f"paths.data={tmp_path / 'never'}", "recognition.device=cpu"])


@pytest.fixture
def bodies(tmp_path):
    """Two requests of 8 pictures with 1, 2, 3, 1, 2, 3, ... people."""
    people = (KNOWN, *STRANGERS)
    files = [write_photo(tmp_path / f"{number}.png", *people[: 1 + number % 3]) for number in range(16)]
    return uploads(files, tmp_path / "sent")


async def test_a_service_is_asked_for_embeddings_ranks_and_events(tmp_path, settings, bodies):
    async with asyncio.timeout(120), quiet_service(settings, tmp_path / "quiet") as (service, token):
        port = service.http_port
        answered = await ask_all(Place(port, embeddings.PATH, token), bodies, 4)
        assert (answered.requests, answered.faces) == (4, 2 * sum(1 + number % 3 for number in range(16)))
        for form, written in rerank.FORMS.items():
            asked = rerank.bodies_in(tmp_path / form, written)
            assert (await ask_all(Place(port, rerank.PATH, token), asked, len(asked), clients=1)).requests == len(asked)
        heard = await viewers.run_viewers(service.outbox, Place(port, viewers.PATH, token), 0.5, viewers=7)
        assert (heard["viewers"], heard["lost"]) == (7, 0)
        assert 0 < heard["lag_p50_ms"] <= heard["lag_p95_ms"] <= heard["lag_most_ms"]
    assert not (tmp_path / "never").exists()


@pytest.mark.thorough
async def test_camera_events_are_measured_with_and_without_the_api_at_full_load(tmp_path, settings, bodies):
    film = write_film(tmp_path / "film.mp4", ([KNOWN, STRANGERS[0]], 2))
    clip = with_gap(film, tmp_path / "clip.mp4")
    async with asyncio.timeout(120):
        row = await run_cameras(settings, [clip] * 2, bodies, 3.0, tmp_path)
    assert row["without"]["events"] > 0
    assert row["with"]["events"] > 0
    assert row["api_images_per_s"] > 0
    assert row["p95_ratio"] == pytest.approx(row["with"]["p95"] / row["without"]["p95"], abs=0.01)


@pytest.mark.parametrize("clip", ["missing.mp4", "folder", "no/such/folder.mp4"])
async def test_a_clip_that_is_not_there_is_told_at_once(tmp_path, settings, clip):
    (tmp_path / "folder").mkdir()
    options = HttpBenchOptions(tmp_path / clip, tmp_path / ".bench")
    with pytest.raises(BenchFailed, match="is not there; give one with --clip FILE"):
        await run_http(settings, options, tmp_path, Parts(lambda _: None))
    assert not (tmp_path / ".bench").exists()
